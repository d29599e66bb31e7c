"""Everything that is stored, damaged at random: nothing goes unnoticed, and the message tells what has happened."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.backends import SerialBackend
from benchmark.core.data import cache, mirror
from benchmark.core.data.loading import load
from benchmark.core.errors import BenchmarkError
from benchmark.core.server import rounds
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.version import ENGINE
from benchmark.pipeline import listing, stages, verify
from benchmark.records.index import ResultsIndex
from benchmark.reports import pages
from helpers.full_run import start, worker_config
from helpers.handmade_records import TASK, example_results, make, with_checksum
from helpers.handmade_records import write as put
from helpers.reliability_figures import Figures

pytestmark = pytest.mark.slow

WORDS = {  # what a message says of each kind of damage; a flipped bit may hit a length, a version or an end
    "flipped": "changed|damaged|not a record|version|truncated|another|not what",
    "truncated": "truncated",
    "missing": "missing|No such file",
    "swapped": "belongs|not the file|holds something else|holds what|another",
    "other version": "version|engine",
}
Use = Callable[[], Any]


@dataclass(frozen=True)
class Store:
    """Files of one kind, what uses them (a value or a BenchmarkError), and how they look in another version."""

    files: list[Path]
    use: Use
    other_version: Callable[[bytes], bytes] | None = None


def cached(home: Path) -> Store:
    """The decoded digits."""
    data = load("digits")
    folder = cache.folder("digits")

    def use() -> Any:
        again = load("digits")
        assert again.fingerprints == data.fingerprints and again.source == data.source
        return again.fingerprints

    def older(content: bytes) -> bytes:
        metadata = cache.CacheMetadata.model_validate_json(content)
        prints = {split: "0" * 64 for split in metadata.fingerprints}
        return (
            metadata.model_copy(update={"fingerprints": prints}).with_checksum().model_dump_json(indent=1).encode()
            + b"\n"
        )

    return Store([folder / "cache.json", *sorted(folder.glob("*.npy"))], use, older)


def mirrored(home: Path) -> Store:
    """A packed mirror of the digits."""
    written = mirror.pack(load("digits"), home / "mirror")
    files = [written[-1], *written[:-1]]
    newer = _edited(lambda content: content | {"format": 9})
    return Store(files, lambda: {k: v[1].tolist() for k, v in mirror.read(home / "mirror", "digits").items()}, newer)


def checkpointed(home: Path) -> Store:
    """A checkpoint and clients' memories, taken up as an interrupted run does."""
    folder = home / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rounds, "CHECKPOINT_SECONDS", -1.0)
        start(SerialBackend(worker_config()), folder, interrupted).execute()

    def use() -> Any:
        run = start(SerialBackend(worker_config()), folder)
        run._restore()
        paths = [run.memories.current(client) for client in range(4)]
        memories = [str(checkpoint.load_memory(path)) for path in paths if path]
        return serialization.encode(run.server, "server").data, memories

    whole = start(SerialBackend(worker_config()), folder)
    whole._restore()
    files = [path for client in range(4) if (path := whole.memories.current(client))]
    return Store([folder / "checkpoint.safetensors", *files], use, _newer)


def _newer(data: bytes) -> bytes:
    return data.replace(rb"\"format\": 2", rb"\"format\": 9")


def interrupted(event: dict[str, Any]) -> None:
    """Ctrl-C after three rounds."""
    if event["round"] == 3:
        raise KeyboardInterrupt


def recorded(home: Path) -> Store:
    """Records, used by the board."""
    results = example_results(home)

    def use() -> Any:
        suite = ResultsIndex.load(results)
        known = {(r.task, r.algorithm, r.seed) for entry in suite.entries if (r := entry.record)}
        if reasons := [entry.reason for entry in suite.entries if entry.reason]:
            assert all(reason in pages.files(suite)[home / "LEADERBOARD.md"] for reason in reasons)
            raise BenchmarkError("; ".join(reasons), hint="restore the file from git")
        if lost := sorted(made.keys() - known):
            raise BenchmarkError(f"missing: {lost}", hint="`fedrepro campaign` runs it")
        if marks := [mark for entry in suite.entries if entry.record for mark in suite.stale_reasons(entry.record)]:
            raise BenchmarkError("; ".join(marks), hint="`fedrepro campaign` runs it")
        return pages.files(suite)

    made = {(r.task, r.algorithm, r.seed): r for entry in ResultsIndex.load(results).entries if (r := entry.record)}
    files = sorted(path for path in results.glob(f"{TASK}/*/*.json") if path.stem.isdecimal())
    return Store(files, use, _resealed({"engine": ENGINE + 1}))


