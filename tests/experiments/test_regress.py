"""The regression guard: quiet on unchanged code, loud on a wrong sign, a dropped term, a missing weight."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import task as tasks
from benchmark.experiments import regress, run
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import Lines, label
from benchmark.records import store, tolerance
from benchmark.records.compare import content
from benchmark.records.index import Method, ResultsIndex
from helpers import handmade_records as records
from helpers.handmade_records import make, result
from helpers.reliability_figures import Figures

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
TASK = """
track: global
tier: quick
dataset: digits
split: {kind: dirichlet, alpha: 0.1}
clients: 10
cohort: 3
rounds: 10
networks: [mlp]
train: {epochs: 3, batch: 20, optimiser: {lr: 0.1, momentum: 0.9}}
"""
UNWEIGHTED = """
    def aggregate(self, server, uploads, phase, hub, key):
        return super().aggregate(server, [u._replace(who=u.who._replace(size=1)) for u in uploads], phase, hub, key)
"""
PLANTED: dict[str, Callable[[str], str]] = {
    "wrong sign": lambda text: text.replace("risk + self.beta", "risk - self.beta"),
    "dropped term": lambda text: text.replace("return risk + self.beta * self.tau**2 * distance", "return risk"),
    "missing weight": lambda text: text + UNWEIGHTED,
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> ResultsIndex:
    """FedAvg and FedNTD, three seeds each, on a small task whose clients have different sizes."""
    home = tmp_path_factory.mktemp("regress")
    (home / "tiny.yaml").write_text(TASK)
    for name in ("fedavg", "fedntd"):
        (home / f"{name}.py").write_text((ROOT / "algorithms" / f"{name}.py").read_text())
        for seed in range(3):
            run.run(Cell(str(home / "tiny.yaml"), str(home / f"{name}.py"), seed), home / "results")
    known = {"tiny": tasks.load(str(home / "tiny.yaml"))}
    methods = {name: Method(name=name, track=["global"]) for name in ("fedavg", "fedntd")}
    return ResultsIndex(home / "results", known, methods, store.read_all(home / "results"))


def again(index: ResultsIndex, folder: Path, change: Callable[[str], str] = str) -> regress.Comparison:
    """FedNTD's cell with its file changed, beside its record."""
    home = index.results.parent
    (folder / "fedntd.py").write_text(change((home / "fedntd.py").read_text()))
    run.run(Cell(str(home / "tiny.yaml"), str(folder / "fedntd.py")), folder)
    return regress.against_record(index, Cell("tiny", "fedntd"), folder)


def elsewhere(found: regress.Comparison) -> regress.Comparison:
    """The verdict if the records came from two kinds of machines, where only bands and bytes count."""
    return regress.judge(found.cell, found.before, found.after, found.tolerance, same_kind=False)


def test_every_method_is_compared_on_one_task_and_its_first_seed(index: ResultsIndex) -> None:
    assert regress.recorded_cells(index) == [Cell("tiny", "fedavg", 0), Cell("tiny", "fedntd", 0)]
    harder = index.tasks["tiny"].model_copy(update={"rounds": 11})
    assert regress.recorded_cells(replace(index, tasks={"tiny": harder})) == []  # records of another task say nothing


def test_a_band_is_three_deviations_of_the_difference_of_two_seeds(index: ResultsIndex) -> None:
    accuracies = [[one.result.accuracy for one in made.values() if one.result] for made in index.records.values()]
    variances = [sum((a - sum(group) / 3) ** 2 for a in group) / 2 for group in accuracies]
    pooled = sum(variances) / 2
    for (_, method), variance in zip(index.records, variances, strict=True):  # a method's own, where it is wider
        found = regress.bands(index, "tiny", method)["accuracy"]
        assert found == pytest.approx(3 * (2 * max(pooled, variance)) ** 0.5)
    assert variances[0] != variances[1]


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.reliability)])
def test_unchanged_code_is_quiet(index: ResultsIndex, times: int, tmp_path: Path, figures: Figures) -> None:
    for number in range(times):
        (tmp_path / str(number)).mkdir()
        found = again(index, tmp_path / str(number), lambda text: text + "\n# prose\n")
        assert (found.verdict, found.why) == ("equal", "") and elsewhere(found).verdict == "equal"
    figures("6", "repetitions of unchanged code", f"{times}, none reported")


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_reported(index: ResultsIndex, name: str, tmp_path: Path) -> None:
    found = again(index, tmp_path, PLANTED[name])
    assert found.verdict == "changed" and found.why
    if name == "wrong sign":  # the others move a cell as small as this by less than bands are wide: bits show them
        assert elsewhere(found).verdict == "changed"


