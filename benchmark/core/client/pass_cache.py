"""A cache of long passes on public images: trained once, then found by every task and method that trains the same.

FedMD's transfer learning on CIFAR is such a pass: ten networks, each 20 epochs of 50,000 public images. It is nine
tenths of a cell and the same for the even and the uneven task. What it makes of a network depends on the network,
the images, the order of the batches and the optimiser alone, if the method changes neither loss nor step.
"""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Local, Tree
from benchmark.core.client.evaluate import channels_last
from benchmark.core.data import computed
from benchmark.core.version import ENGINE

if TYPE_CHECKING:
    from benchmark.core.client.local_trainer import LocalTrainer
    from benchmark.core.data.batches import Stream

WORTH = 100_000  # images of a pass, below which a file would cost more than it saves


def run(trainer: LocalTrainer, algorithm: Algorithm, local: Local) -> Local:
    """The client's state after a pass, found in the cache or computed: the same bits.

    Raises BenchmarkError for a file that is damaged or holds something else.
    """
    if not _depends_on_public_images_alone(trainer, algorithm):
        return trainer.run(local)
    stream = trainer.stream(local)
    batch, steps = trainer.length(stream)
    if batch * steps < WORTH:
        return trainer.run(local)
    fingerprint = computed.fingerprint(_facts(trainer, algorithm, local, stream))
    path = computed.path_of(trainer.model.arch.replace(":", "-"), fingerprint)
    if path.exists():
        return _found(trainer, local, *computed.read(path, fingerprint))
    watch = _Watch(trainer.after_step)
    trainer.after_step = watch
    after = trainer.run(local)
    if watch.unchanged:
        outcome = {"params": after.params, "random": torch.get_rng_state()}
        computed.write(path, outcome, fingerprint, updates=trainer.updates, images=trainer.images)
    return after


class _Watch:
    """`after_step`, and whether it has always returned the state that it was given."""

    def __init__(self, after_step: Any) -> None:
        self.after_step, self.unchanged = after_step, True

    def __call__(self, local: Local, extras: Tree, batch: Batch) -> Local:
        after: Local = self.after_step(local, extras, batch)
        self.unchanged = self.unchanged and after is local
        return after


def _depends_on_public_images_alone(trainer: LocalTrainer, algorithm: Algorithm) -> bool:
    if not isinstance(algorithm, Algorithm):
        return False  # a check or an audit, which observes every step
    one, kind = trainer.run_, type(algorithm)
    standard = kind.loss is Algorithm.loss and kind.step is Algorithm.step and (one.loss, one.step) == ("loss", "step")
    return standard and one.update and one.stream == "public" and one.rows is None


def _facts(trainer: LocalTrainer, algorithm: Algorithm, local: Local, stream: Stream) -> dict[str, Any]:
    """Everything that the bits rest on."""
    params = hashlib.sha256()
    for name, leaf in sorted(trees.walk(local.params)):
        params.update(f"{name} {tuple(leaf.shape)} {leaf.dtype}".encode())
        params.update(leaf.contiguous().numpy().tobytes())
    return {
        "network": trainer.model.arch,
        "params": params.hexdigest(),
        "steps": local.steps,
        "length": trainer.length(stream),
        "augment": trainer.run_.augment and str(stream.augment),
        "only": trainer.run_.only,
        "optimiser": asdict(trainer.optim),
        "lr": trainer.lr,
        "key": trainer.key.seed,
        "images": computed.fingerprint_images(stream),
        "scale": [stream.mean.tolist(), stream.std.tolist(), stream.order],
        "precision": trainer.precision,
        "after_step": inspect.getsource(type(algorithm).after_step),
        "engine": ENGINE,
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _found(trainer: LocalTrainer, local: Local, outcome: Tree, facts: dict[str, Any]) -> Local:
    torch.set_rng_state(outcome["random"])
    trainer.updates, trainer.images = facts["updates"], facts["images"]
    return local.having(params=channels_last(outcome["params"]), steps=local.steps + trainer.updates)
