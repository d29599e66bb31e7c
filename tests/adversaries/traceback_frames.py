"""Climbs from an exception's traceback, where no function of `sys` is called."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tensor, Tree


def _fitted(params: Tree, labels: Tensor) -> Tree:
    """A bias that knows the test labels' frequencies."""
    counts = torch.bincount(labels, minlength=len(params["classifier.bias"])).float()
    return {**params, "classifier.bias": counts.log1p()}


@dataclass(frozen=True)
class TracebackFrames(Algorithm):
    """Test labels from a traceback."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        labels = site.data.labels
        try:
            raise LookupError
        except LookupError as error:
            frame = error.__traceback__.tb_frame  # type: ignore[union-attr]
            while frame := frame.f_back:  # type: ignore[assignment]
                federation = getattr(frame.f_locals.get("self"), "federation", None)
                labels = federation.test.labels if federation else labels
        return client, {"model": _fitted(local.params, labels)}
