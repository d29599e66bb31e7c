"""FedGKT: small networks at clients and a larger one at the server, on their features, teach each other by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms._by_image import ByImage
from algorithms._server_training import answer, fitted, two_layers
from algorithms.local import LocalOnly
from benchmark.core import ops
from benchmark.core.api import Batch, Hub, Key, Local, Net, Optim, Phase, Site, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FedGKT(ByImage, LocalOnly):
    """FedGKT: clients minimise CE(f_k) + alpha tau^2 KL(s || f_k), the server CE(s) + alpha tau^2 KL(f_k || s).

    f_k are a client's logits, s the server's on its features h_k. Up go h_k, f_k and the label of every image of the
    client's, down s for the same images, from its second visit on. The judged model of a client is h_k with the
    server's network on top, which has one hidden layer of `hidden` ReLUs; the paper splits a ResNet.
    Source: He, Annavaram & Avestimehr, NeurIPS 2020, algorithm 1; tau = 3, alpha = 1 as in the published code.
    """

    paper = "He et al. 2020, arXiv 2007.14513"
    track = ("global", "personal")
    needs = ("one architecture",)
    alpha: float = hyper(1.0, "α", low=0)
    tau: float = hyper(3.0, "T", low=1e-3)
    hidden: int = hyper(256, low=1)
    epochs: int = hyper(1, low=1)
    lr: float = hyper(1e-3, low=0)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        ((arch, model),) = hub.models.items()
        width = model.init(key("model", arch))["classifier.weight"].shape[1]
        return {"net": two_layers(width, self.hidden, hub.classes, key("server").torch()), "answers": {}}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"answers": server["answers"][str(who.id)]} if str(who.id) in server["answers"] else None

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        taught = message or {"answers": torch.zeros(site.data.size, site.classes)}
        context = {"known": torch.tensor(float(message is not None)), **taught}
        return Local(client["model"], context, self.nothing(client["model"], site))

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        logits = model(params, batch.x).logits
        taught = self.gap(local.context["answers"][batch.rows], logits, batch.mask) * local.context["known"]
        return ops.cross_entropy(logits, batch.y, batch.mask) + taught, {}

    def gap(self, teacher: Tensor, student: Tensor, mask: Tensor | None = None) -> Tensor:
        """alpha tau^2 KL(teacher || student)."""
        return self.alpha * self.tau**2 * ops.kl(teacher, student, self.tau, mask)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"model": local.params}, {**local.carry, "labels": site.data.labels.to(torch.uint8)}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        sent = [torch.cat([u.message[name] for u in uploads]) for name in ("features", "logits", "labels")]
        adam = Optim("adam", lr=self.lr)
        net = fitted(server["net"], sent, self.risk, adam, self.epochs, hub.train.batch, key)
        new = {str(upload.who.id): answer(net, upload.message["features"]) for upload in uploads}
        return {"net": net, "answers": {**server["answers"], **new}}

    def risk(self, net: Tree, h: Tensor, f: Tensor, y: Tensor) -> Tensor:
        """What the server minimises."""
        return ops.cross_entropy(s := answer(net, h), y.long()) + self.gap(f, s)

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        return {**client["model"], "server": server["net"]}

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        return answer(params["server"], model.frozen(params, x).features)
