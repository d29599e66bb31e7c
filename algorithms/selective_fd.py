"""Selective-FD: clients answer for public images that resemble their own, and the server drops doubtful answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms.dsfl import DSFL
from benchmark.core.api import Hub, Key, Local, Phase, Site, Tensor, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class SelectiveFD(DSFL):
    """Selective-FD: DS-FL without sharpening, between two selectors.

    A client estimates the density ratio of its own images over uniform noise by KuLSIF with a Gaussian kernel, and
    answers for the images of a draw whose ratio is at least the `quantile` of its own images' ratios; 0 answers for
    all. The server drops mean answers whose entropy is above `doubt` ln C; 1 drops none. Row numbers (4 bytes) travel
    with answers. The kernel is `width` sqrt(pixels) wide; the paper tunes it and both thresholds, ours are untuned.
    Source: Shao, Wu & Zhang, Nature Communications 2024, algorithms 1 to 3.
    """

    paper = "Shao et al. 2024, arXiv 2304.01431"
    quantile: float = hyper(0.25, "τ_client", low=0, high=1)
    doubt: float = hyper(0.8, "τ_server", low=0, high=1)
    width: float = hyper(0.5, "σ", low=1e-3)
    noise: int = hyper(100, low=1)
    ridge: float = hyper(0.1, "λ", low=1e-9)

    def agree(self, answers: Sequence[Tensor]) -> Tensor:
        (means,) = answers  # of `aggregate`, since clients answer for different images
        return means

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        rows = server["consensus"].sum(1).nonzero().flatten()
        return {"draw": server["draw"], "rows": rows.int(), "consensus": server["consensus"][rows]}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None and site.public is not None
        full = torch.zeros(min(self.draw, site.public.size), site.classes)
        full[message["rows"].long()] = message["consensus"]
        return super().begin(client, {"draw": message["draw"], "consensus": full}, phase, site)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        assert site.public is not None
        rows = torch.arange(len(local.carry["answers"]))
        if self.quantile:
            own, scored = site.data.inputs().flatten(1), site.public.inputs(local.context["scored"]).flatten(1)
            ratios = self.ratios(own, torch.cat([own, scored]), site.key("noise"))
            rows = (ratios[len(own) :] >= ratios[: len(own)].quantile(self.quantile)).nonzero().flatten()
        upload = {"rows": rows.int(), "answers": local.carry["answers"][rows]}
        return {"model": local.params}, upload if len(rows) else None

    def ratios(self, own: Tensor, x: Tensor, key: Key) -> Tensor:
        """Density of the client's images over that of noise at images (n, pixels), up to a factor."""
        low, high = own.min(), own.max()
        noise = low + (high - low) * torch.rand(self.noise, own.shape[1], generator=key.torch())

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            return (-torch.cdist(a, b).square() / (2 * self.width**2 * own.shape[1])).exp()

        alike = kernel(noise, own).mean(1) / self.ridge
        system = kernel(noise, noise) + self.noise * self.ridge * torch.eye(self.noise)
        return kernel(x, own).mean(1) / self.ridge - kernel(x, noise) @ torch.linalg.solve(system, alike)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        sums, counts = torch.zeros_like(server["consensus"]).double(), torch.zeros(len(server["consensus"]))
        for upload in uploads:
            rows = upload.message["rows"].long()
            sums[rows] += upload.message["answers"].double()
            counts[rows] += 1
        means = (sums / counts.clamp(min=1).unsqueeze(1)).float()
        sure = torch.special.entr(means).sum(1) <= self.doubt * math.log(hub.classes) + 1e-6
        kept = {"answers": torch.where(sure.unsqueeze(1), means, 0.0)}
        return super().aggregate(server, [Upload(hub.whos[0], kept)], phase, hub, key)
