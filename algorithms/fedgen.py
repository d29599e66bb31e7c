"""FedGen: a server-side generator of features carries what all clients know to each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.fedavg import FedAvg
from benchmark.core import ops, tree
from benchmark.core.api import Batch, Hub, Key, Local, Net, Optim, Phase, Site, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FedGen(FedAvg):
    """FedGen: clients learn from a generator G(z, y) of features; the server trains G on their classifiers h_k.

    Client: L = CE(f(x), y) + alpha CE(h(G(z, y')), y') + beta KL(softmax(h(G(z, y))) || softmax(f(x))), y' even.
    Server: min_G sum_k w_ky CE(h_k(G(z, y)), y) + eta exp(-mean |G - G'| |z - z'|), w_ky: k's share of label y.
    Up go weights and label counts; down go weights, G, and an 8-byte seed from which the client draws z and y', once
    per round and sample. G is two linear layers, noise and one-hot label -> hidden -> features, without BatchNorm.

    Source: Zhu et al., ICML 2021, algorithm 1. The published code has alpha = beta = 10, fading, and leaves both out of
    the first round, when G is untrained; here all terms weigh alike from the first round on.
    """

    paper = "Zhu et al. 2021, arXiv 2105.10056"
    needs = ("one architecture",)
    alpha: float = hyper(1.0, "α", low=0)
    beta: float = hyper(1.0, "β", low=0)
    eta: float = hyper(1.0, "η", low=0)
    steps: int = hyper(50, low=1)
    lr: float = hyper(1e-3, low=0)
    batch: int = hyper(32, low=1)
    noise: int = hyper(32, "dim z", low=1)
    hidden: int = hyper(256, low=1)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        (model,) = server["models"].values()
        draw, width = key("generator").torch(), model["classifier.weight"].shape[1]
        sizes = {"one": (self.hidden, self.noise + hub.classes), "two": (width, self.hidden)}
        layers = {name: torch.randn(*size, generator=draw) * (2 / size[1]) ** 0.5 for name, size in sizes.items()}
        biases = {f"{name}_bias": torch.zeros(size[0]) for name, size in sizes.items()}
        return {**server, "generator": layers | biases}

    def generate(self, generator: Tree, z: Tensor, y: Tensor, classes: int) -> Tensor:
        """Features (B, width) of labels y (B,)."""
        hidden = F.linear(torch.cat([z, ops.one_hot(y, classes)], 1), generator["one"], generator["one_bias"]).relu()
        return F.linear(hidden, generator["two"], generator["two_bias"]).relu()

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["models"][who.arch], "generator": server["generator"], "draw": torch.tensor(key.seed)}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        draw, size = Key(int(message["draw"]))("client", site.who.id).torch(), site.data.size
        z = torch.randn(2, size, self.noise, generator=draw)
        y = torch.randint(site.classes, (size,), generator=draw)
        features = self.generate(message["generator"], z[0], y, site.classes)
        own = self.generate(message["generator"], z[1], site.data.labels, site.classes)
        return Local(message["model"], context={"features": features, "labels": y, "own": own})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        logits = model(params, batch.x).logits
        taught = {name: values[batch.rows] for name, values in local.context.items()}
        general = ops.cross_entropy(classify(params, taught["features"]), taught["labels"], batch.mask)
        alike = ops.kl(classify(params, taught["own"]).detach(), logits, mask=batch.mask)
        return ops.cross_entropy(logits, batch.y, batch.mask) + self.alpha * general + self.beta * alike, {}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": local.params, "counts": site.data.counts.int()}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        counts = torch.stack([upload.message["counts"] for upload in uploads]).float()
        known = counts.sum(0).nonzero().flatten()
        shares = counts / counts.sum(0).clamp(min=1)
        adam, generator, draw = Optim("adam", lr=self.lr), tree.copy(server["generator"]), key("generator").torch()
        moments = adam.start()
        for _ in range(self.steps):
            z = torch.randn(self.batch, self.noise, generator=draw)
            y = known[torch.randint(len(known), (self.batch,), generator=draw)]
            leaves = {name: leaf.detach().requires_grad_() for name, leaf in generator.items()}
            features = self.generate(leaves, z, y, hub.classes)
            risks = [F.cross_entropy(classify(u.message["model"], features), y, reduction="none") for u in uploads]
            loss = (torch.stack(risks) * shares[:, y]).sum(0).mean() + self.eta * likeness(features, z)
            gradients = torch.autograd.grad(loss, list(leaves.values()))
            moments = adam.apply(generator, dict(zip(leaves, gradients, strict=True)), moments, self.lr)
        return {**super().aggregate(server, uploads, phase, hub, key), "generator": generator}


def classify(params: Tree, features: Tensor) -> Tensor:
    """The classifier of a network alone: features (B, width) -> logits (B, C)."""
    return F.linear(features, params["classifier.weight"], params.get("classifier.bias"))


def likeness(features: Tensor, z: Tensor) -> Tensor:
    """exp(-mean |G - G'| |z - z'|) over pairs: 1 if G ignores its noise."""
    gaps = [torch.cdist(v, v, p=1) / v.shape[1] for v in (features, z)]
    return torch.exp(-(gaps[0] * gaps[1]).mean())
