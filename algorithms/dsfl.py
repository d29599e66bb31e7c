"""DS-FL: clients and server learn from sharpened soft labels of an open, unlabelled set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms._consensus import Consensus
from benchmark.core import ops, tree
from benchmark.core.api import Batch, Hub, Key, Local, Net, Pass, Phase, Site, Tree, Upload, hyper


@dataclass(frozen=True)
class DSFL(Consensus):
    """DS-FL with entropy reduction: p^ = softmax(mean_k softmax(f_k(x)) / T) over a draw of the open set.

    Clients and server take p^ as soft labels with the optimiser, batch and epochs of local training (the server for
    whole epochs even where clients have `steps`); its rate does not decay. A client digests p^ at its next visit, and
    a p^ of zeros, which teaches nothing, at its first. The server's model, which sees nothing else, is the common one;
    labels of public images are never used.
    Source: Itahara et al., IEEE TMC 2021, algorithm 1; defaults from memory of the text.
    """

    paper = "Itahara et al. 2021, arXiv 2008.06180"
    needs = ("public",)
    draw: int = hyper(1000, "|o_r|", low=1)
    temperature: float = hyper(0.1, "T", low=1e-3)

    def answer(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    def agree(self, answers: Sequence[Tensor]) -> Tensor:
        return ops.sharpen(super().agree(answers), self.temperature)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        digest = Pass("public", loss="digest", rows="digested", augment=False)
        return digest, *super().passes(phase, site)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        assert hub.public is not None
        draw = super().init_server(hub, key)
        nothing = torch.zeros(min(self.draw, hub.public.size), hub.classes)  # adds nothing to a soft cross-entropy
        models = {arch: model.init(key("model", arch)) for arch, model in hub.models.items()}
        return {**draw, "consensus": nothing, "models": models}

    def digest(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Cross-entropy with the soft labels."""
        logits = model(params, batch.x).logits
        return ops.soft_cross_entropy(logits, local.context["consensus"][batch.rows], batch.mask), {}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        server = super().aggregate(server, uploads, phase, hub, key)
        models = {a: self._learn(x, hub.models[a], server, hub, key(a)) for a, x in server["models"].items()}
        return {**server, "models": models}

    def _learn(self, start: Tree, model: Net, server: Tree, hub: Hub, key: Key) -> Tree:
        assert hub.public is not None
        x, train, rows = tree.copy(start), hub.train, self.rows(server["draw"], hub.public.size)
        moments = train.optim.start()
        for epoch in range(train.epochs):
            order = torch.from_numpy(key("epoch", epoch).permutation(len(rows)))
            for part in torch.split(order, train.batch):
                weights = {name: leaf.detach().requires_grad_() for name, leaf in model.weights(x).items()}
                output, moved = model.train({**x, **weights}, hub.public.inputs(rows[part]))
                loss = ops.soft_cross_entropy(output.logits, server["consensus"][part])
                gradients = torch.autograd.grad(loss, list(weights.values()))
                pairs = dict(zip(weights, gradients, strict=True))
                moments = train.optim.apply(model.weights(x), pairs, moments, train.optim.lr)
                x |= moved
        return x

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        model: Tree = server["models"][arch]
        return model
