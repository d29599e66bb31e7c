"""Passes a number on to the next client in an environment variable."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class EnvironmentVariable(Algorithm):
    """State in the environment."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        last = float(torch.os.environ.get("LAST", "0"))
        torch.os.environ["LAST"] = str(float(local.params["classifier.bias"][0]))
        return client, {"model": {**local.params, "classifier.bias": local.params["classifier.bias"] + last}}
