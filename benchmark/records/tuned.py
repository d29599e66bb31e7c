"""Tasks with the values that tuning chose for their methods, which results/<task>/tuning/<method>.json hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.checksummed_json import load_checksummed
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.task import Task
from benchmark.paths import RESULTS


def load_task(name: str) -> Task:
    """The task of a name with its tuned values, or that of a path to a YAML file, which has none."""
    task = tasks.load(name)
    return task if name != task.name else task.model_copy(update={"tuned": tuned_values(name, RESULTS)})


def tuned_values(task: str, results: Path) -> dict[str, dict[str, Any]]:
    """What the tunings of a task chose, by method; BenchmarkError names a damaged file."""
    return {path.stem: _chosen(path, task) for path in sorted((results / task / "tuning").glob("*.json"))}


def _chosen(path: Path, task: str) -> dict[str, Any]:
    try:
        content = load_checksummed(path.read_bytes())
        if (owner := (content.get("task"), content.get("algorithm"))) != (task, path.stem):
            raise ValueError(f"it belongs to {owner[1]} on {owner[0]}")
        return dict(content["chosen"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "restore the file from git, or delete it and tune again"
        message = f"not the record of a tuning: {error}"
        raise BenchmarkError(message, where=str(path), hint=hint, user=False) from None
