"""FedX's losses replay: on a file made here by loops over samples, and on the shared one where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.replay import trajectory

TEMPERATURES = {"temperature": 0.3, "temperature_target_global": 0.5, "temperature_target_local": 0.2}
FILE = Path(__file__).parents[3] / "shared" / "golden" / "fedx_losses.npz"


def recorded(folder: Path, **config: float) -> Path:
    """A losses file made here, by loops over samples in float64: other sizes and three different temperatures."""
    draw = np.random.default_rng(0)
    names = [f"{net}_{role}" for net in ("proj1", "pred1", "proj2") for role in ("original", "pos", "random")]
    leaves = {
        name: torch.from_numpy(draw.normal(size=(7 if "random" in name else 5, 6))).requires_grad_("2" not in name)
        for name in names if name != "pred1_random"
    }  # fmt: skip
    v = {name: [row / row.norm() for row in leaf] for name, leaf in leaves.items()}

    def contrast(a: list[Tensor], b: list[Tensor]) -> Tensor:
        both, n = a + b, len(a)
        terms = []
        for i, anchor in enumerate(both):
            weights = {j: torch.exp(anchor @ other / config["temperature"]) for j, other in enumerate(both) if j != i}
            terms.append(-torch.log(weights[(i + n) % (2 * n)] / sum(weights.values())))
        return sum(terms) / (2 * n)  # type: ignore[return-value]

    def relation(a: list[Tensor], b: list[Tensor], anchors: list[Tensor], target: float) -> Tensor:
        total = torch.zeros(())
        for x, y in zip(a, b, strict=True):
            cosines = [torch.stack([view @ anchor for anchor in anchors]) for view in (x, y)]
            m = (torch.softmax(cosines[0] / target, 0) + torch.softmax(cosines[1] / target, 0)) / 2
            for cosine in cosines:
                r = torch.softmax(cosine / config["temperature"], 0)
                total = total + (m * torch.log(m / r)).sum() / 2
        return total / len(a)

    targets = config["temperature_target_global"], config["temperature_target_local"]
    losses = {
        "nt_local": contrast(v["proj1_original"], v["proj1_pos"]),
        "nt_global": contrast(v["pred1_original"], v["proj2_pos"]),
        "js_global": relation(v["pred1_original"], v["pred1_pos"], v["proj2_random"], targets[0]),
        "js_local": relation(v["proj1_original"], v["proj1_pos"], v["proj1_random"], targets[1]),
    }
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    arrays: dict[str, Any] = {name: leaf.detach().numpy().astype(np.float32) for name, leaf in leaves.items()}
    arrays |= {f"grad.{name}": leaf.grad.numpy() for name, leaf in leaves.items() if leaf.grad is not None}
    arrays |= {name: np.float32(value.item()) for name, value in {**losses, "total": total}.items()}
    path = folder / "losses.npz"
    np.savez(path, config=json.dumps(config), **arrays)
    return path


def test_a_losses_file_made_by_loops_replays(tmp_path: Path) -> None:
    path = recorded(tmp_path, **TEMPERATURES)
    answer = trajectory.replay(path, method_files.make)
    assert answer["algorithm"] == "fedx_losses"
    assert answer["max_abs_diff"] < 1e-5


@pytest.mark.parametrize("path", [FILE] if FILE.exists() else [])
def test_the_shared_losses_file_replays(path: Path) -> None:
    assert trajectory.replay(path, method_files.make)["max_abs_diff"] < 1e-5


def test_a_losses_file_without_temperatures_is_refused(tmp_path: Path) -> None:
    path = recorded(tmp_path, **TEMPERATURES)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "config": json.dumps({"temperature": 0.1})})
    with pytest.raises(BenchmarkError, match="not a golden file"):
        trajectory.replay(path, method_files.make)
