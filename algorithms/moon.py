"""MOON: contrast a client's representation with the global model's and with its own of the round before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F

from benchmark.core import ops
from benchmark.core.api import Algorithm, Batch, Hub, Key, Local, Net, Phase, Site, Tensor, Tree, hyper, torch

WIDTH = 256  # of the projection


@dataclass(frozen=True)
class Moon(Algorithm):
    """MOON: L = CE - mu log(e^{cos(z, z_g) / tau} / (e^{cos(z, z_g) / tau} + e^{cos(z, z_p) / tau})).

    z, z_g and z_p represent an image by the local, the received global and the client's previous model: the vector
    that the classifier reads, which in the paper's networks is the answer of a projection head.
    head: contrast a further head's answer (linear, ReLU, linear to 256) to that vector; its weights travel as well
    newcomer: previous model of a client without one: the received model, against which nothing contrasts, or the
        initial one, as in the code published with FedNTD, but drawn again by the client, as no message brings w_0
    Source: Li et al., CVPR 2021, algorithm 1; mu is 5 for CIFAR-10 there and 1 for the other data.
    """

    paper = "Li et al. 2021, arXiv 2103.16257"
    mu: float = hyper(1.0, "μ", low=0)
    tau: float = hyper(0.5, "τ", low=1e-3)
    head: bool = hyper(False)
    newcomer: Literal["received", "initial"] = hyper("received")

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        return {**server, "models": {arch: self._headed(m, key("head", arch)) for arch, m in server["models"].items()}}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"previous": self._headed(site.model.init(key), key("head"))} if self.newcomer == "initial" else {}

    def _headed(self, model: Tree, key: Key) -> Tree:
        if not self.head:
            return model
        width, draw = model["classifier.weight"].shape[1], key.torch()
        shapes = {"moon_in": (width, width), "moon_out": (WIDTH, width)}
        first = {name: (torch.rand(shape, generator=draw) * 2 - 1) / width**0.5 for name, shape in shapes.items()}
        return {**model, **first, "moon_in_bias": torch.zeros(width), "moon_out_bias": torch.zeros(WIDTH)}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(context={"global": local.params, "previous": client.get("previous", local.params)})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        output = model(params, batch.x)
        risk = ops.cross_entropy(output.logits, batch.y, batch.mask)
        if self.mu == 0:
            return risk, {}
        previous, received = local.context["previous"], local.context["global"]
        z, z_p, z_g = (
            F.normalize(self._represent(at, features))
            for at, features in (
                (params, output.features),
                (previous, model.frozen(previous, batch.x).features),
                (received, model.frozen(received, batch.x).features),
            )
        )
        gap = (z * (z_p - z_g)).sum(-1)  # cos(z, z_p) - cos(z, z_g)
        return risk + self.mu * ops.mean(F.softplus(gap / self.tau), batch.mask), {}

    def _represent(self, params: Tree, features: Tensor) -> Tensor:
        if not self.head:
            return features
        hidden = F.relu(F.linear(features, params["moon_in"], params["moon_in_bias"]))
        return F.linear(hidden, params["moon_out"], params["moon_out_bias"])

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"previous": local.params}, {"model": local.params}
