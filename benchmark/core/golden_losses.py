"""Replay of recorded losses: the method's own loss on recorded vectors, its value and gradients compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.core.api import Algorithm, Batch, Local
from benchmark.core.output import Output
from benchmark.core.tree import Tree

METHOD = "fedsimclr_x"
ROLES = ("original", "pos", "random")  # an anchor's two views and the independent batch
Make = Callable[[str, dict[str, Any]], Algorithm]


class Recorded:
    """A network that answers with recorded vectors; an input is the position of its role in ROLES."""

    def __call__(self, params: Tree, x: Tensor) -> Output:
        """The local model: projection and prediction of a role."""
        role = ROLES[int(x)]
        return Output(None, x, params[f"proj1_{role}"], params.get(f"pred1_{role}"))

    def frozen(self, params: Tree, x: Tensor) -> Output:
        """The global model: projection of a role."""
        return Output(None, x, params[f"proj2_{ROLES[int(x)]}"])


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
    first, second, random = (torch.tensor(position) for position in range(len(ROLES)))
    batch = Batch(first, first, first, other=second, random=random)
    return algorithm.loss(vectors, Local(vectors, {"global": vectors}), batch, Recorded())[0]  # type: ignore[arg-type]
