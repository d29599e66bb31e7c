"""Tests of the extras: each runs where its package is installed, as `make engines` does."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NEEDS = {"test_clusters.py": ("ray", "submitit"), "test_flower.py": ("flwr", "ray")}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without its packages a file is not collected: the core's environment has none of them."""
    return True if not all(map(find_spec, NEEDS.get(collection_path.name, ()))) else None
