"""The local work of a client in one round: its passes over streams of images. Every backend uses this module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Local, Phase, Site
from benchmark.core.client import pass_cache
from benchmark.core.client.allowance import check_visit
from benchmark.core.client.evaluate import channels_last
from benchmark.core.client.local_trainer import LocalTrainer
from benchmark.core.errors import Diverged
from benchmark.core.keys import Key
from benchmark.core.models.functional import compare_shapes
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree


class Work(NamedTuple):
    """What a client's local work in a round took.

    Attributes:
        steps: Updates of the optimiser.
        images: Images that passes fed to losses, by stream; of two views of an image each counts.
    """

    steps: int
    images: dict[str, int]


class ClientUpdate(NamedTuple):
    """The result of a client's work in one round: memory, upload, the parameters after it, and what it took."""

    memory: Tree
    upload: Tree | None
    params: Tree
    work: Work


def run_client(
    algorithm: Algorithm,
    site: Site,
    phase: Phase,
    message: Tree | None,
    client: Tree,
    key: Key,
    precision: str,
    cached: bool = False,
) -> ClientUpdate:
    """Run one client in one round.

    Args:
        algorithm: The method.
        site: What the client sees.
        phase: The current phase.
        message: The decoded download.
        client: The client's memory.
        key: The key of this phase, round and client.
        precision: "fp32", "bf16" or "tf32".
        cached: Whether passes that `pass_cache` can keep are looked up, and kept for the next run.

    Raises:
        Diverged: If the loss or the upload is not finite.
    """
    where = f"phase {phase.name}, client {site.who.id}"
    key("dropout").reseed()  # numbers drawn without a key must not depend on the clients before
    with torch.no_grad():
        local = prepare_state(algorithm.begin(client, message, phase, site), site)
    trainers = []
    for number, run in enumerate(algorithm.passes(phase, site)):
        trainer = LocalTrainer(algorithm, site, run, key("pass", number), precision, where)
        trainers.append(trainer)
        local = pass_cache.run(trainer, algorithm, local) if cached else trainer.run(local)
    return finish_client(algorithm, site, phase, message, client, local, trainers)


def finish_client(
    algorithm: Algorithm,
    site: Site,
    phase: Phase,
    message: Tree | None,
    client: Tree,
    local: Local,
    trainers: Sequence[LocalTrainer],
) -> ClientUpdate:
    """The result of a client's work when the last pass is over; raises Diverged for an upload that is not finite."""
    where = f"phase {phase.name}, client {site.who.id}"
    updates = sum(trainer.updates for trainer in trainers)
    if not algorithm.pooled:
        check_visit(updates, sum(trainer.allowed for trainer in trainers), where)
    with torch.no_grad():
        memory, upload = algorithm.finish(client, local, message, phase, site)
    if upload is not None and (path := trees.finite(dict(serialization.check(upload, where)))):
        raise Diverged(f"upload {path} is not finite", where=where)
    images: Counter[str] = Counter()
    for trainer in trainers:
        images[trainer.run_.stream] += trainer.images
    return ClientUpdate(memory, upload, local.params, Work(updates, dict(images)))


def prepare_state(local: Local, site: Site) -> Local:
    """The state with copies of the parameters to train, in the memory layout that convolutions read fastest."""
    compare_shapes(site.model, local.params, f"the model that client {site.who.id} trains")
    params = channels_last(trees.map(lambda leaf: leaf.detach().clone(), local.params))
    return local.having(params=params, context=channels_last(local.context), steps=0, lr=site.lr)
