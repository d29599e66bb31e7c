"""What a task needs and offers: its datasets, and which methods can run it."""

from __future__ import annotations

from collections.abc import Collection

from benchmark.core.tasks.task import Task

FURTHER_ROUNDS = 2  # that phases before and after the task's rounds may add: seeds and generator, Fisher and adaptation


def unfit(track: Collection[str], needs: Collection[str], task: Task) -> str | None:
    """None if a method with these tracks and needs can run a task, else the reason why not, in words."""
    if task.track not in track:
        return f"its track is {' or '.join(track)}, the task's is {task.track}"
    public, architectures = task.public, len(task.networks)
    lacking = {
        "one architecture": f"it averages one architecture, the task has {architectures}" if architectures > 1 else "",
        "public": "" if public else "the task has no public data",
        "labelled public": "" if public and public.labels != "none" else "the task has no labelled public data",
        "unlabelled": "" if public or task.unlabelled else "the task has no unlabelled data",
        "validation": "" if task.validation else "the task holds out no validation data",
    }
    return next((lacking[need] for need in needs if lacking[need]), None)


def datasets(task: Task) -> list[str]:
    """Names of the datasets that a task reads, sorted."""
    extras = [extra.dataset for extra in (task.public, task.unlabelled) if extra and extra.dataset]
    return sorted({task.dataset, *extras})
