"""What there is: tasks, methods, networks, datasets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from benchmark.cli.options import Json, show


def list_(
    what: Annotated[Literal["tasks", "methods", "nets", "datasets"], typer.Argument()], as_json: Json = False
) -> None:
    """List tasks, methods, networks or datasets."""
    kinds = {"tasks": _tasks, "methods": _methods, "nets": _nets, "datasets": _datasets}
    show(kinds[what](), as_json)


def _tasks() -> list[dict[str, Any]]:
    from benchmark.core.tasks import task as tasks

    return [
        {
            "task": task.name, "track": task.track, "tier": task.tier, "dataset": task.dataset,
            "split": task.split.kind, "clients": task.clients,
            "cohort": task.cohort, "rounds": task.rounds, "networks": list(task.networks),
        }
        for task in map(tasks.load, tasks.names())
    ]  # fmt: skip


def _methods() -> list[dict[str, Any]]:
    from benchmark.core import method_files

    rows = []
    for facts in map(method_files.describe, method_files.names()):
        fields = [f"{name}={entry['default']}" for name, entry in facts.get("fields", {}).items()]
        row = {
            "method": facts["name"],
            "tracks": facts.get("track", []),
            "fields": fields,
            "paper": facts.get("paper", ""),
        }
        rows.append({**row, "fault": facts.get("fault", "")})
    return rows


def _nets() -> list[dict[str, Any]]:
    from benchmark.core.models import build

    return [{"network": name} for name in [*build.names(), "timm:<any model of timm>"]]


def _datasets() -> list[dict[str, Any]]:
    from benchmark.core.data.manifest import manifest

    return [
        {
            "dataset": name, "classes": len(facts.classes), "shape": "x".join(map(str, facts.shape)),
            "train": facts.splits["train"].n, "test": facts.splits["test"].n, "origin": facts.origin,
        }
        for name, facts in manifest().items()
    ]  # fmt: skip