def tabled(home: Path) -> Store:
    """A split, a task's protocol, and the tables made from the records."""
    results = example_results(home)
    split = {str(seed): {"sha256": "ab" * 32, "rows": 1, "clients": []} for seed in range(3)}
    (results / TASK / "split.json").write_text(stages._split_text(TASK, split))
    other = {str(seed): {"sha256": "cd" * 32, "rows": 2, "clients": []} for seed in range(3)}
    (results / "digits-personal").mkdir()
    (results / "digits-personal" / "split.json").write_text(stages._split_text("digits-personal", other))
    listing.sync(results)
    stages.write_protocol(results, TASK)
    put(results, make("fedavg", 0, 0.4, task="digits-personal"))
    pages.write(results)
    tables = sorted((results / "tables").glob("*.csv"))
    files = [results / TASK / "split.json", results / "digits-personal" / "split.json", home / "LEADERBOARD.md",
             results / TASK / "protocol.json", *tables]  # fmt: skip

    def use() -> Any:
        suite = ResultsIndex.load(results)
        found = [*verify._board(home, suite), *verify._pipelines(home, suite)]
        found = [sentence for sentence in found if any(path.name in sentence for path in files)]
        if found := [sentence for sentence in found if sentence not in known]:
            raise BenchmarkError("; ".join(found), hint="rebuild")
        return {path.name: path.read_bytes() for path in files}

    suite = ResultsIndex.load(results)
    known = {*verify._board(home, suite), *verify._pipelines(home, suite)}
    return Store(files, use)


def _edited(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(change(json.loads(data))).encode() + b"\n"


def _resealed(changes: dict[str, Any]) -> Callable[[bytes], bytes]:
    def other(data: bytes) -> bytes:
        return with_checksum(json.loads(data) | changes).encode()

    return other


STORES: dict[str, Callable[[Path], Store]] = {
    "dataset cache": cached, "mirror": mirrored, "checkpoint and client memory": checkpointed, "record": recorded,
    "split, protocol, table": tabled,
}  # fmt: skip


def _alike(store: Store, path: Path) -> list[Path]:
    """Files of the same kind with other content."""
    named = {"cache.json", "MANIFEST.json", "protocol.json", "split.json"}
    kinds = {file: file.name if file.name in named else file.suffix for file in store.files}
    return [file for file in store.files if kinds[file] == kinds[path] and file.read_bytes() != path.read_bytes()]


@contextmanager
def damage(kind: str, store: Store, draw: random.Random) -> Iterator[Path]:
    """One file of a store, hurt in one way for a while."""
    path = draw.choice([file for file in store.files if kind != "swapped" or _alike(store, file)])
    if kind == "missing" and path.name in ("cache.json", "checkpoint.safetensors"):  # the last to be written: without
        path = store.files[1]  # them nothing was ever stored, and whoever asks begins at the beginning
    if kind == "other version":
        path = store.files[0]
    others = _alike(store, path)
    before = path.read_bytes()
    if kind == "flipped":
        place, bit = draw.randrange(len(before)), draw.randrange(8)
        path.write_bytes(before[:place] + bytes([before[place] ^ 1 << bit]) + before[place + 1 :])
    elif kind == "truncated":
        path.write_bytes(before[: draw.randrange(len(before))])
    elif kind == "missing":
        path.unlink()
    elif kind == "swapped":
        path.write_bytes(draw.choice(others).read_bytes())
    elif store.other_version:
        path.write_bytes(store.other_version(before))
    try:
        yield path
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("times", [5, pytest.param(60, marks=pytest.mark.reliability)])
@pytest.mark.parametrize("name", STORES)
def test_no_damage_goes_unnoticed(name: str, times: int, tmp_path: Path, figures: Figures) -> None:
    store, draw = STORES[name](tmp_path), random.Random(f"damage {name}")
    whole, counted, unnoticed, untold = store.use(), Counter[str](), list[str](), list[str]()
    for turn in range(times):
        kind = list(WORDS)[turn % (5 if store.other_version else 4)]
        with damage(kind, store, draw) as path:
            counted[kind] += 1
            try:
                store.use()
            except BenchmarkError as error:
                if not re.search(WORDS[kind], str(error)):
                    untold.append(f"{kind} {path.name}: {error}")
            else:
                unnoticed.append(f"{kind} {path.name}")
    assert store.use() == whole
    assert not unnoticed and not untold, (unnoticed, untold)
    figures("2", f"random damages to {name}", f"{counted.total()}, none unnoticed")
