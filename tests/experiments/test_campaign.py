"""Which cells run, in what order, at what cost, and what happens when one of them fails or somebody interrupts."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import checkpoint
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.storage.checksummed_json import dump_checksummed
from benchmark.core.tasks import task as tasks
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.experiments import executors, planner, run
from benchmark.experiments.cell import Cell
from benchmark.experiments.local_executor import LocalExecutor
from benchmark.experiments.planner import Job
from benchmark.experiments.progress import Lines, Outcome, label
from benchmark.experiments.tuning import Point, Tuned, Tuning, read
from benchmark.records.index import Method, ResultsIndex

pytestmark = pytest.mark.slow

TASK = "digits-shards"


def view(jobs: Sequence[Job]) -> Diary:
    """A view that nobody sees."""
    return Diary(Console(file=io.StringIO()), {label(job): 1.0 for job in jobs})


class Diary(Lines):
    """Keeps what begins and ends, in order."""

    def __init__(self, console: Console, costs: Mapping[str, float]) -> None:
        super().__init__(console, costs)
        self.events: list[tuple[str, Job]] = []

    def begin(self, cell: Job) -> None:
        super().begin(cell)
        self.events.append(("begin", cell))

    def end(self, outcome: Outcome) -> None:
        super().end(outcome)
        self.events.append(("end", outcome.cell))


def index_of(results: Path, *names: str) -> ResultsIndex:
    """A suite of these tasks with two methods and no records."""
    methods = {name: Method(name=name, track=["global"]) for name in ("fedavg", "fedntd")}
    return ResultsIndex(results, {name: tasks.load(name) for name in names}, methods, [])


def test_quick_cells_come_first_then_first_seeds_of_the_lite_tier(tmp_path: Path) -> None:
    suite = index_of(tmp_path, "fmnist-shards", TASK)
    order = [(one.task, one.algorithm, one.seed) for one in planner.plan(suite)]
    quick = [(TASK, method, seed) for seed in (0, 1, 2) for method in ("fedavg", "fedntd")]
    lite = [("fmnist-shards", method, seed) for seed in (0, 1, 2) for method in ("fedavg", "fedntd")]
    assert order == quick + lite


def test_every_method_has_its_turn_before_any_has_its_second(tmp_path: Path) -> None:
    suite = index_of(tmp_path, "digits-personal", TASK)
    methods = {
        "fedavg": Method(name="fedavg", track=["global", "personal"]),
        "fedntd": Method(name="fedntd", track=["global"]),
        "local": Method(name="local", track=["personal"]),
    }
    order = [(one.algorithm, one.task) for one in planner.plan(replace(suite, methods=methods), seeds=[0])]
    first = [("fedavg", TASK), ("fedntd", TASK), ("local", "digits-personal")]
    assert order == [*first, ("fedavg", "digits-personal")]


def test_first_seeds_of_papers_stand_between_first_and_further_seeds_of_the_lite_tier(tmp_path: Path) -> None:
    paper, lite = "paper-fd-t1-mnist-m2", "fmnist-shards"
    claim = f"{{id: a, tasks: [{paper}], methods: [fedavg], value: 80.0}}"
    source = f"sources: [{{paper: P, table: T, source: S, seen: true, claims: [{claim}]}}]"
    (tmp_path / "claims.yaml").write_text(source)
    order = [(job.task, job.seed) for job in planner.plan(index_of(tmp_path, paper, lite), methods=["fedavg"])]
    assert order == [(lite, 0), (paper, 0), (lite, 1), (lite, 2), (paper, 1), (paper, 2)]


def test_cells_whose_data_nobody_holds_are_not_planned(tmp_path: Path) -> None:
    assert planner.plan(index_of(tmp_path, "svhn-shards")) == []


def test_a_tuning_that_no_longer_stands_is_done_again(tmp_path: Path) -> None:
    suite = index_of(tmp_path, "fmnist-shards")
    task = suite.tasks["fmnist-shards"]
    point = Point(settings={}, score=0.5, seconds=1.0)
    content = {"schema": 1, "protocol": PROTOCOL, "engine": ENGINE, "task": task.name, "algorithm": "fedavg",
               "task_sha256": task.sha256, "algorithm_sha256": "ab" * 32, "seed": 1000, "rounds": 7,
               "validation": 0.1, "points": [point], "chosen": {}}  # fmt: skip
    methods = suite.methods | {"fedavg": Method(name="fedavg", track=["global"], sha256="ab" * 32)}
    for changes, lacking in (({}, ["fedntd"]), ({"task_sha256": "cd" * 32}, ["fedavg", "fedntd"])):
        made = Tuned.model_validate(content | changes)
        text = dump_checksummed(made.model_dump(mode="json", by_alias=True))
        write_atomic(Tuning(task.name, "fedavg").path(tmp_path), text)
        assert planner.untuned(replace(suite, methods=methods), task) == lacking


def test_filters_leave_what_they_name(tmp_path: Path) -> None:
    suite = index_of(tmp_path, "fmnist-shards", TASK)
    chosen = planner.plan(suite, tiers=["quick"], methods=["fedntd"], seeds=[1, 2])
    assert [(one.task, one.algorithm, one.seed) for one in chosen] == [(TASK, "fedntd", 1), (TASK, "fedntd", 2)]
    assert planner.plan(suite, tiers=["lite"], tasks=[TASK]) == []


def test_a_tuning_costs_what_its_points_have_of_a_cell_s_rounds(tmp_path: Path) -> None:
    suite = index_of(tmp_path, "fmnist-shards")
    jobs = planner.plan(suite, methods=["fedntd"], tune=True)
    assert jobs == [Tuning("fmnist-shards", "fedntd"), *(Cell("fmnist-shards", "fedntd", seed) for seed in range(3))]
    # 30 rounds: six points of 7
    assert list(planner.costs(jobs, suite, lambda pair: 10.0).values()) == [14, 10, 10, 10]


def test_a_tuning_comes_right_before_the_first_cell_on_its_task(tmp_path: Path) -> None:
    suite = index_of(tmp_path, "fmnist-shards", TASK)
    order = [(job.task, job.algorithm, job.what) for job in planner.plan(suite, tune=True)]
    assert order[6:10] == [
        ("fmnist-shards", method, what) for method in ("fedavg", "fedntd") for what in ("tuning", "seed 0")
    ]  # six quick cells before, which nobody tunes
    assert [what for *_, what in order[10:]] == ["seed 1"] * 2 + ["seed 2"] * 2


def test_a_paper_s_cells_stand_in_the_order_of_claims_per_hour(tmp_path: Path) -> None:
    first, second = "paper-fd-t1-mnist-m2", "paper-fd-t1-mnist-m4"
    claims = [f"{{id: c{i}, tasks: [{first}], methods: [fedavg], value: 80.0}}" for i in range(2)]
    claims += [f"{{id: d, tasks: [{second}], methods: [fedavg], value: 80.0}}"]
    pair = f"{{id: e, kind: order, tasks: [{second}], methods: [fedntd, fedavg], statement: s}}"
    source = "sources: [{paper: P, table: T, source: S, seen: true, claims: [%s]}]"
    (tmp_path / "claims.yaml").write_text(source % ", ".join([*claims, pair]))
    suite, seconds = index_of(tmp_path, first, second), {first: 10.0, second: 6.0}
    order = [(job.task, job.algorithm) for job in planner.plan(suite, seeds=[0], cost=lambda pair: seconds[pair[0]])]
    # claims per second: FedAvg on m4 answers one and half of another in 6 s, on m2 two in 10 s, FedNTD half in 6 s
    assert order == [(second, "fedavg"), (first, "fedavg"), (second, "fedntd")]


def test_a_cell_that_fails_or_kills_its_process_costs_only_itself(tmp_path: Path) -> None:
    """Workers come to the same bits as this process, and every failure is a sentence."""
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        "from dataclasses import dataclass\nfrom benchmark.core.api import Algorithm\n"
        "@dataclass(frozen=True)\nclass Deadly(Algorithm):\n"
        "    def phases(self, rounds):\n        raise SystemExit(7)\n"
    )
    good = [Cell(TASK, "fedavg", seed, rounds=1) for seed in (0, 1)]
    cells = [Cell(TASK, str(deadly)), Cell(TASK, "fedavgg"), *good]
    outcomes = executors.run(cells, LocalExecutor(tmp_path / "out", 2), view(cells))
    assert {label(one.cell) for one in outcomes} == {label(one) for one in cells}
    errors = {one.cell.algorithm: one.error for one in outcomes if one.record is None}
    assert "ended unexpectedly (exit code 7" in errors[str(deadly)]
    assert errors["fedavgg"] == "unknown method fedavgg; did you mean fedavg?"
    here = run.run(good[0], tmp_path / "here")
    assert next(one.record for one in outcomes if one.cell == good[0]) == here
    assert multiprocessing.active_children() == []


def test_a_cell_waits_for_its_method_s_tuning(tmp_path: Path) -> None:
    """Whichever of the two workers is done first, the next method's cell goes ahead and the method's own stays back."""
    tuning, own, other = Tuning(TASK, "fedavg"), Cell(TASK, "fedavg", rounds=1), Cell(TASK, "local", rounds=1)
    diary = view([tuning, own, other])
    outcomes = executors.run([tuning, own, other], LocalExecutor(tmp_path, 2), diary)
    assert [job for kind, job in diary.events if kind == "begin"] == [tuning, other, own]
    assert diary.events.index(("end", tuning)) < diary.events.index(("begin", own))
    made = next(one.record for one in outcomes if one.cell == tuning)
    assert isinstance(made, Tuned) and made == read(tuning.path(tmp_path))


def test_after_the_deadline_no_cell_begins(tmp_path: Path) -> None:
    cells = [Cell(TASK, "fedavg", seed, rounds=1) for seed in range(3)]
    outcomes = executors.run(cells, LocalExecutor(tmp_path, 1), view(cells), seconds=0)
    assert [one.cell for one in outcomes] == cells[:1]


def test_a_checkpoint_belongs_to_one_code_engine_protocol_and_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = tmp_path / "mine.py"
    method.write_text((method_files.FOLDER / "fedavg.py").read_text())
    one = Cell(TASK, str(method))
    found = [one.prepare().identity, replace(one, backend="stacked").prepare().identity]
    method.write_text(method.read_text() + "x = 1\n")
    found.append(one.prepare().identity)
    ruled = tmp_path / f"{TASK}.yaml"
    ruled.write_text((tasks.FOLDER / f"{TASK}.yaml").read_text() + "protocol: 2\n")
    found.append(replace(one, task=str(ruled)).prepare().identity)
    monkeypatch.setattr("benchmark.experiments.cell.ENGINE", 99)
    found.append(one.prepare().identity)
    assert len(set(found)) == 5


def test_a_stale_checkpoint_is_dropped_where_a_stale_record_may_be_replaced(tmp_path: Path) -> None:
    folder = tmp_path / TASK / "fedavg" / ".0.run"
    folder.mkdir(parents=True)
    checkpoint.save(folder / "checkpoint.safetensors", {}, {"identity": "of an older method"})
    with pytest.raises(BenchmarkError, match="the checkpoint belongs to another cell"):
        run.run(Cell(TASK, "fedavg"), tmp_path)
    run.run(Cell(TASK, "fedavg"), tmp_path, replace=True)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["0.json", "0.run.json"]


def test_an_interruption_leaves_no_process_and_no_record(tmp_path: Path) -> None:
    script = f"""
import multiprocessing
from pathlib import Path
from benchmark.experiments import executors
from benchmark.experiments.cell import Cell
from benchmark.experiments.local_executor import LocalExecutor
from benchmark.experiments.progress import Lines, label
class Loud(Lines):
    def round(self, cell, event):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
from rich.console import Console
cells = [Cell({TASK!r}, "fedavg", seed, rounds=5000) for seed in (0, 1, 2)]
view = Loud(Console(), {{label(one): 1.0 for one in cells}})
executors.run(cells, LocalExecutor(Path({str(tmp_path)!r}), 2), view)
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", script], **pipes, text=True, start_new_session=True)
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does: the whole group gets it
    _, stderr = process.communicate()
    assert stderr.count("Traceback") == 1  # the parent's, and of no worker
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(tmp_path.rglob("*.json"))
