"""The tables of `fedrepro power`: a row per task, per task and estimator, and per task and method."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.analysis.power import Power, Resolution

TITLES = {"final": "final round", "last10": "last ten judged rounds", "mean": "all evaluations"}
"""What an estimator is the mean of."""


def boards(found: Sequence[Power]) -> list[dict[str, str]]:
    """A row per task: where the variance of a final number comes from, floor and ceiling, cost."""
    return [_board(power) for power in found]


def estimators(found: Sequence[Power]) -> list[dict[str, str]]:
    """A row per task and estimator: what is told apart, and how reliable the order is."""
    return [_estimator(power, resolution) for power in found for resolution in power.resolutions]


def rows(found: Sequence[Power]) -> list[dict[str, str]]:
    """A row per task and method: its accuracy in % by every estimator."""
    return [
        {"task": power.task, "method": name}
        | {f"{title} %": _number(means.get(name), 1) for title, means in _means(power).items()}
        for power in found
        for name in power.rows
    ]


def _means(power: Power) -> dict[str, dict[str, float]]:
    """Means by row, by the title of an estimator; those of other tasks' estimators are empty."""
    known = {resolution.estimator: resolution.means for resolution in power.resolutions}
    return {title: known.get(name, {}) for name, title in TITLES.items()}


def _board(power: Power) -> dict[str, str]:
    parts = power.components
    return {
        "task": power.task,
        "rows": str(len(power.rows)),
        "seeds": str(power.seeds),
        "sd round": _number(power.round_sd, 1),
        "sd seed": _number(parts.seed if parts else None, 1),
        "sd method": _number(parts.method if parts else None, 1),
        "variance round / seed / method": _shares(power),
        "floor %": _number(power.floor, 1),
        "near floor": f"{len(power.at_floor)}",
        "ceiling %": _number(power.ceiling, 1),
        "near ceiling": f"{len(power.at_ceiling)}",
        "diverge": ", ".join(f"{name} {rate:.0%}" for name, rate in power.diverged.items()),
        "core-h": _number(power.core_hours, 2),
        "core-min per row and seed": _number(None if power.row_hours is None else power.row_hours * 60, 1),
    }


def _shares(power: Power) -> str:
    parts = power.components
    if parts is None:
        return ""
    if parts.round_share is None:
        return f"? / {parts.seed_share:.0%} / {parts.method_share:.0%}"
    return f"{parts.round_share:.0%} / {parts.seed_share:.0%} / {parts.method_share:.0%}"


def _estimator(power: Power, resolution: Resolution) -> dict[str, str]:
    return {
        "task": power.task,
        "mean of": TITLES[resolution.estimator],
        "seeds": str(power.seeds),
        "sd of a difference": _number(resolution.difference_sd, 2),
        "detectable": _number(resolution.detectable, 1),
        "after Holm": _number(resolution.detectable_corrected, 1),
        "plain t": _number(resolution.detectable_plain, 1),
        "seeds for 2 points": _count(resolution.seeds_needed, resolution),
        "core-h per row for 2 points": _number(resolution.row_hours_needed, 2),
        "median pair": _number(resolution.median_difference, 1),
        "seeds for it": _count(resolution.seeds_for_median, resolution),
        "pairs told apart": _apart(resolution),
        "W": _number(resolution.kendall_w, 2),
        "ICC": _number(resolution.icc, 2),
        "tau of halves": _number(resolution.tau_halves, 2),
    }


def _apart(resolution: Resolution) -> str:
    if not resolution.pairs:
        return ""
    return f"{resolution.apart} of {resolution.pairs} ({resolution.apart / resolution.pairs:.0%})"


def _count(seeds: int | None, resolution: Resolution) -> str:
    if not resolution.difference_sd:
        return ""
    return "> 1000" if seeds is None else str(seeds)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
