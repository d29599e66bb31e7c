"""Recorded runs replay: a file made here by a loop in plain PyTorch, and the shared ones where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.replay import trajectory

SHARED = Path(__file__).parents[3] / "shared" / "golden"
RECORDED = sorted(path for path in SHARED.glob("*.npz") if path.stem != "fedx_losses") if SHARED.is_dir() else []
SIZES, CLASSES, RATE, DECAY, MOMENTUM, BATCH, EPOCHS = (7, 12, 5, 9, 10), 3, 0.1, 0.9, 0.5, 4, 2
ALPHA = 0.2  # FedDyn's
PARTICIPATION = 0.5  # of 5 clients: 2 take part, yet the published SCAFFOLD moves c by 0.5, not by 2 / 5


def network() -> nn.Sequential:
    """Other sizes than the shared files: two channels of 6x4 pixels, 3 filters, 5 features."""
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(18, 5), nn.ReLU(), nn.Linear(5, CLASSES))  # fmt: skip


NAMES = [f"{layer}.{part}" for layer in ("conv", "linear_1", "classifier") for part in ("weight", "bias")]


def flat(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def load(net: nn.Module, vector: Tensor) -> None:
    nn.utils.vector_to_parameters(vector.clone(), net.parameters())


def train(net: nn.Module, x: Tensor, y: Tensor, lr: float, slope: Tensor, alpha: float) -> int:
    """Momentum SGD in stored order on CE + <slope, w> + alpha / 2 ||w - start||^2; returns the number of steps."""
    start, speed, steps = flat(net), torch.zeros_like(slope), 0
    for _ in range(EPOCHS):
        for xs, ys in zip(torch.split(x, BATCH), torch.split(y, BATCH), strict=True):
            weights = torch.cat([p.flatten() for p in net.parameters()])
            term = slope @ weights + alpha / 2 * (weights - start).square().sum()
            risk = nn.functional.cross_entropy(net(xs), ys) + term
            gradients = torch.autograd.grad(risk, list(net.parameters()))
            speed = MOMENTUM * speed + torch.cat([g.flatten() for g in gradients])
            load(net, flat(net) - lr * speed)
            steps += 1
    return steps


def displacement(steps: int) -> float:
    """Steps with momentum, counted by simulation: a unit gradient moves the model by 1, 1 + rho, ..."""
    speed, way = 0.0, 0.0
    for _ in range(steps):
        speed = MOMENTUM * speed + 1
        way += speed
    return way


def federated(
    algorithm: str, xs: list[Tensor], ys: list[Tensor], cohorts: list[list[int]], net: nn.Module
) -> list[Tensor]:
    """The global model after every round, by vectors, as the papers' boxes and the golden files' rules have it."""
    w, clients = flat(net), len(xs)
    c, c_i = torch.zeros_like(w), [torch.zeros_like(w) for _ in xs]  # SCAFFOLD's variates
    h, h_i = torch.zeros_like(w), [torch.zeros_like(w) for _ in xs]  # FedDyn's duals
    course = []
    for number, cohort in enumerate(cohorts):
        lr, models, changes = RATE * DECAY**number, [], []
        for k in cohort:
            load(net, w)
            slopes = {"fedavg": torch.zeros_like(w), "scaffold": c - c_i[k], "feddyn": -h_i[k]}
            steps = train(net, xs[k], ys[k], lr, slopes[algorithm], ALPHA if algorithm == "feddyn" else 0.0)
            models.append(flat(net))
            new = c_i[k] - c + (w - models[-1]) / (displacement(steps) * lr)
            changes.append(new - c_i[k])
            c_i[k] = new
            h_i[k] = h_i[k] - ALPHA * (models[-1] - w)
        h = h - ALPHA / clients * sum(model - w for model in models)
        c = c + PARTICIPATION * sum(changes) / len(cohort)
        total = sum(SIZES[k] for k in cohort)
        w = sum((SIZES[k] / total * model for k, model in zip(cohort, models, strict=True)), torch.zeros_like(w))
        w = w - h / ALPHA if algorithm == "feddyn" else w
        course.append(w)
    return course


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Writes the golden file of an algorithm, with arrays replaced if asked for."""

    def write(algorithm: str, params: dict[str, Any], **changes: Any) -> Path:
        torch.manual_seed(3)
        net, cohorts = network(), [[3, 0], [4, 3], [0, 1]]
        xs, ys = [torch.randn(n, 2, 6, 4) for n in SIZES], [torch.arange(n) % CLASSES for n in SIZES]
        shapes = [p.shape for p in net.parameters()]

        def entries(prefix: str, vector: Tensor) -> dict[str, np.ndarray]:
            parts = torch.split(vector, [shape.numel() for shape in shapes])
            return {prefix + n: p.view(s).numpy() for n, p, s in zip(NAMES, parts, shapes, strict=True)}

        config = {
            "algorithm": algorithm, "params": params, "num_classes": CLASSES, "rounds": len(cohorts),
            "local_epochs": EPOCHS, "batch_size": BATCH, "lr": RATE, "momentum": MOMENTUM, "weight_decay": 0,
            "lr_decay_per_round": DECAY, "participation": PARTICIPATION,
        }  # fmt: skip
        arrays = entries("init.", flat(net))
        for number, vector in enumerate(federated(algorithm, xs, ys, cohorts, net), start=1):
            arrays |= entries(f"round{number}.", vector)
        for k in range(len(SIZES)):
            arrays |= {f"x_{k}": xs[k].numpy(), f"y_{k}": ys[k].numpy()}
        test = {"x_test": torch.randn(6, 2, 6, 4).numpy(), "y_test": np.arange(6) % CLASSES}
        test["test_accuracy"] = np.zeros(4)  # float64, as in the published recordings; not replayed
        arrays |= {**test, "cohorts": np.array(cohorts), "config": np.array(json.dumps(config)), **changes}
        kept: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
        np.savez(tmp_path / "made.npz", **kept)
        return tmp_path / "made.npz"

    return write


