"""Long passes on public images: trained once, found again by whoever trains the same, the same bits either way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from algorithms.fedmd import FedMD
from benchmark.core.api import Batch, Local, Tree
from benchmark.core.client import pass_cache
from benchmark.core.client.federation import Federation
from benchmark.core.data.computed import folder
from benchmark.core.errors import BenchmarkError
from helpers.small_federation import Outcome, run, small_federation

METHOD = FedMD(draw=6, digest_batch=3, public_epochs=2, public_batch=4, private_epochs=1, private_batch=4)
NETWORKS = ("fedmd_0", "mlp")  # BatchNorm and dropout, and neither


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cached yet, and small passes are worth a file."""
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path))
    monkeypatch.setattr(pass_cache, "WORTH", 1)


def federation(seed: int = 0, public: int = 10, **task: Any) -> Federation:
    """Two clients with eight images and a network each; ten public images: batches of four, four and two."""
    options = {"track": "heterogeneous", "networks": NETWORKS, "shape": (1, 8, 8), "rounds": 1, **task}
    return small_federation(sizes=(8, 8), seed=seed, public=public, **options)


def equal(one: Outcome, other: Outcome) -> bool:
    """Whether results and all clients' memories have the same bits."""
    pairs = [(one.memories[client]["model"], other.memories[client]["model"]) for client in one.memories]
    return one.result == other.result and all(torch.equal(a[name], b[name]) for a, b in pairs for name in a)


def written() -> dict[str, int]:
    """When each file was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder().glob("*")}


def test_trained_kept_and_found_passes_have_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_cache, "WORTH", 10**9)
    plain = run(METHOD, federation())
    assert not folder().exists()
    monkeypatch.setattr(pass_cache, "WORTH", 1)
    kept = run(METHOD, federation())
    files = written()
    found = run(METHOD, federation())
    assert equal(kept, plain) and equal(found, plain) and written() == files
    assert sorted(name.rpartition("-")[0] for name in files) == sorted(NETWORKS)


def test_settings_and_rounds_that_the_pass_does_not_use_share_it() -> None:
    run(METHOD, federation())
    files = written()
    run(replace(METHOD, digest_batch=2, private_epochs=3, distance="l2"), federation(rounds=2, batch=2, lr=0.3))
    assert written() == files


@pytest.mark.parametrize(
    ("changes", "options"),
    [({"public_epochs": 1}, {}), ({"public_batch": 5}, {}), ({"lr": 0.01}, {}), ({}, {"seed": 1}), ({}, {"public": 9})],
)
def test_another_pass_seed_or_image_is_trained_anew(changes: dict[str, Any], options: dict[str, Any]) -> None:
    run(METHOD, federation())
    run(replace(METHOD, **changes), federation(**options))
    assert len(written()) == 2 * len(NETWORKS)


@dataclass(frozen=True)
class Counting(FedMD):
    """Counts steps in its carry, which a file would not hold."""

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        return super().after_step(local, extras, batch).having()


@dataclass(frozen=True)
class Smooth(FedMD):
    """A loss of its own, which may look at anything."""

    def loss(self, params: Tree, local: Local, batch: Batch, model: Any) -> Any:
        return super().loss(params, local, batch, model)


@pytest.mark.parametrize("kind", [Counting, Smooth])
def test_what_may_depend_on_more_is_not_kept(kind: type[FedMD]) -> None:
    run(kind(draw=6, public_epochs=1, public_batch=4, private_epochs=1), federation())
    assert written() == {}


def test_a_damaged_file_is_refused_until_it_is_deleted() -> None:
    first = run(METHOD, federation())
    path = next(folder().iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BenchmarkError, match="is truncated") as caught:
        run(METHOD, federation())
    assert f"delete the file {path}" in str(caught.value)
    path.unlink()
    assert equal(run(METHOD, federation()), first)
