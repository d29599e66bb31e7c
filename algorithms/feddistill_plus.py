"""FedDistill+: FD and weight averaging at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.fd import FD
from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tree, Upload, Who


@dataclass(frozen=True)
class FedDistillPlus(FD):
    """FD's mean outputs per label travel beside the weights, which are averaged as in FedAvg: P + L^2 floats each way.

    Source: baseline in Zhu et al., ICML 2021 (FedGen), whose code exchanges mean logits; here softmax means as in FD.
    """

    paper = "Zhu et al. 2021, arXiv 2105.10056"

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return Algorithm.init_server(self, hub, key) | super().init_server(hub, key)

    def init_client(self, site: Site, key: Key) -> Tree:
        return {}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        teacher = super().download(server, who, phase, key)
        assert teacher is not None
        return {"model": server["models"][who.arch], **teacher}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        return super().begin({"model": message["model"]}, {"teacher": message["teacher"]}, phase, site)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        _, means = super().finish(client, local, message, phase, site)
        assert means is not None
        return client, {"model": local.params, **means}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        means = super().aggregate(server, uploads, phase, hub, key)
        return Algorithm.aggregate(self, server, uploads, phase, hub, key) | means

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        model: Tree = server["models"][arch]
        return model

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        model: Tree = server["models"][who.arch]
        return model
