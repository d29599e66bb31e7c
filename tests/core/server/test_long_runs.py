"""Long runs and many records: memory stays flat, nothing is left behind, the board does not wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean

import pytest

from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.records.index import ResultsIndex
from benchmark.reports import pages
from helpers.handmade_records import fingerprint, make, result
from helpers.reliability_figures import Figures

pytestmark = pytest.mark.slow

TASK = """
track: global
tier: quick
dataset: digits
split: {kind: shards, shards: 2}
clients: 10
cohort: 2
rounds: 2000
networks: [mlp]
train: {batch: 50, optimiser: {lr: 0.01}}
evaluate_every: 20
"""


def resident(pid: int) -> int:
    """Bytes of memory of a process and of all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children)


def descendants(pid: int) -> list[int]:
    """Ids of a process's children and theirs."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [other for child in children for other in descendants(child)]


def alive(pid: int) -> bool:
    """Whether a process is there and not merely waits to be forgotten."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("rounds", [60, pytest.param(2_000, marks=pytest.mark.reliability)])
def test_a_long_run_holds_its_memory_and_leaves_nothing_behind(rounds: int, tmp_path: Path, figures: Figures) -> None:
    """SCAFFOLD, which keeps memories on both sides, on two workers: after a tenth of the rounds, and at the end."""
    (tmp_path / "long.yaml").write_text(TASK)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["run", "scaffold", "--task", str(tmp_path / "long.yaml"), "--rounds", str(rounds), "--workers", "2",
             "--out", str(tmp_path / "out"), "--json"]  # fmt: skip
    program = [sys.executable, "-c", "from benchmark.cli import main; main()", *words]
    sizes, crew, surroundings = list[int](), set[int](), os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=surroundings) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if "round" in event and event["round"] < rounds - 20:  # the last rounds are reported when the run is over
                sizes.append(resident(process.pid))
                crew.update(descendants(process.pid))
    assert process.returncode == 0
    part = max(1, len(sizes) // 10)
    early, late = fmean(sizes[part : 2 * part]), fmean(sizes[-part:])
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert files == ["long", "long/scaffold", "long/scaffold/0.json", "long/scaffold/0.run.json"]
    assert list(scratch.iterdir()) == [] and len(crew) >= 2  # workers and a tracker
    for _ in range(100):  # Python's own resource tracker ends after its parent, when it notices
        crew = {pid for pid in crew if alive(pid)}
        time.sleep(0.1 * bool(crew))
    assert not crew
    if rounds == 2_000:
        assert late <= 1.05 * early
    figures("7", "a run of 2,000 rounds on two workers", f"{early / 1e6:.0f} MB after a tenth, {late / 1e6:.0f} MB at "
            f"the end ({(late / early - 1) * 100:+.1f} %); no process and no temporary file left")  # fmt: skip


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.reliability)])
def test_many_records_are_read_and_become_a_board(number: int, tmp_path: Path, figures: Figures) -> None:
    """Fifteen evaluations of ten classes each, as on the quick task; the clock starts when they lie on disk."""
    results, tasks = tmp_path / "results", ("digits-shards", "cifar10-shards", "fmnist-shards", "cifar10-dirichlet")
    seeds = 25
    for method in range(number // seeds // len(tasks)):
        fingerprint(results, f"m{method}")
        for task in tasks:
            for seed in range(seeds):
                one = make(f"m{method}", seed, task=task, result=_result(seed))
                (results / one.path).parent.mkdir(parents=True, exist_ok=True)
                (results / one.path).write_text(canonical_json(one))  # not synced: it is reading that is measured
    begun, worked = time.monotonic(), time.process_time()
    suite = ResultsIndex.load(results)
    made = pages.files(suite)
    seconds, work = time.monotonic() - begun, time.process_time() - worked
    assert len(suite.entries) == number and not [entry.reason for entry in suite.entries if entry.reason]
    rows = sum(text.count("\n") - 1 for path, text in made.items() if path.parent.name == "tables")
    assert rows == number // seeds
    if number == 10_000:
        assert work < 10
    figures("7", "10,000 records read and the board built", f"{seconds:.1f} s, {work:.1f} s of work")


def _result(seed: int) -> dict[str, object]:
    one = result(0.5 + seed / 100)
    (last,) = one["evaluations"]
    return one | {"evaluations": [last | {"round": number} for number in range(2, 32, 2)]}
