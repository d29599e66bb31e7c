"""`fedrepro tune`: a method's values on a task."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, Workers, cores, show


def tune(
    method: Annotated[str, typer.Argument(help="Name of a method.", metavar="METHOD")],
    task: Annotated[str, typer.Option(help="Name of a task.")],
    workers: Workers = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write here, not into results/.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the points and what they cost.")] = False,
) -> None:
    """Choose a method's values on a task out of six declared points, by accuracy on validation data.

    One seed, a quarter of the rounds. Unless --out is given, the task has the chosen values from then on, and records
    of other values are outdated. The same command resumes.
    """
    from benchmark.core.tasks import task as tasks
    from benchmark.experiments import tuning
    from benchmark.experiments.cost_model import CostModel, measured
    from benchmark.experiments.progress import Outcome, label, spell, watch
    from benchmark.experiments.workload import Workload

    setting, job = tasks.load(task), tuning.Tuning(task, method)
    job.check()
    cost = CostModel(measured(RESULTS), Workload({name: tasks.load(name) for name in tasks.names()}))((task, method))
    cost *= tuning.relative_cost(setting)
    print(f"{tuning.POINTS} points, {tuning.shortened(setting).rounds} of {setting.rounds} rounds each: "
          f"about {spell(cost / (workers or cores()))}")  # fmt: skip
    if dry_run:
        show([{"point": tuning.spelled(point)} for point in tuning.grid(method, setting)], as_json=False)
        return
    started = time.monotonic()
    with watch({label(job): 1.0}) as view:
        view.begin(job)
        tuned = job.run(out or RESULTS, workers=workers or cores(), observer=lambda event: view.round(job, event))
        view.end(Outcome(job, tuned, time.monotonic() - started))
    show(tuned.rows, as_json=False)
