"""`fedrepro submit`: from a method's file to a branch with one commit, ready for a pull request."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchmark.cli.jobs import fail_if_any, train
from benchmark.cli.options import RESULTS, ROOT, Workers, cores
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.records.index import ResultsIndex

STEPS = 7


def submit(
    method: Annotated[str, typer.Argument(help="Name of a method in algorithms/.", metavar="METHOD")],
    tier: Annotated[Literal["quick", "lite"], typer.Option(help="Tasks to run; lite ones need images.")] = "quick",
    workers: Workers = None,
) -> None:
    """Check, tune, run and audit a method, rebuild the boards, verify, and commit it all on a branch of its own.

    The message of the commit is the body of the pull request. Nothing is pushed. If a step fails, its line says what to
    do, and the same command goes on from there. Methods are tuned on lite tasks; on quick ones all have their defaults.
    """
    from benchmark.pipeline import stages
    from benchmark.pipeline.submission import Submission, body
    from benchmark.pipeline.verify import verify
    from benchmark.records.index import ResultsIndex

    started = monotonic()
    submission = Submission(ROOT, method)
    _say(1, "the tree: nothing but this method may have changed")
    submission.refuse_other_changes()
    _say(2, "check: the rules of the interface, on random data")
    _check(method)
    _say(3, f"records: {'tuning and ' * (tier == 'lite')}all cells of the tier {tier}")
    _run(method, tier, workers or cores())
    _say(4, "audit: the first cell again, server and clients in processes of their own")
    _audit(method, tier, workers or cores())
    _say(5, "rebuild: tables, boards and pipeline files")
    stages.rebuild(ROOT)
    _say(6, "verify: every number traces to a record")
    if findings := verify(ROOT):
        raise BenchmarkError("; ".join(findings[:3]), hint="`fedrepro verify` lists all findings", user=False)
    _say(7, f"commit: on the branch {submission.branch}")
    text = body(ResultsIndex.load(RESULTS), method, ROOT / "algorithms" / f"{method}.py")
    paths = submission.commit(text)
    print(f"\n{text}\n{len(paths)} files, {monotonic() - started:.0f} s. To open the pull request:")
    print(f"  git push -u origin {submission.branch}")
    print("  gh pr create --fill    # title and body are those of the commit")


def _say(step: int, what: str) -> None:
    print(f"{step}/{STEPS} {what}", flush=True)


def _check(method: str) -> None:
    from benchmark.submission.check import check

    faults = list(dict.fromkeys(str(fault) for result in check(method) for fault in result.faults))
    for fault in faults:
        print(f"fedrepro: {fault}", file=sys.stderr)
    if faults:
        raise BenchmarkError(f"{method} breaks {len(faults)} rules", hint="correct the file, then repeat the command")


def _run(method: str, tier: str, workers: int) -> None:
    from benchmark.experiments.cost_model import CostModel, measured
    from benchmark.experiments.planner import plan
    from benchmark.experiments.workload import Workload

    index = _index()
    cost = CostModel(measured(RESULTS), Workload(index.tasks))
    fail_if_any(train(plan(index, tiers=[tier], methods=[method], tune=True, cost=cost), index, cost, workers))
    index = _index()  # with the new records
    missing = [task for task in _tasks(index, method, tier) if method in index.missing(task, [method])]
    if missing == _tasks(index, method, tier):
        hint = "see `track` and `needs` of the class, and `fedrepro data status`"
        raise BenchmarkError(f"{method} has run on no {tier} task", hint=hint)


def _audit(method: str, tier: str, workers: int) -> None:
    from benchmark.experiments.audit import audit
    from benchmark.experiments.cell import Cell

    index = _index()
    task = next(name for name in _tasks(index, method, tier) if (name, method) in index.records)
    audit(Cell(task, method, index.tasks[task].seeds[0], audit=True), RESULTS, workers=workers)


def _tasks(index: ResultsIndex, method: str, tier: str) -> list[str]:
    """Tasks of the tier that the method can run."""
    return [
        name
        for name, task in sorted(index.tasks.items())
        if task.tier == tier and index.why_not_applicable(name, method) is None
    ]


def _index() -> ResultsIndex:
    from benchmark.records.index import index_with_live_methods

    return index_with_live_methods(RESULTS)