@pytest.mark.parametrize(
    ("algorithm", "params"),
    [("fedavg", {}), ("scaffold", {"adaptive_divison": True}), ("feddyn", {"dyn_alpha": ALPHA})],
)
def test_a_run_by_an_independent_loop_replays(made: Any, algorithm: str, params: dict[str, Any]) -> None:
    outcome = trajectory.replay(made(algorithm, params), method_files.make)
    assert outcome["algorithm"] == algorithm
    assert outcome["rounds"] == 3
    assert outcome["max_abs_diff"] < 1e-6


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_runs_of_the_published_code_replay(path: Path) -> None:
    assert trajectory.replay(path, method_files.make)["max_abs_diff"] < 1e-6


def test_a_changed_number_is_seen(made: Any) -> None:
    path = made("fedavg", {})
    bias = np.load(path)["round2.classifier.bias"]
    bias[1] += 0.25  # far above the error of the replay, in one of many numbers
    outcome = trajectory.replay(made("fedavg", {}, **{"round2.classifier.bias": bias}), method_files.make)
    assert outcome["max_abs_diff"] == pytest.approx(0.25, abs=1e-6)


def test_a_number_that_is_none_never_passes(made: Any) -> None:
    bias = np.full(CLASSES, np.nan, np.float32)
    assert (
        trajectory.replay(made("fedavg", {}, **{"round2.classifier.bias": bias}), method_files.make)["max_abs_diff"] > 1
    )


def test_official_names_become_fields_with_the_published_quirks() -> None:
    config = {"algorithm": "scaffold", "params": {"adaptive_divison": True}, "participation": 0.5}
    assert trajectory.settings(config) == {"weighted": True, "adaptive": True, "share": 0.5}
    assert trajectory.settings({"algorithm": "fedntd", "params": {"tau": 1, "beta": 2}}) == {"tau": 1, "beta": 2}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cohorts": np.array([[3, 0], [4, 5], [0, 1]])}, "cohorts do not fit 3 rounds and 5 clients"),
        ({"cohorts": None}, "cohorts"),
        ({"y_1": np.full(12, 3)}, "not one label below 3 per sample"),
        ({"y_1": np.arange(11) % 3}, "not one label below 3 per sample"),
        ({"init.conv.bias": None}, "init has"),
        ({"round3.conv.bias": None}, "round3 has other parameters"),
        ({"round3.conv.bias": np.zeros(4, np.float32)}, "round3 has other parameters"),
        ({"config": np.array("[]")}, "not a golden file"),
        ({"config": np.array("{")}, "not a golden file"),
        ({"x_test": np.zeros(3, np.float32)}, "not a golden file"),
        ({"round1.conv.bias": np.zeros(4)}, "round1.conv.bias holds float64"),
        ({"y_2": np.zeros(10, np.float32)}, "y_2 holds float32"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_name(made: Any, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BenchmarkError, match=complaint) as caught:
        trajectory.replay(made("fedavg", {}, **changes), method_files.make)
    assert "made.npz" in str(caught.value)


def test_files_that_are_none_and_parameters_that_are_unknown_are_refused(made: Any, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(BenchmarkError, match="no such file"):
        trajectory.replay(tmp_path / "absent.npz", method_files.make)
    with pytest.raises(BenchmarkError, match="unreadable"):
        trajectory.replay(tmp_path / "text.npz", method_files.make)
    with pytest.raises(BenchmarkError, match="no field gamma"):
        trajectory.replay(made("fedavg", {"gamma": 1}), method_files.make)


@pytest.mark.parametrize("name", ["evil.py", "../evil", "/tmp/evil.py", "a.b", ""])
def test_a_file_never_names_code_to_run(name: str, tmp_path: Path) -> None:
    """A folder beside the file holds the method that it names."""
    (tmp_path / "evil.py").write_text("raise SystemExit(3)")
    config = json.dumps({"algorithm": name.replace("/tmp", str(tmp_path)), "params": {}, "rounds": 1})
    np.savez(tmp_path / "one.npz", config=np.array(config))
    with pytest.raises(BenchmarkError, match="is no method's name"):
        trajectory.replay(tmp_path / "one.npz", method_files.make)
