"""The server's work on a device: what the CPU computes, on one device from end to end, ensembles in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from algorithms.dsfl import DSFL
from algorithms.fd_faug import FDFAug
from algorithms.feddf import FedDF
from algorithms.fedgen import FedGen
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Phase, Tree, Upload
from benchmark.core.backends.device_mode import JoinDevice
from benchmark.core.backends.server_on_device import ServerOnDevice
from benchmark.core.client import linear_probe
from benchmark.core.client.federation import Federation
from benchmark.core.keys import Key
from benchmark.core.tasks.task import ProbeSpec
from helpers.small_federation import small_federation

CPU, META, KEY = torch.device("cpu"), torch.device("meta"), Key(0)("aggregate")
CLIENTS = 5
DISTIL = FedDF(steps=6, check=2, batch=4)


class Readable(TorchFunctionMode):
    """Lets `meta`, which computes shapes alone, be read: zeros. Remembers where layers computed and what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.returned = set[str](), set[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, first = getattr(func, "__name__", ""), args[0] if args else None
        if name in ("linear", "conv2d"):
            self.layers |= {part.device.type for part in args if isinstance(part, Tensor)}
        if name == "_fused_sgd_" and first[0].is_meta:
            return None  # changes values alone, and PyTorch has none of it for meta
        if isinstance(first, Tensor) and first.is_meta:
            if name in ("__float__", "item"):
                return 0.0
            if name == "cpu":
                self.returned.add("meta")
                return torch.zeros(first.shape, dtype=first.dtype)
        return func(*args, **(kwargs or {}))


def federation(algorithm: Algorithm, **options: Any) -> Federation:
    """Five clients, a dozen public images, six held-out ones."""
    fields = {"sizes": (6,) * CLIENTS, "cohort": CLIENTS, "public": 12, "validation": 6, "algorithm": algorithm}
    return small_federation(**(fields | options))


def uploaded(one: Federation, **parts: Tensor) -> list[Upload]:
    """A network of its own from every client, with whatever else they send."""
    arch = one.task.networks[0]
    models = [one.model(arch).init(Key(number)) for number in range(one.clients)]
    return [Upload(one.who(client), {"model": model, **parts}) for client, model in enumerate(models)]


def gap(a: Tree, b: Tree) -> float:
    """Largest absolute difference."""
    pairs = dict(trees.walk(b))
    return max(float((leaf.double() - pairs[name].double()).abs().max()) for name, leaf in trees.walk(a))


@pytest.mark.parametrize("network", ["mlp", "mlp_bn", "golden"])
@pytest.mark.parametrize("settings", [{}, {"augment": True}, {"drop_worst": True}, {"source": "noise"}])
def test_feddf_distils_what_it_distils_in_the_loop(network: str, settings: dict[str, Any]) -> None:
    method = FedDF(steps=6, check=2, batch=4, **settings)
    one, phase = federation(method, networks=(network,), shape=(1, 8, 8)), Phase("train", 1)
    server, uploads = method.init_server(one.hub, Key(1)), uploaded(one)
    expected = method.aggregate(server, uploads, phase, one.hub, KEY)
    read = {side: getattr(one.hub, side).images_read for side in ("unlabelled", "validation")}
    place = ServerOnDevice(one.hub, CPU)
    found = place.aggregate(method, server, uploads, phase, KEY)
    assert gap(expected, found) < 1e-5
    for side, images in read.items():  # what the server reads is counted as in the loop
        assert getattr(one.hub, side).images_read == 2 * images


def test_the_teachers_of_an_ensemble_answer_in_two_calls_however_many_they_are() -> None:
    # Twelve unlabelled images are one batch: in the loop each of five teachers answers by itself; on the device the
    # first answers alone and then all at once. Students are asked equally often.
    one, phase, calls = federation(DISTIL), Phase("train", 1), list[int]()
    server, uploads = DISTIL.init_server(one.hub, Key(1)), uploaded(one)
    hook = one.model("mlp").module.register_forward_hook(lambda *_: calls.append(1))
    DISTIL.aggregate(server, uploads, phase, one.hub, KEY)
    alone = len(calls)
    ServerOnDevice(one.hub, CPU).aggregate(DISTIL, server, uploads, phase, KEY)
    hook.remove()
    assert alone - (len(calls) - alone) == CLIENTS - 2


@pytest.mark.parametrize("network", ["mlp", "mlp_bn", "golden"])
def test_feddf_on_meta_computes_every_layer_there(network: str) -> None:
    one, phase = federation(DISTIL, networks=(network,), shape=(1, 8, 8)), Phase("train", 1)
    server, uploads = DISTIL.init_server(one.hub, Key(1)), uploaded(one)
    with Readable() as seen:
        found = ServerOnDevice(one.hub, META).aggregate(DISTIL, server, uploads, phase, KEY)
    assert seen.layers == seen.returned == {"meta"}
    expected = DISTIL.aggregate(server, uploads, phase, one.hub, KEY)
    assert [(n, leaf.shape, leaf.dtype) for n, leaf in trees.walk(found)] == [
        (n, leaf.shape, leaf.dtype) for n, leaf in trees.walk(expected)
    ]


def test_other_servers_that_train_do_so_on_meta() -> None:
    counts, answers = {"counts": torch.tensor([2, 2, 2])}, {"answers": torch.full((4, 3), 1 / 3)}
    for method, parts in ((FedGen(steps=2), counts), (DSFL(draw=4), answers)):
        one = federation(method)
        server, uploads = method.init_server(one.hub, Key(1)), uploaded(one, **parts)
        with Readable() as seen:
            ServerOnDevice(one.hub, META).aggregate(method, server, uploads, Phase("train", 1), KEY)
        assert seen.layers == seen.returned == {"meta"}


def test_the_gan_of_faug_trains_on_meta() -> None:
    method = FDFAug(gan_steps=2, gan_batch=4)
    one = federation(method)
    seeds = {"pixels": torch.zeros(2, 4, 4, 1, dtype=torch.uint8), "labels": torch.tensor([0, 1], dtype=torch.int16)}
    parts = {**seeds, "targets": torch.tensor(1, dtype=torch.uint8)}
    uploads = [Upload(one.who(client), parts) for client in range(CLIENTS)]
    server, phase = method.init_server(one.hub, Key(1)), Phase("seeds", 1, everyone=True)
    with Readable() as seen:
        found = ServerOnDevice(one.hub, META).aggregate(method, server, uploads, phase, KEY)
    assert seen.layers == {"meta"} and "generator" in found


def test_the_probe_trains_where_the_features_are() -> None:
    spec, labels = ProbeSpec(epochs=2, batch=4), torch.arange(12) % 3
    features = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    layer = linear_probe.fit(features, labels, 3, KEY, spec)
    with JoinDevice(META):
        moved = linear_probe.fit(features.to(META), labels, 3, KEY, spec)
    assert {name: (leaf.device.type, leaf.shape) for name, leaf in moved.items()} == {
        name: ("meta", leaf.shape) for name, leaf in layer.items()
    }


def test_tensors_join_the_device_and_random_ones_stay_on_the_cpu() -> None:
    there, here = torch.ones(3, device=META), torch.arange(3)
    with JoinDevice(META):
        assert (there + here).is_meta and torch.cat([here, there]).is_meta and there[here].is_meta
        drawn = torch.multinomial(torch.ones(3), 2, generator=torch.Generator())
        table = torch.zeros(3)
        table[drawn] = 1.0
        table += here
        assert drawn.device == table.device == CPU
        there += here
        assert there.is_meta
    with pytest.raises(RuntimeError):
        there + torch.ones(3)  # what the device says without the mode: the tests above could fail


def test_networks_with_dropout_train_on_the_cpu(tmp_path: Path) -> None:
    one = federation(DISTIL, networks=("fedmd_0",), shape=(1, 8, 8))
    place = ServerOnDevice(one.hub, META)
    net, params = place.hub.models["fedmd_0"], one.model("fedmd_0").init(Key(0))
    with Readable() as seen:
        output, moved = net.train(params, torch.zeros(2, 1, 8, 8))
    assert seen.layers == {"cpu"} and output.logits.is_meta and all(leaf.is_meta for leaf in moved.values())