def test_other_bytes_are_a_change_anywhere(index: ResultsIndex, tmp_path: Path) -> None:
    found = again(index, tmp_path, lambda text: text + """
    def finish(self, client, local, message, phase, site):
        return client, {"model": local.params, "more": local.params["classifier.bias"]}
""")  # fmt: skip
    assert elsewhere(found).verdict == "changed" and elsewhere(found).why.startswith("bytes.up was ")


def test_cells_run_on_workers_and_come_back_in_order(index: ResultsIndex, tmp_path: Path) -> None:
    home = index.results.parent
    chosen = [Cell(str(home / "tiny.yaml"), str(home / f"{name}.py")) for name in ("fedntd", "fedavg")]
    view = Lines(Console(file=io.StringIO()), {label(one): 1.0 for one in chosen})
    found = regress.against_records(index, chosen, tmp_path, 2, view)
    assert [(Path(one.cell.algorithm).stem, one.verdict) for one in found] == [("fedntd", "equal"), ("fedavg", "equal")]


SLOWER = """
    def step(self, local, batch, gradient, update):
        gradients, extras = gradient(local, batch)
        return update(local, {name: 0.99 * value for name, value in gradients.items()}), extras
"""
EQUAL_WEIGHTS = "[u._replace(who=u.who._replace(size=1)) for u in uploads]"
FAULTS: dict[str, Callable[[str], str]] = {  # by method: what is planted into its file
    "fedntd": PLANTED["dropped term"],
    "fedavgm": lambda text: text.replace(
        'average(server["models"], uploads)', f'average(server["models"], {EQUAL_WEIGHTS})'
    ),
    "fedprox": lambda text: text.replace('["global"], self.mu)', '["global"], -self.mu)'),
    "moon": lambda text: text + SLOWER,  # a learning rate one percent lower
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own that holds what a cell needs."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("algorithms", "benchmark"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", root)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "base"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    return root


def test_against_a_revision_every_planted_fault_shows_on_any_processor(clone: Path) -> None:
    (clone / "algorithms" / "brandnew.py").write_text((clone / "algorithms" / "fedavg.py").read_text())
    for name, plant in FAULTS.items():
        path = clone / "algorithms" / f"{name}.py"
        text = path.read_text()
        assert plant(text) != text
        path.write_text(plant(text))
    cells = [Cell("digits-shards", name) for name in ("fedavg", "brandnew", *FAULTS)]
    rows = [found.row() for found in regress.against_revision("HEAD", cells, 2, lambda text: None, clone)]
    verdicts = {row["method"]: row["verdict"] for row in rows}
    assert verdicts == {"fedavg": "equal", "brandnew": "new"} | dict.fromkeys(FAULTS, "changed")
    assert all(row["why"] for row in rows if row["verdict"] == "changed"), rows
    assert rows[1]["accuracy"] == [None, rows[0]["accuracy"][1], None]  # it is FedAvg under another name
    assert not (clone / "results").exists()


def test_a_revision_that_is_none_is_named(clone: Path) -> None:
    with pytest.raises(BenchmarkError, match="--base v99 is no revision of this checkout"):
        regress.against_revision("v99", [Cell("digits-shards", "fedavg")], 1, print, clone)


def test_a_cell_that_does_not_run_any_more_is_a_change(index: ResultsIndex) -> None:
    cell = Cell("tiny", "fedntd")
    found = regress.against_record(
        index, cell, index.results / "nowhere", "loss: NameError: name 'risc' is not defined"
    )
    assert found.verdict == "changed" and "risc" in found.why
    row = found.row()
    before = index.records["tiny", "fedntd"][0].result
    assert before is not None and row["accuracy"][:2] == [before.accuracy, None]


