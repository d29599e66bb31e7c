"""The suite as DVC sees it: small tracked files that cells depend on, and what its stages write.

`python -m benchmark.pipeline STAGE [TASK]` is what the stages of dvc.yaml call, in the root of the repository.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmark.core import method_files
from benchmark.core.data.manifest import manifest
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.storage.checksummed_json import canonical_json, sha256
from benchmark.core.tasks import task as tasks
from benchmark.pipeline.listing import recorded_seeds, sync
from benchmark.pipeline.locks import LockWriter
from benchmark.records.index import ResultsIndex
from benchmark.records.tuned import load_task
from benchmark.reports import pages

log = logging.getLogger(__name__)
RESULTS = Path("results")
CONFLICT = b"<<<<<<<"  # of git, in a file that two submissions have changed
SPLIT_FIELDS = ("dataset", "split", "clients", "validation", "public", "unlabelled")  # what clients' rows rest on


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
    """results/<task>/protocol.json: what a number of the task depends on beside its method."""
    task = load_task(name)
    recorded = recorded_seeds(results, name).values()
    seeds = sorted({*task.seeds, *(seed for of in recorded for seed in of)})
    rows = [seeds, {field: task.definition.get(field) for field in SPLIT_FIELDS}]
    rows += [task.definition["only"]] if task.only else []
    rows += [task.name] if task.protocol > 1 else []  # whose splits are drawn by the task's name
    return {"protocol": task.definition, "sha256": task.sha256, "seeds": seeds, "split_sha256": sha256(rows)}


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


def write_report(results: Path) -> None:
    """report.html and docs/pictures/, beside the folder of results."""
    from benchmark.reports.html import page

    index = ResultsIndex.load(results)
    page.write(index, results.parent / "report.html")
    page.write_pictures(index, results.parent / "docs" / "pictures")


def rebuild(root: Path) -> None:
    """Write every file that tasks, methods and records give, and tell DVC that its stages have made them.

    After a merge of submissions it replaces whatever conflicts in these files.
    """
    results, pictures = root / "results", root / "docs" / "pictures"
    write_datasets(results)
    write_methods(results)
    listed = sync(results)
    for name in listed:
        write_protocol(results, name)
        if not (results / name / "split.json").exists():
            write_split(results, name)
    before = {name: _drawn(results, name) for name in listed}
    pages.write(results)
    changed = {name for name in listed if _drawn(results, name) != before[name]}
    changed |= {path.stem for path in pictures.glob("*.svg") if CONFLICT in path.read_bytes()}
    _draw(results, pictures, changed)
    write_locks(root, listed)


def _drawn(results: Path, name: str) -> list[bytes]:
    """The tables that the picture of a task shows."""
    paths = (results / "tables" / f"{name}.csv", results / "curves" / f"{name}.csv")
    return [path.read_bytes() for path in paths if path.exists()]


def _draw(results: Path, pictures: Path, changed: set[str]) -> None:
    try:
        from benchmark.reports.html import page

        page.write_pictures(ResultsIndex.load(results), pictures, changed)
    except ImportError as error:
        log.warning("pictures of %s are not drawn (%s): pip install 'fedrepro[report]'", ", ".join(changed), error)


def write_locks(root: Path, listed: Iterable[str]) -> None:
    """Write the lock files of these tasks and of the repository; report.html is in no git, so its stage is left out."""
    writer = LockWriter(root)
    for name in listed:
        for path in sorted((root / "results" / name).glob("**/dvc.yaml")):
            writer.write(path)
    writer.write(root / "dvc.yaml", leave_out=("report",))


def main(arguments: list[str]) -> int:
    """Run a stage: datasets, methods, board, report, or protocol, split, table with a task."""
    whole: dict[str, Callable[[Path], object]] = {
        "datasets": write_datasets, "methods": write_methods, "board": pages.write,
        "report": write_report,
    }  # fmt: skip
    single: dict[str, Callable[[Path, str], object]] = {
        "protocol": write_protocol, "split": write_split, "table": pages.write_table,
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
