"""How methods rank over the tasks of a track: scores between the controls, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.analysis.controls import CONTROLS
from benchmark.analysis.estimators import accuracy
from benchmark.analysis.power import judged_alike
from benchmark.core.tasks.task import TRACKS, Task, Track
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Runs = NDArray[Any]

REFERENCE = "fedavg"
GAP = 10.0  # points between the controls below which a score would say nothing
RESAMPLES = 2000
TRIM = 0.25
Scores = dict[str, tuple[list[float], int]]
"""Of one task, by method: a score per run, and how many runs diverged, which have the lowest score, at most 0."""


@dataclass(frozen=True)
class Ranking:
    """The methods of a track over its lite tasks; quick and papers' tasks are left out, tracks are not mixed.

    Attributes:
        track: Name of the track.
        tasks: Names of the tasks that count.
        left_out: Why a lite task with records does not count, by name.
        rows: From best to worst: `method`; `score`, the interquartile mean over tasks and seeds of accuracy on a scale
            from the lower control (0: `untrained` where the task has it, else `local`) to `central` (1);
            `improvement`, the probability that a run is better than one of FedAvg on the same task; `<name>_low` and
            `<name>_high`, their 95 % intervals; `diverged`, share of runs that diverged; `runs`, their number.
    """

    track: Track
    tasks: list[str]
    left_out: dict[str, str]
    rows: list[dict[str, Any]]


def rankings(index: ResultsIndex) -> list[Ranking]:
    """A ranking per track of which a lite task has records."""
    tasks = [task for task in index.tasks.values() if task.tier == "lite"]
    found = [_ranking(index, track, [task for task in tasks if task.track == track]) for track in TRACKS]
    return [ranking for ranking in found if ranking.tasks or ranking.left_out]


def _ranking(index: ResultsIndex, track: Track, tasks: Sequence[Task]) -> Ranking:
    left_out: dict[str, str] = {}
    counted: dict[str, Scores] = {}
    for task in tasks:
        records = _records(index, task.name)
        scale = _scale(records)
        if isinstance(scale, str):
            left_out |= {task.name: scale} if records else {}
        else:
            counted[task.name] = _scores(records, *scale)
    common = set.intersection(*(set(scores) for scores in counted.values())) if counted else set()
    if REFERENCE not in common:
        return Ranking(track, [], left_out | dict.fromkeys(counted, f"{REFERENCE} is not on all tasks"), [])
    rows = [_row(name, list(counted.values())) for name in common]
    return Ranking(track, list(counted), left_out, sorted(rows, key=lambda row: (-row["score"], row["method"])))


def _row(name: str, tasks: Sequence[Scores]) -> dict[str, Any]:
    runs = [scores[name][0] for scores in tasks]
    count, diverged = sum(map(len, runs)), sum(scores[name][1] for scores in tasks)
    row: dict[str, Any] = {"method": name} | _interval("score", interquartile_mean, runs)
    if name != REFERENCE:
        row |= _interval("improvement", probability_of_improvement, runs, [scores[REFERENCE][0] for scores in tasks])
    else:
        row |= dict.fromkeys(("improvement", "improvement_low", "improvement_high"))
    return row | {"diverged": round(diverged / count, 3), "runs": count}


def _records(index: ResultsIndex, task: str) -> dict[str, list[Record]]:
    """Records of a task against which nothing speaks, diverged ones too, by method; from the backend that counts."""
    found = {}
    for method in sorted(name for of_task, name in index.records if of_task == task):
        backend = index.backend(task, method)
        found[method] = [
            record for record in index.records[task, method].values()
            if record.backend == backend and record.status != "failed" and not index.stale_reasons(record)
        ]  # fmt: skip
    return {method: records for method, records in found.items() if records}


def _scale(records: Mapping[str, Sequence[Record]]) -> tuple[float, float] | str:
    """Mean accuracies of the lower control and of pooled training, or why they are no scale."""
    lower = "untrained" if "untrained" in records else "local"
    means = {}
    for name in (lower, "central"):
        values = [accuracy(record.result) for record in records.get(name, []) if record.result]
        if not values:
            return f"no control {name}"
        means[name] = fmean(values)
    low, high = means[lower], means["central"]
    return (low, high) if high - low >= GAP else f"central is only {high - low:.1f} points above {lower}"


def _scores(records: Mapping[str, Sequence[Record]], low: float, high: float) -> Scores:
    rows = judged_alike({name: runs for name, runs in records.items() if name not in CONTROLS})
    finished = {
        name: [(accuracy(run.result) - low) / (high - low) for run in runs if run.result] for name, runs in rows.items()
    }
    lowest = min([0.0, *(score for scores in finished.values() for score in scores)])
    lost = {name: len(rows[name]) - len(scores) for name, scores in finished.items()}
    return {name: (scores + [lowest] * lost[name], lost[name]) for name, scores in finished.items()}


def interquartile_mean(runs: Sequence[Runs]) -> Runs:
    """Mean of the middle half of all runs of all tasks: a quarter, rounded down, is cut at either end.

    Args:
        runs: Per task, scores in the last axis.

    Source: Agarwal et al. 2021, arXiv 2108.13264, section 4.3.
    """
    import numpy as np

    ordered = np.sort(np.concatenate(runs, axis=-1), axis=-1)
    cut = int(TRIM * ordered.shape[-1])
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def probability_of_improvement(runs: Sequence[Runs], others: Sequence[Runs]) -> Runs:
    """Mean over tasks of the share of pairs of runs in which the first is higher; ties count half.

    Source: Agarwal et al. 2021, section 4.3: the Mann-Whitney U statistic over the number of pairs.
    """
    import numpy as np

    shares = []
    for run, other in zip(runs, others, strict=True):
        above, below = run[..., :, None], other[..., None, :]
        shares.append(((above > below) + 0.5 * (above == below)).mean(axis=(-2, -1)))
    return np.mean(shares, axis=0)


def _interval(name: str, statistic: Any, *samples: Sequence[Sequence[float]]) -> dict[str, float]:
    """A statistic with its 95 % percentile interval; seeds are resampled within each task (stratified bootstrap)."""
    import numpy as np

    draw = np.random.default_rng(0)
    arrays = [[np.asarray(runs) for runs in sample] for sample in samples]
    drawn = [[runs[draw.integers(len(runs), size=(RESAMPLES, len(runs)))] for runs in sample] for sample in arrays]
    low, high = np.percentile(statistic(*drawn), [2.5, 97.5])
    parts = {name: statistic(*arrays), f"{name}_low": low, f"{name}_high": high}
    return {key: round(float(value), 4) for key, value in parts.items()}
