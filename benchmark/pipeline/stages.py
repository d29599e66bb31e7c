"""The suite as DVC sees it: small tracked files that cells depend on, and one pipeline file per task.

`python -m benchmark.pipeline STAGE [TASK]` is what the stages of dvc.yaml call, in the root of the repository.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from benchmark.core import method_files
from benchmark.core.data.manifest import manifest
from benchmark.core.errors import BenchmarkError, not_installed
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.storage.checksummed_json import canonical_json, sha256
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.requirements import datasets
from benchmark.core.tasks.task import Task
from benchmark.records import store
from benchmark.records.audit_mark import audited
from benchmark.records.index import ResultsIndex
from benchmark.records.tuned import load_task
from benchmark.reports import pages

RESULTS = Path("results")
SPLIT_FIELDS = ("dataset", "split", "clients", "validation", "public", "unlabelled")  # what clients' rows rest on
TABLE_CODE = ("benchmark/analysis", "benchmark/records", "benchmark/reports/columns.py")  # what a table is made by
NOTE = "# Written by `fedrepro commit` from the task files and the records that are here; do not edit.\n"


def write_datasets(results: Path) -> None:
    """results/datasets/<name>.json: what each dataset must be."""
    facts_by_name = {name: facts.model_dump(mode="json") for name, facts in manifest().items()}
    _fill(results / "datasets", facts_by_name)


def write_methods(results: Path) -> None:
    """results/methods/<name>.json: fingerprint of every method. Imports torch.

    A file that cannot be used is an entry with its fault and the hash that it had last, so that it costs no record.
    """
    methods = {}
    for name in method_files.names():
        facts = method_files.describe(name)
        if "fault" in facts:
            path = results / "methods" / f"{name}.json"
            facts = (json.loads(path.read_bytes()) if path.exists() else {"sha256": ""}) | facts
        methods[name] = facts
    _fill(results / "methods", methods)


def _fill(folder: Path, contents: dict[str, Any]) -> None:
    """One JSON file per name and no other."""
    for name, content in contents.items():
        write_atomic(folder / f"{name}.json", canonical_json(content), sync=False)
    for path in folder.glob("*.json"):
        if path.stem not in contents:
            path.unlink()


def protocol(results: Path, name: str) -> dict[str, Any]:
    """results/<task>/protocol.json: what a number of the task depends on, and the values tuned for each method."""
    task, cells = load_task(name), _listed(results, name)
    methods = sorted({cell["method"] for cell in cells.values()} | task.methods.keys() | task.tuned.keys())
    seeds = sorted({*task.seeds, *(cell["seed"] for cell in cells.values())})
    rows = [seeds, {field: task.definition.get(field) for field in SPLIT_FIELDS}]
    rows += [task.definition["only"]] if task.only else []
    rows += [task.name] if task.protocol > 1 else []  # whose splits are drawn by the task's name
    return {
        "protocol": task.definition, "sha256": task.sha256, "seeds": seeds, "split_sha256": sha256(rows),
        "settings": {method: task.settings(method) for method in methods},
    }  # fmt: skip


def write_protocol(results: Path, name: str) -> None:
    """Write results/<task>/protocol.json."""
    write_atomic(results / name / "protocol.json", canonical_json(protocol(results, name)))


def write_split(results: Path, name: str) -> None:
    """results/<task>/split.json: per seed the class counts of every client and their fingerprint. Needs the data."""
    from benchmark.core.client.federation_data import split_tables

    seeds = json.loads((results / name / "protocol.json").read_bytes())["seeds"]
    split_by_seed = split_tables(tasks.load(name).model_copy(update={"seeds": tuple(seeds)}))
    write_atomic(results / name / "split.json", _split_text(name, split_by_seed))


def _split_text(name: str, tables: dict[str, Any]) -> str:
    """JSON with a line per client; its checksum covers everything but the line that holds it."""
    seeds = [f' "task": {json.dumps(name)}', f' "sha256": "{sha256({"task": name, **tables})}"']
    for seed, table in tables.items():
        clients = ",\n".join(f"   {json.dumps(client)}" for client in table["clients"])
        head = "".join(f"  {json.dumps(k)}: {json.dumps(v)},\n" for k, v in table.items() if k != "clients")
        seeds.append(f' "{seed}": {{\n{head}  "clients": [\n{clients}\n  ]\n }}')
    return "{\n" + ",\n".join(seeds) + "\n}\n"


def sync(results: Path, names: Iterable[str] | None = None) -> None:
    """Write dvc.yaml and cells.yaml of these tasks, default all: a cell is listed when its record exists."""
    for name in tasks.names() if names is None else names:
        for path, text in listing(results, name).items():
            if not path.exists() or path.read_text() != text:
                write_atomic(path, text)


def listing(results: Path, name: str) -> dict[Path, str]:
    """cells.yaml and dvc.yaml of a task as its records ask for."""
    found = [entry.record for entry in store.read_all(results, name) if entry.record]
    cells = {f"{r.algorithm}-{r.seed}": {"method": r.algorithm, "seed": r.seed} for r in found if not r.departures}
    audits = [r for r in found if not r.departures and audited(results / r.path, r)]
    notes = [f"results/{r.path.with_suffix('.run.json').as_posix()}" for r in audits]
    texts = {"cells.yaml": {"cells": cells}, "dvc.yaml": _pipeline(load_task(name), cells, notes)}
    return {results / name / file: _yaml(content) for file, content in texts.items()}


def _yaml(content: dict[str, Any]) -> str:
    return NOTE + yaml.safe_dump(content, sort_keys=False, width=120)


def _listed(results: Path, name: str) -> dict[str, dict[str, Any]]:
    path = results / name / "cells.yaml"
    return dict(yaml.safe_load(path.read_text())["cells"]) if path.exists() else {}


def _pipeline(task: Task, cells: dict[str, dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    """The stages of one task; all paths are relative to the root of the repository.

    notes: files whose remarks the table shows

    Nothing depends on `open`, so that a plain `dvc repro` leaves open cells alone and naming this file runs them. A
    task without records has no other stage: what only it needs may not be at hand.
    """
    name, home = task.name, f"results/{task.name}"
    data = [f"results/datasets/{dataset}.json" for dataset in datasets(task)]
    setting = f"benchmark/tasks/{name}.yaml"
    opening = {
        "wdir": "../..", "cmd": [f"fedrepro campaign --tasks {name}", f"python -m benchmark.pipeline list {name}"],
        "deps": ["results/methods"], "always_changed": True,
    }  # fmt: skip
    if not cells:
        return {"stages": {"open": opening}}
    facts, split = f"{home}/protocol.json", f"{home}/split.json"
    records = [f"{home}/{cell['method']}/{cell['seed']}.json" for cell in cells.values()]
    tuning = [f"{home}/tuning"] if task.tuned else []
    stages = {
        "protocol": _stage(f"protocol {name}", [setting, f"{home}/cells.yaml", *tuning], out=facts),
        "split": _stage(f"split {name}", data, [{facts: ["split_sha256"]}], split),
        "cell": {"foreach": "${cells}", "do": {
            "wdir": "../..",
            "cmd": f"fedrepro run ${{item.method}} --task {name} --seed ${{item.seed}}",
            "deps": [*data],
            "params": ["engine", "protocol", {facts: ["sha256", "settings.${item.method}"]},
                       {split: ["${item.seed}.sha256"]}, {"results/methods/${item.method}.json": ["sha256"]}],
            "outs": [_out(f"{home}/${{item.method}}/${{item.seed}}.json")],
        }},
        "table": _stage(f"table {name}", [*records, *notes, *TABLE_CODE], out=f"results/tables/{name}.csv"),
        "open": opening,
    }  # fmt: skip
    return {"vars": ["cells.yaml"], "stages": stages}


def _stage(command: str, deps: list[str], params: list[Any] | None = None, out: str | None = None) -> dict[str, Any]:
    stage: dict[str, Any] = {"wdir": "../..", "cmd": f"python -m benchmark.pipeline {command}", "deps": deps}
    if params:
        stage["params"] = params
    if out:
        stage["outs"] = [_out(out)]
    return stage


def _out(path: str) -> dict[str, Any]:
    """An output that git tracks and that DVC does not delete before its command has succeeded."""
    return {path: {"cache": False, "persist": True}}


def write_report(results: Path) -> None:
    """report.html and docs/pictures/, beside the folder of results."""
    from benchmark.reports.html import page

    index = ResultsIndex.load(results)
    page.write(index, results.parent / "report.html")
    page.write_pictures(index, results.parent / "docs" / "pictures")


def commit(root: Path) -> None:
    """List every record as a cell and tell DVC that what is on disk is what its stages make.

    DVC believes whatever is there: run `verify` first.
    """
    results = root / "results"
    sync(results)
    listed = [name for name in tasks.names() if _listed(results, name)]
    for name in listed:
        write_protocol(results, name)
        if not (results / name / "split.json").exists():
            write_split(results, name)
        pages.write_table(results, name)
    dvc(root, "commit", "--force", *(f"results/{name}/dvc.yaml" for name in listed))


def dvc(root: Path, *arguments: str) -> str:
    """Run DVC as a command (importing it costs a second) and return what it printed."""
    program = Path(sys.executable).with_name("dvc")
    command = [str(program) if program.exists() else "dvc", *arguments]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise not_installed("DVC", "dvc") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise BenchmarkError(f"`dvc {' '.join(arguments)}` failed: {''.join(last)}", user=False)
    return done.stdout


def main(arguments: list[str]) -> int:
    """Run a stage: datasets, methods, board, report, or protocol, split, table, list with a task."""
    whole: dict[str, Callable[[Path], object]] = {
        "datasets": write_datasets, "methods": write_methods, "board": pages.write,
        "report": write_report,
    }  # fmt: skip
    single: dict[str, Callable[[Path, str], object]] = {
        "protocol": write_protocol, "split": write_split, "table": pages.write_table,
        "list": lambda results, name: sync(results, [name]),
    }  # fmt: skip
    try:
        match arguments:
            case [stage] if stage in whole:
                whole[stage](RESULTS)
            case [stage, name] if stage in single:
                single[stage](RESULTS, name)
            case _:
                raise BenchmarkError(f"no stage {' '.join(arguments)}", hint=f"stages: {', '.join([*whole, *single])}")
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if error.user else 1
    return 0