BANDS = {"accuracy": 0.1, "mean_accuracy": 0.1, "forgetting": 0.1}


def compared(**measured: Any) -> regress.Comparison:
    """A record of 50 %, and one that measured something else on another kind of machine."""
    before, after = content(make("fedavg", 0, 0.5)), content(make("fedavg", 0, result=result(0.5) | measured))
    return regress.judge(Cell("digits-shards", "fedavg"), before, after, BANDS, same_kind=False)


def test_forgetting_the_whole_course_and_bytes_both_ways_count() -> None:
    assert compared(accuracy_last5=0.1).verdict == "within band"
    assert compared(forgetting=0.3).why == "forgetting +20.00 points, allowed ±10.00"
    last = result(0.5)["evaluations"][0]
    # 50 and 10 % are 30 % on average, though the best round is as before
    mean = compared(evaluations=[last | {"round": 20, "accuracy": 0.1}, last])
    assert (mean.verdict, mean.why) == ("changed", "mean_accuracy -20.00 points, allowed ±10.00")
    down = {"down": 5_000_004, "by_name": [["train", "down", "model", 5_000_004], ["train", "up", "model", 3_000_000]]}
    assert compared(bytes=result(0.5)["bytes"] | down).why == "bytes.down was 5000000, is 5000004"


def test_cells_that_depart_or_are_not_quick_are_no_baseline(tmp_path: Path) -> None:
    results = records.example_results(tmp_path)
    records.write(results, make("fedprox", 0, departures=["rounds 4 instead of 30"]))
    records.write(results, make("fedprox", 0, task="fmnist-shards"))
    suite = ResultsIndex.load(results)
    assert tolerance.baseline(suite, "digits-shards", "fedprox") == {}
    assert [cell.algorithm for cell in regress.recorded_cells(suite)] == ["fedavg", "fedntd"]


def test_the_command_ends_with_one_where_numbers_have_changed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    suite = ResultsIndex.load(records.example_results(tmp_path))
    monkeypatch.setattr("benchmark.records.index.index_with_live_methods", lambda results: suite)
    for found, code in ((compared(forgetting=0.3), 1), (compared(accuracy_last5=0.1), 0)):
        monkeypatch.setattr(regress, "against_records", lambda *given, found=found: [found])
        assert invoke(["regress", "--json"]) == code
        out, err = capsys.readouterr()
        assert json.loads(out)[0]["verdict"] == found.verdict and ("fedavg" in err) == (code == 1)


@pytest.mark.regress
@pytest.mark.parametrize("cell", regress.recorded_cells(ResultsIndex.load(RESULTS)), ids=label)
def test_a_method_s_numbers_are_those_of_its_record(cell: Cell, tmp_path: Path) -> None:
    run.run(cell, tmp_path)
    found = regress.against_record(ResultsIndex.load(RESULTS, cell.task), cell, tmp_path)
    assert found.verdict != "changed", found.row()


@pytest.mark.reliability
@pytest.mark.parametrize("processor", ["", "default"])
def test_the_committed_records_of_every_method_are_met(processor: str, figures: Figures) -> None:
    """Once as here, and once with torch told to use no wide instructions, which is another kind of processor."""
    program = [sys.executable, "-c", "from benchmark.cli import main; main()", "regress", "--json"]
    more = {"ATEN_CPU_CAPABILITY": processor} if processor else {}
    done = subprocess.run(program, capture_output=True, text=True, env=os.environ | more, cwd=ROOT, check=False)
    rows = json.load(io.StringIO(done.stdout))
    verdicts = [row["verdict"] for row in rows]
    assert done.returncode == 0, [row for row in rows if row["verdict"] == "changed"]
    where = "with torch kept from wide instructions" if processor else "on this machine"
    gap = max(abs(row["mean_accuracy"][1] - row["mean_accuracy"][0]) for row in rows) * 100
    found = f"{len(rows)} methods: {verdicts.count('equal')} equal, {verdicts.count('within band')} within their band"
    figures("6", f"`fedrepro regress`, {where}", f"{found} (mean accuracy {gap:.2f} points off at most)")
