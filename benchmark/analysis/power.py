"""What a board can tell apart: noise, smallest detectable difference, order and cost of one task, from its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, median

from benchmark.analysis import detection, reliability
from benchmark.analysis.comparisons import Comparisons, compare
from benchmark.analysis.controls import CONTROLS
from benchmark.analysis.estimators import ESTIMATORS, WINDOW
from benchmark.core.data.loading import info_of
from benchmark.core.tasks.task import Task
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record
from benchmark.records.store import core_seconds, read_all

NEAR = 2.0  # points from the floor or the ceiling
GOAL = 2.0  # points that a board should be able to tell apart


@dataclass(frozen=True)
class Resolution:
    """What a board tells apart by one estimator of accuracy. Differences and deviations in points.

    Attributes:
        estimator: Name of the estimator.
        means: Mean over seeds in %, by row.
        difference_sd: Root mean square, over pairs of live rows, of the standard deviation over seeds of their
            difference.
        prior_degrees: Degrees of freedom that shrinking adds to each test, infinite if all variances look alike.
        detectable: Smallest difference of one pair found with 80 % power by the board's test (`detection.detectable`).
        detectable_plain: The same by Student's paired test, without shrinking.
        detectable_corrected: The same by the board's test at the first step of Holm's correction over all comparisons
            with one reference, 0.05 / (rows - 1).
        seeds_needed: Seeds with which 2 points are found with 80 % power by the board's test; None above 1000.
        row_hours_needed: Core-hours of one row with that many seeds.
        median_difference: Median over pairs of live rows of the absolute difference.
        seeds_for_median: Seeds with which that difference is found with 80 % power: unlike `seeds_needed` it does not
            favour an estimator that makes differences small along with noise.
        pairs: Number of pairs of rows.
        apart: Number of them told apart after Holm's correction over all pairs.
        kendall_w: `reliability.kendall_w` of the largest complete table of rows and seeds.
        icc: `reliability.intraclass_correlation` of that table.
        tau_halves: `reliability.tau_between_halves` of that table; None with fewer than ten seeds.
    """

    estimator: str
    means: dict[str, float]
    difference_sd: float | None
    prior_degrees: float
    detectable: float | None
    detectable_plain: float | None
    detectable_corrected: float | None
    seeds_needed: int | None
    row_hours_needed: float | None
    median_difference: float | None
    seeds_for_median: int | None
    pairs: int
    apart: int
    kendall_w: float | None
    icc: float | None
    tau_halves: float | None


@dataclass(frozen=True)
class Power:
    """What a task's board can tell apart.

    Attributes:
        task: Name of the task.
        protocol: Versions of the protocol that its records are of.
        rows: Methods that are compared: federated, judged alike, no controls.
        seeds: Number of seeds that the largest complete table of rows has, 1 if no two rows share two seeds.
        diverged: Share of seeds that diverged, by method that has any.
        floor: The higher of two accuracies in %: of the best constant answer, and of the control `untrained`.
        ceiling: Accuracy of the control `central` in %; 100 without it and on the track personal.
        at_floor: Rows whose mean final accuracy is below the floor or within 2 points of it.
        at_ceiling: Rows above the ceiling or within 2 points of it.
        round_sd: Standard deviation of a live row's accuracy about a straight line over the last ten judged rounds of a
            run, in points; None if fewer were judged.
        components: Where the variance of a final number of a live row, one away from the floor, comes from.
        core_hours: Core-hours of all rows and seeds, from the records' .run.json files.
        row_hours: Core-hours of one row and seed, the mean.
        resolutions: By each estimator that the task's records allow.
    """

    task: str
    protocol: list[int]
    rows: list[str]
    seeds: int
    diverged: dict[str, float]
    floor: float
    ceiling: float
    at_floor: list[str]
    at_ceiling: list[str]
    round_sd: float | None
    components: reliability.Components | None
    core_hours: float | None
    row_hours: float | None
    resolutions: list[Resolution]


Rows = Mapping[str, Sequence[Record]]


def of_board(index: ResultsIndex, task: Task) -> Power | None:
    """Power of a task of the suite, from the valid records; None if no row has one."""
    methods = sorted(name for name, method in index.methods.items() if (task.name, name) in index.records)
    valid = {name: list(index.valid_records(task.name, name).values()) for name in methods}
    return power(task, valid, divergence(index, task.name), index.results)


def of_trial(task: Task, results: Path) -> Power | None:
    """Power of a candidate task from a folder of trial runs.

    Args:
        task: The task, from its own file; only records with its hash count, whatever their methods are by now.
        results: The folder that `fedrepro run --out` wrote.

    Returns:
        The power, None if there is no record.
    """
    records = [entry.record for entry in read_all(results, task.name) if entry.record]
    ours = [record for record in records if record.hashes.task == task.sha256]
    done: dict[str, list[Record]] = {}
    for record in ours:
        if record.result:
            done.setdefault(record.algorithm, []).append(record)
    return power(task, done, _rates(ours), results)


def divergence(index: ResultsIndex, task: str) -> dict[str, float]:
    """Share of a task's up-to-date seeds that diverged, by method that has any."""
    return _rates([
        record for (name, _), records in index.records.items() if name == task
        for record in records.values() if not index.stale_reasons(record)
    ])  # fmt: skip


def _rates(records: Sequence[Record]) -> dict[str, float]:
    seeds = Counter(record.algorithm for record in records)
    diverged = Counter(record.algorithm for record in records if record.status == "diverged")
    return {name: count / seeds[name] for name, count in sorted(diverged.items())}


