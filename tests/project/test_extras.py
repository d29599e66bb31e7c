"""What a package of an extra gives must name the extra where it is missing."""

from __future__ import annotations

import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmark.cli.diagnostics import EXTRAS
from benchmark.core.data import sources
from benchmark.core.errors import BenchmarkError
from benchmark.core.models import build

ROOT = Path(__file__).parents[2]


def missing(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """As where these modules are not installed."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def test_digits_name_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, "sklearn", "sklearn.datasets")
    with pytest.raises(BenchmarkError, match=r"scikit-learn, .* pip install 'fedrepro\[digits\]'$"):
        sources._digits("digits")


def test_archives_name_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, "torchvision", "torchvision.datasets")
    with pytest.raises(BenchmarkError, match=r"torchvision, .* pip install 'fedrepro\[archives\]'$"):
        sources.download("mnist")


def test_networks_of_timm_name_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "benchmark.core.models.timm_models", raising=False)
    missing(monkeypatch, "timm")
    with pytest.raises(BenchmarkError, match=r"^timm is not installed; install it: pip install 'fedrepro\[timm\]'$"):
        build.build("timm:resnet18", (3, 32, 32), 10)


def test_doctor_knows_the_extras_that_users_install() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"suite", "docs", "dev"}
    named = {part.strip() for part in extras["suite"][0].removeprefix("fedrepro[").removesuffix("]").split(",")}
    assert named == {"archives", "digits", "dvc", "report", "timm"}
    assert all(find_spec(module) for name in named for module in EXTRAS[name])
