"""What a client's trained network says of each of its images, taken in a pass that does not train."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Batch, Local, Net, Pass, Phase, Site, Tensor, Tree, torch


@dataclass(frozen=True)
class ByImage(Algorithm):
    """The carry gathers features and logits in the order of the client's images."""

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return Pass(), Pass(loss="look", update=False)

    def nothing(self, params: Tree, site: Site) -> Tree:
        """The carry before the pass."""
        width = params["classifier.weight"].shape[1]
        return {"features": torch.zeros(site.data.size, width), "logits": torch.zeros(site.data.size, site.classes)}

    def look(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Features and logits of a batch."""
        output = model(params, batch.x)
        return output.logits.sum(), {"features": output.features, "logits": output.logits}

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        seen = {name: local.carry[name].index_copy(0, batch.rows, rows) for name, rows in extras.items()}
        return local.having(carry=seen or local.carry)
