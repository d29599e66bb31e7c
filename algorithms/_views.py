"""Learning from two views of unlabelled images: what FedSimCLR, FedMoCo, FedBYOL, FedProtoCL and FedU share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Local, Net, Output, Pass, Phase, Site, Tensor, Tree, hyper, torch

CHUNK = 500  # images per forward pass outside of training


@dataclass(frozen=True)
class Views(Algorithm):
    """Two views go through the network in one pass; `contrast` compares the answers by means of `agree`."""

    track = ("unsupervised",)
    needs = ("one architecture",)

    def network(self, arch: str) -> str:
        return f"{arch}+projection"

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return (Pass(stream="views"),)

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        first, second = together(partial(model, params), batch.x, batch.other)
        return self.contrast(first, second, local, batch, model)

    def contrast(self, first: Output, second: Output, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Loss and extras from the network's answers to both views."""
        raise NotImplementedError

    def agree(self, query: Tensor, target: Tensor, local: Local, batch: Batch) -> Tensor:
        """How far vectors (B, D) are from their targets (B, D)."""
        raise NotImplementedError


@dataclass(frozen=True)
class SlowViews(Views):
    """Targets come from a slow copy of the network, which restarts from the received model in every round.

    Like the network it sees both views in one pass and normalises by the statistics of the batch.
    """

    momentum: float = hyper(0.99, "m", low=0, high=1)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(carry={"slow": trees.copy(local.params)})

    def contrast(self, first: Output, second: Output, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        with torch.no_grad():
            slow = together(lambda x: model.train(local.carry["slow"], x)[0], batch.x, batch.other)
        forth = self.agree(self.query(first), slow[1].projection, local, batch)
        back = self.agree(self.query(second), slow[0].projection, local, batch)
        return (forth + back) / 2, {"keys": slow[1].projection}

    def query(self, output: Output) -> Tensor:
        """The vector of an answer that is compared with the slow copy's projection."""
        raise NotImplementedError

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        slow = trees.map(lambda s, fast: ops.ema(s, fast, self.momentum), local.carry["slow"], local.params)
        return local.having(carry={**local.carry, "slow": slow})


def together(answer: Callable[[Tensor], Output], *inputs: Tensor) -> list[Output]:
    """A network's answers to several batches that it sees as one: BatchNorm takes its statistics over all of them."""
    output, sizes = answer(torch.cat(inputs)), [len(x) for x in inputs]
    parts = ([None] * len(sizes) if part is None else part.split(sizes) for part in output)
    return [Output(*answers) for answers in zip(*parts, strict=True)]


def projections(site: Site, params: Tree, count: int) -> Tensor:
    """Normalised projections of at most `count` of a client's images, evenly spaced and without augmentation."""
    count = min(count, site.data.size)
    rows = torch.arange(count) * site.data.size // count
    chunks = [site.model.frozen(params, site.data.inputs(chunk)).projection for chunk in rows.split(CHUNK)]
    return torch.nn.functional.normalize(torch.cat(chunks), dim=-1)
