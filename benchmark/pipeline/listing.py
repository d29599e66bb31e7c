"""Pipeline files of DVC: one for each task, and one for each method on a task, whose cells are its records.

A submission adds files of its own to these and changes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.requirements import datasets
from benchmark.core.tasks.task import Task
from benchmark.core.tasks.yaml_file import is_yaml
from benchmark.pipeline.locks import yaml_text
from benchmark.records import store
from benchmark.records.tuned import load_task

NOTE = "# Written by `fedrepro rebuild` from the task files and the records that are here; do not edit.\n"
TASKS = "tasks.yaml"  # in results/: which tasks have records


def listing(results: Path, name: str) -> dict[Path, str]:
    """Pipeline files of a task as its records ask for; none if it has no records."""
    seeds = recorded_seeds(results, name)
    if not seeds:
        return {}
    task = load_task(name)
    contents = {results / name / method / "dvc.yaml": _cells(task, method, of) for method, of in seeds.items()}
    contents[results / name / "dvc.yaml"] = _setting(task)
    return {path: _yaml(content) for path, content in contents.items()}


def recorded_seeds(results: Path, name: str) -> dict[str, list[int]]:
    """Seeds of the records of a task that count, by method."""
    seeds: dict[str, list[int]] = {}
    for entry in store.read_all(results, name):
        if entry.record and not entry.record.departures:
            seeds.setdefault(entry.record.algorithm, []).append(entry.record.seed)
    return {method: sorted(of) for method, of in sorted(seeds.items())}


def task_list(names: Iterable[str]) -> str:
    """Content of results/tasks.yaml."""
    return _yaml({"tasks": sorted(names)})


def sync(results: Path) -> list[str]:
    """Write the pipeline files of all tasks, remove those without records, and return the tasks that have some."""
    listed = []
    expected: set[Path] = set()
    for name in tasks.names():
        files = listing(results, name)
        listed += [name] * bool(files)
        expected |= files.keys()
        write_changed(files)
    for path in superfluous(results, expected):
        path.unlink()
    write_changed({results / TASKS: task_list(listed)})
    return listed


def superfluous(results: Path, expected: Iterable[Path]) -> list[Path]:
    """Pipeline files and locks that belong to no records."""
    keep = {*expected, *(path.with_name("dvc.lock") for path in expected)}
    found = [path for pattern in ("*/dvc.*", "*/*/dvc.*") for path in results.glob(pattern)]
    return sorted(path for path in found if path not in keep and "archive" not in path.parts)


def write_changed(contents: dict[Path, str]) -> None:
    """Write files whose content differs from what is on disk."""
    for path, text in contents.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text, sync=False)


def _yaml(content: dict[str, Any]) -> str:
    return NOTE + yaml_text(content)


def _setting(task: Task) -> dict[str, Any]:
    """The stages of a task that no method changes; all paths are relative to the root of the repository."""
    name, home = task.name, f"results/{task.name}"
    facts = f"{home}/protocol.json"
    command = f"python -m benchmark.pipeline {{}} {name}"
    return {
        "stages": {
            "protocol": {
                "wdir": "../..",
                "cmd": command.format("protocol"),
                "deps": [f"benchmark/tasks/{name}.yaml"],
                "outs": [_out(facts)],
            },
            "split": {
                "wdir": "../..",
                "cmd": command.format("split"),
                "deps": _data(task),
                "params": [{facts: ["split_sha256"]}],
                "outs": [_out(f"{home}/split.json")],
            },
        }
    }


def _cells(task: Task, method: str, seeds: Sequence[int]) -> dict[str, Any]:
    """The cells of a method on a task: they depend on what a number rests on, and on nothing of other methods."""
    name, home = task.name, f"results/{task.name}"
    own_values = [{f"benchmark/tasks/{name}.yaml": [f"methods.{method}"]}] if method in task.methods else []
    tuning = [f"{home}/tuning/{method}.json"] if method in task.tuned else []
    return {
        "stages": {
            "cell": {
                "foreach": list(seeds),
                "do": {
                    "wdir": "../../..",
                    "cmd": f"fedrepro run {method} --task {name} --seed ${{item}}",
                    "deps": [*_data(task), *tuning],
                    "params": [
                        "engine",
                        "protocol",
                        {f"{home}/protocol.json": ["sha256"]},
                        *own_values,
                        {f"{home}/split.json": ["${item}.sha256"]},
                        {f"results/methods/{method}.json": ["sha256"]},
                    ],
                    "outs": [_out(f"{home}/{method}/${{item}}.json")],
                },
            }
        }
    }


def _data(task: Task) -> list[str]:
    """The small tracked files that say what the datasets of a task are."""
    return [f"benchmark/tasks/{name}" if is_yaml(name) else f"results/datasets/{name}.json" for name in datasets(task)]


def _out(path: str) -> dict[str, Any]:
    """An output that git tracks and that DVC does not delete before its command has succeeded."""
    return {path: {"cache": False, "persist": True}}