def power(task: Task, done: Rows, diverged: Mapping[str, float], results: Path) -> Power | None:
    """Power of a task.

    Args:
        task: The task.
        done: Finished records by method, controls among them.
        diverged: Share of diverged seeds by method; such methods are not compared, since their finished seeds are
            a selection.
        results: The folder of the records, with their .run.json files.
    """
    rows = judged_alike({
        name: records for name, records in done.items() if records and name not in CONTROLS and name not in diverged
    })  # fmt: skip
    if not rows:
        return None
    finals = {name: _mean_final(records) for name, records in done.items() if records}
    floor = max(100 * constant_answer(task), finals.get("untrained", 0.0))
    ceiling = 100.0 if task.track == "personal" else finals.get("central", 100.0)
    live = [name for name in rows if finals[name] > floor + NEAR]
    hours = [seconds / 3600 for records in rows.values() for record in records
             if (seconds := core_seconds(results / record.path)) is not None]  # fmt: skip
    row_hours = fmean(hours) if hours else None
    resolutions = [found for name in ESTIMATORS if (found := _resolution(name, rows, live, row_hours))]
    _, seeds = reliability.complete_grid(_values(rows, "final"))
    round_variance = _round_variance({name: rows[name] for name in live})
    return Power(
        task=task.name,
        protocol=sorted({record.protocol for records in rows.values() for record in records}),
        rows=list(rows),
        seeds=max(1, len(seeds)),
        diverged=dict(diverged),
        floor=floor,
        ceiling=ceiling,
        at_floor=[name for name in rows if name not in live],
        at_ceiling=[name for name in rows if finals[name] > ceiling - NEAR],
        round_sd=None if round_variance is None else sqrt(round_variance),
        components=_components({name: rows[name] for name in live}, round_variance),
        core_hours=sum(hours) if hours else None,
        row_hours=row_hours,
        resolutions=resolutions,
    )


def judged_alike(rows: Rows) -> Rows:
    """The rows that are judged as most are: one common model, or the mean over the clients' models."""
    kinds = Counter(records[0].judged for records in rows.values())
    return {name: records for name, records in rows.items() if records[0].judged == max(kinds, key=lambda k: kinds[k])}


def constant_answer(task: Task) -> float:
    """Accuracy of the answer that is right most often on the task's test images."""
    counts = info_of(task.located(task.dataset)).splits["test"].class_counts
    return max(counts) / sum(counts)


def _mean_final(records: Sequence[Record]) -> float:
    return fmean(100 * record.result.accuracy for record in records if record.result)


def _values(rows: Rows, estimator: str) -> dict[str, dict[int, float]]:
    """Values in % by method and seed."""
    estimate = ESTIMATORS[estimator]
    found = {
        name: {r.seed: value for r in records if r.result and (value := estimate(r.result)) is not None}
        for name, records in rows.items()
    }
    return {name: values for name, values in found.items() if values}


def _round_variance(rows: Rows) -> float | None:
    """Mean over runs of the variance from round to round at the end."""
    curves = [
        [100 * evaluation.accuracy for evaluation in record.result.evaluations[-WINDOW:]]
        for records in rows.values() for record in records
        if record.result and len(record.result.evaluations) >= WINDOW
    ]  # fmt: skip
    return fmean(map(reliability.round_to_round, curves)) if curves else None


def _components(rows: Rows, round_variance: float | None) -> reliability.Components | None:
    values = _values(rows, "final")
    methods, seeds = reliability.complete_grid(values)
    return reliability.components([[values[name][seed] for seed in seeds] for name in methods], round_variance)


def _resolution(estimator: str, rows: Rows, live: Sequence[str], row_hours: float | None) -> Resolution | None:
    values = _values(rows, estimator)
    if not values:
        return None
    comparisons = compare(values)
    methods, seeds = reliability.complete_grid(values)
    grid = [[values[name][seed] for seed in seeds] for name in methods]
    pairs = [pair for pair in comparisons.pairs if pair.first in live and pair.second in live]
    sd = sqrt(fmean(pair.variance for pair in pairs)) if pairs else None
    typical = median(abs(pair.difference) for pair in pairs) if pairs else None
    n, degrees = len(seeds), comparisons.prior.degrees
    needed = detection.seeds_needed(GOAL, sd, degrees) if sd else None
    complete = len(methods) > 2
    return Resolution(
        estimator=estimator,
        means={name: fmean(row.values()) for name, row in values.items()},
        difference_sd=sd,
        prior_degrees=degrees,
        detectable=detection.detectable(sd, n, degrees) if sd else None,
        detectable_plain=detection.detectable(sd, n) if sd else None,
        detectable_corrected=_corrected(sd, n, comparisons, len(values)) if sd else None,
        seeds_needed=needed,
        row_hours_needed=needed * row_hours if needed and row_hours is not None else None,
        median_difference=typical,
        seeds_for_median=detection.seeds_needed(typical, sd, degrees) if sd and typical else None,
        pairs=len(comparisons.pairs),
        apart=sum(pair.apart for pair in comparisons.pairs),
        kendall_w=reliability.kendall_w(grid) if complete else None,
        icc=reliability.intraclass_correlation(grid) if complete else None,
        tau_halves=reliability.tau_between_halves(grid) if complete else None,
    )


def _corrected(sd: float, n: int, comparisons: Comparisons, rows: int) -> float:
    return detection.detectable(sd, n, comparisons.prior.degrees, detection.LEVEL / (rows - 1))
