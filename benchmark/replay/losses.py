"""Replay of recorded losses: the method's own loss on recorded vectors, its value and gradients compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.core.api import Algorithm, Batch, Local
from benchmark.core.model_output import Output
from benchmark.core.tree import Tree

METHOD = "fedsimclr_x"
ROLES = ("original", "pos", "random")  # an anchor's two views and the independent batch
Make = Callable[[str, dict[str, Any]], Algorithm]


class Recorded:
    """A network that answers with recorded vectors; an input is a vector of positions in ROLES, one for each sample."""

    def __call__(self, params: Tree, x: Tensor) -> Output:
        """The local model: projections and predictions of one or more roles; the file has none for `random`."""
        roles = [ROLES[position] for position in torch.unique_consecutive(x)]
        projections = [params[f"proj1_{role}"] for role in roles]
        predictions = [params.get(f"pred1_{role}", known) for role, known in zip(roles, projections, strict=True)]
        return Output(None, x, torch.cat(projections), torch.cat(predictions))

    def frozen(self, params: Tree, x: Tensor) -> Output:
        """The global model: projections of a role."""
        return Output(None, x, params[f"proj2_{ROLES[int(x[0])]}"])


def replay(arrays: dict[str, np.ndarray], config: dict[str, Any], make: Make) -> dict[str, Any]:
    """Losses and gradients of one file of FedX; the four terms are told apart by the method's ablations.

    Returns algorithm, rounds and max_abs_diff over all losses and gradients.
    """
    settings = {
        "tau": config["temperature"], "target_global": config["temperature_target_global"],
        "target_local": config["temperature_target_local"],
    }  # fmt: skip
    names = [name for name in arrays if name.startswith(("proj", "pred"))]
    vectors = {name: torch.from_numpy(arrays[name].astype(np.float64)) for name in names}
    values: dict[tuple[bool, bool], Tensor] = {}
    leaves = {name: vector.requires_grad_() for name, vector in vectors.items() if f"grad.{name}" in arrays}
    for relational, distil in itertools.product((False, True), repeat=2):
        algorithm = make(METHOD, {**settings, "relational": relational, "distil": distil})
        values[relational, distil] = _loss(algorithm, vectors)
    plain, total = values[False, False], values[True, True]
    losses = {
        "nt_local": plain, "nt_global": values[False, True] - plain, "js_local": values[True, False] - plain,
        "js_global": total - values[True, False] - values[False, True] + plain, "total": total,
    }  # fmt: skip
    gradients = torch.autograd.grad(total, list(leaves.values()))
    ours = {**losses, **{f"grad.{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}}
    gaps = [np.abs(arrays[name] - value.detach().numpy()).max() for name, value in ours.items()]
    return {"algorithm": "fedx_losses", "rounds": 1, "max_abs_diff": float(max(gaps))}


def _loss(algorithm: Algorithm, vectors: Tree) -> Tensor:
    first, second, random = (torch.full((len(vectors[f"proj1_{role}"]),), i) for i, role in enumerate(ROLES))
    batch = Batch(first, first, first, other=second, random=random)
    return algorithm.loss(vectors, Local(vectors, {"global": vectors}), batch, Recorded())[0]  # type: ignore[arg-type]
