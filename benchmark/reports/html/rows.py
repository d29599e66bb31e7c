"""Boards as the page shows them: cells with a text and what they sort by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.analysis import claims, tables
from benchmark.core.tasks import task as task_
from benchmark.reports import leaderboard

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.core.tasks.task import Task
    from benchmark.records.index import ResultsIndex

Cell = dict[str, Any]


def tracks(suite: ResultsIndex, made: dict[str, DataFrame]) -> list[dict[str, Any]]:
    """Per track: its tasks that have records, each with its table, and the names of those that have none."""
    sources = claims.load(suite.results / "claims.yaml")
    found = []
    for track in task_.TRACKS:
        tasks = [task for task in tables.in_order(suite) if task.track == track]
        shown = [_task(suite, task, made[task.name], sources) for task in tasks if task.name in made]
        if shown:
            waiting = [task.name for task in tasks if task.name not in made]
            found.append({"name": track, "tasks": shown, "waiting": waiting})
    return found


def _task(suite: ResultsIndex, task: Task, frame: DataFrame, sources: list[claims.Source]) -> dict[str, Any]:
    goals = [f"{target * 100:g}" for target in task.targets]
    heads = [
        "Method", *leaderboard.HEADERS.values(), *(f"To {goal} %: rounds, MB" for goal in goals), "Δ", "p", "Judged",
        "Settings", "n", "Marks",
    ]  # fmt: skip
    return {
        "name": task.name, "tier": task.tier, "facts": leaderboard.facts_text(task), "note": task.note, "heads": heads,
        "rows": [{"method": row["method"], "comparable": row["comparable"], "cells": _cells(row, goals)}
                 for _, row in frame.iterrows()],
        "rest": leaderboard.rest(suite, task, sources),
    }  # fmt: skip


def _cells(row: Any, goals: Sequence[str]) -> list[Cell]:
    spreads = [_cell(leaderboard.spread_text(row, name), row[name]) for name in leaderboard.HEADERS]
    efforts = [_cell(leaderboard.goal_text(row, goal), row[f"rounds_to_{goal}"]) for goal in goals]
    p = _cell("" if _empty(row["p"]) else "<0.0001" if row["p"] < 1e-4 else f"{row['p']:.4f}", row["p"])
    return [
        *spreads, *efforts, _cell(leaderboard.spread_text(row, "difference"), row["difference"]), p,
        _cell(row["judged"], row["judged"]), _cell(row["settings"], row["settings"]),
        _cell(str(row["seeds"]), row["seeds"]), _cell(row["marks"], row["marks"]),
    ]  # fmt: skip


def _cell(text: str, value: Any) -> Cell:
    return {"text": text, "sort": "" if _empty(value) else value}


def _empty(value: Any) -> bool:
    return value is None or value != value
