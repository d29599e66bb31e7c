"""What a server makes of public data before the first round: made once, found again, the same bits either way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from algorithms.fedavg import FedAvg
from algorithms.feddf_gan import FedDFGan
from benchmark.core.api import Hub, Key, Tree
from benchmark.core.client.federation import Federation
from benchmark.core.data.computed import folder
from benchmark.core.errors import BenchmarkError
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run as run_cell
from benchmark.experiments.server_cache import prepare, server_key
from helpers.small_federation import run, small_federation

CODE = "ab" * 32


@dataclass(frozen=True)
class InstrumentedAlgorithm(FedDFGan):
    """Remembers the hubs that it trained with."""

    hubs: ClassVar[list[Hub]] = []

    def beforehand(self, hub: Hub, key: Key) -> Tree:
        self.hubs.append(hub)
        return super().beforehand(hub, key)


METHOD = InstrumentedAlgorithm(steps=2, gan_steps=2, gan_batch=4, images=8)


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path))
    InstrumentedAlgorithm.hubs.clear()


def federation(seed: int = 0, public: int = 12) -> Federation:
    """One client a round, twelve public images."""
    return small_federation(public=public, validation=6, rounds=1, seed=seed)


def prepared(seed: int = 0, public: int = 12, code: str = CODE, **changes: Any) -> Federation:
    """A federation whose hub holds what METHOD made of its public images."""
    one = federation(seed, public)
    prepare(one, replace(METHOD, **changes), code)
    return one


def test_a_second_run_finds_what_the_first_one_trained() -> None:
    first = prepared().hub.beforehand
    (file,) = folder().iterdir()
    written = file.stat().st_mtime_ns
    second = prepared().hub.beforehand
    assert len(InstrumentedAlgorithm.hubs) == 1 and [file.stat().st_mtime_ns for file in folder().iterdir()] == [
        written
    ]
    for name, leaf in METHOD.beforehand(federation().hub, server_key(federation()))["generator"].items():
        assert torch.equal(first["generator"][name], leaf) and torch.equal(second["generator"][name], leaf)


def test_a_run_has_the_same_bits_whether_it_trains_or_finds() -> None:
    trained, found = run(METHOD, federation()), run(METHOD, prepared())
    assert found.result == trained.result
    for name, leaf in trained.server["models"]["mlp"].items():
        assert torch.equal(found.server["models"]["mlp"][name], leaf)


def test_it_sees_public_data_alone() -> None:
    prepared()
    (hub,) = InstrumentedAlgorithm.hubs
    assert hub.public is not None and hub.public.size == 12
    assert (hub.validation, dict(hub.models), tuple(hub.whos)) == (None, {}, ())


@pytest.mark.parametrize("changes", [{"seed": 1}, {"public": 9}, {"code": "cd" * 32}, {"gan_steps": 3}])
def test_another_seed_image_code_or_setting_is_trained_anew(changes: dict[str, Any]) -> None:
    prepared()
    prepared(**changes)
    assert len(InstrumentedAlgorithm.hubs) == len(list(folder().iterdir())) == 2


def test_a_method_that_makes_nothing_leaves_nothing() -> None:
    one = federation()
    prepare(one, FedAvg(), CODE)
    assert one.hub.beforehand == {} and not folder().exists()


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(("damage", "words"), [(flipped, "is damaged"), (lambda data: data[:-1], "is truncated")])
def test_a_damaged_file_is_refused_until_it_is_deleted(damage: Callable[[bytes], bytes], words: str) -> None:
    prepared()
    (file,) = folder().iterdir()
    sound = file.read_bytes()
    file.write_bytes(damage(sound))
    with pytest.raises(BenchmarkError, match=words) as caught:
        prepared()
    assert caught.value.where == str(file) and f"delete the file {file}" in str(caught.value)
    file.unlink()
    prepared()
    assert file.read_bytes() == sound and len(InstrumentedAlgorithm.hubs) == 2


def test_a_file_under_another_name_is_refused() -> None:
    prepared()
    prepared(seed=1)
    one, other = folder().iterdir()
    other.replace(one)
    with pytest.raises(BenchmarkError, match="holds something else"):
        [prepared(seed=seed) for seed in (0, 1)]


def test_cells_share_what_was_made_beforehand(tmp_path: Path) -> None:
    tiny = {"gan_steps": 2, "gan_batch": 4, "images": 8, "steps": 1}
    run_cell(Cell("digits-shards", "feddf_gan", settings=tiny, rounds=1), tmp_path)
    (file,) = folder().iterdir()
    written = file.stat().st_mtime_ns
    run_cell(Cell("digits-personal", "feddf_gan", settings=tiny, rounds=1), tmp_path)  # the same public images
    assert [file.stat().st_mtime_ns for file in folder().iterdir()] == [written]


@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_what_others_may_write_is_not_believed(mode: int) -> None:
    prepared()
    (file,) = folder().iterdir()
    for place in (file, folder()):
        before = place.stat().st_mode
        place.chmod(mode | 0o100)
        with pytest.raises(BenchmarkError, match="others may write the cached result; chmod go-w it"):
            prepared()
        place.chmod(before)
    prepared()


def test_a_link_is_not_followed_to_what_was_made_elsewhere(tmp_path: Path) -> None:
    prepared()
    (file,) = folder().iterdir()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BenchmarkError, match="others may write"):
        prepared()
