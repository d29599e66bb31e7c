"""Whether every number traces to a record, and every record to what it rests on. Trains nothing, needs no data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from benchmark.core import method_files
from benchmark.core.data.manifest import manifest
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.experiments import tuning
from benchmark.pipeline import listing, stages
from benchmark.records import confirmation
from benchmark.records.consistency import contradictions, repeated
from benchmark.records.index import ResultsIndex
from benchmark.reports import findings, pages

Check = Callable[[Path, ResultsIndex], Iterator[str]]


def verify(root: Path) -> list[str]:
    """Findings as sentences, [] if all is well. root: the repository."""
    records = _records, _consistency, _confirmations, _tunings, _methods
    return _findings(root, (*records, _datasets, _pipelines, _parameters, _board, _findings_page))


def sound(root: Path) -> list[str]:
    """Findings on records and methods alone: what must be well before DVC is told to believe the records."""
    return _findings(root, (_records, _consistency, _methods, _parameters))


def _findings(root: Path, checks: Iterable[Check]) -> list[str]:
    index = ResultsIndex.load(root / "results")
    return [sentence for check in checks for sentence in check(root, index)]


def _records(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Schema, hash of the result, path, sibling, and everything a record rests on."""
    for entry in index.entries:
        path = entry.path.relative_to(root).as_posix()
        if entry.record is None:
            yield f"{path}: {entry.reason}"
            continue
        for reason in index.stale_reasons(entry.record):
            yield f"{path}: {reason}; `fedrepro campaign` runs the cell again"
        if not entry.path.with_suffix(".run.json").exists():
            yield f"{path}: how it was obtained is lost; restore {entry.path.stem}.run.json from git"


def _consistency(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Records against themselves, their tasks and each other."""
    for name, task in index.tasks.items():
        records = [record for (where, _), seeds in index.records.items() if where == name for record in seeds.values()]
        for record in records:
            faults = contradictions(record, task)
            yield from (f"results/{record.path.as_posix()}: {fault}; restore it from git" for fault in faults)
        yield from (f"results/{sentence}; restore it from git" for sentence in repeated(records))


def _confirmations(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Signatures of confirmations; one of older records or code only does not count any more."""
    yield from confirmation.findings(root / "results")


def _tunings(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Every chosen value is the best point of a tuning of this task and method as they are."""
    for path in sorted((root / "results").glob("*/tuning/*.json")):
        name, task, method = path.relative_to(root).as_posix(), path.parts[-3], path.stem
        try:
            tuned = tuning.read(path)
        except BenchmarkError as error:
            yield f"{name}: {error.message}"
            continue
        if (tuned.task, tuned.algorithm) != (task, method) or task not in index.tasks or method not in index.methods:
            yield f"{name}: belongs to {tuned.task} and {tuned.algorithm}, which are not here; delete it"
        elif reason := tuning.stale(tuned, index.tasks[task], index.methods[method].sha256):
            yield f"{name}: {reason}; `fedrepro tune {method} --task {task}`"


def _methods(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Fingerprints against the method files as they are."""
    files = {path.stem: path for path in (root / "algorithms").glob("*.py") if not path.stem.startswith("_")}
    for name in sorted(files.keys() | index.methods.keys()):
        if name not in files:
            yield f"results/methods/{name}.json: its method is gone; `fedrepro rebuild`"
        elif name not in index.methods:
            yield f"algorithms/{name}.py: has no fingerprint; `fedrepro rebuild`"
        elif index.methods[name].fault:
            yield f"algorithms/{name}.py: {index.methods[name].fault}"
        elif _sha256(files[name]) != index.methods[name].sha256:
            yield f"algorithms/{name}.py: has changed since its fingerprint was taken; `fedrepro rebuild`"


def _sha256(path: Path) -> str:
    try:
        return method_files.method_sha256(path)
    except SyntaxError:
        return ""


def _datasets(root: Path, _: ResultsIndex) -> Iterator[str]:
    folder = root / "results" / "datasets"
    expected = {
        folder / f"{name}.json": canonical_json(facts.model_dump(mode="json")) for name, facts in manifest().items()
    }
    yield from _unlike(root, expected, "is not what the manifest says", "`dvc repro datasets`")


def _pipelines(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Pipeline files against records, protocols against task files, splits against their records' seeds."""
    results = root / "results"
    listed: dict[Path, str] = {}
    for name in index.tasks:
        listed |= (files := listing.listing(results, name))
        seeds = {str(seed) for (task, _), records in index.records.items() if task == name for seed in records}
        if not files:
            continue
        remedy = f"`dvc repro results/{name}/dvc.yaml`"
        protocol = {results / name / "protocol.json": canonical_json(stages.protocol(results, name))}
        yield from _unlike(root, protocol, "is not what the task file says", remedy)
        if not (results / name / "split.json").exists():
            yield f"results/{name}/split.json: is missing; {remedy}"
        elif lacking := sorted(seeds - index.splits[name].keys()):
            yield f"results/{name}/split.json: lacks seed {', '.join(lacking)}; {remedy}"
    with_records = {path.parent.name for path in listed if path.parent.parent == results}
    listed[results / listing.TASKS] = listing.task_list(with_records)
    yield from _unlike(root, listed, "does not list the records that are here", "`fedrepro rebuild`")
    for path in listing.superfluous(results, listed):
        yield f"{path.relative_to(root).as_posix()}: no records give this file; `fedrepro rebuild`"


def _parameters(root: Path, _: ResultsIndex) -> Iterator[str]:
    expected = {"engine": ENGINE, "protocol": PROTOCOL}
    path = root / "params.yaml"
    if not path.exists() or yaml.safe_load(path.read_text(encoding="utf-8")) != expected:
        yield f"params.yaml: must hold {expected}, as benchmark/core/version.py does"


def _board(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Every table and page, recomputed from the records, against the bytes on disk."""
    files = pages.files(index)
    yield from _unlike(root, files, "is not what the records give", "`fedrepro rebuild` writes it")
    for path in pages.superfluous(root / "results", files):
        yield f"{path.relative_to(root).as_posix()}: no records give this file; delete it"


def _findings_page(root: Path, index: ResultsIndex) -> Iterator[str]:
    """Every number of docs/findings.md, recomputed from the records."""
    path = root / findings.PAGE
    if not path.exists():
        return
    name = findings.PAGE.as_posix()
    try:
        if findings.fill(path.read_text(encoding="utf-8"), index) != path.read_text(encoding="utf-8"):
            yield f"{name}: its numbers are not what the records give; `fedrepro findings`, then read it again"
    except BenchmarkError as error:
        yield str(error)


def _unlike(root: Path, files: Mapping[Path, str], changed: str, remedy: str) -> Iterator[str]:
    """Files that do not hold what they must, and how they differ."""
    owners = {text.encode(): path for path, text in files.items()}
    for path, text in files.items():
        expected, found = text.encode(), path.read_bytes() if path.is_file() else None
        if found == expected:
            continue
        how = changed
        if found is None:
            how = "is missing"
        elif expected.startswith(found):
            how = "is truncated"
        elif found in owners:
            how = f"holds what belongs into {owners[found].name}"
        yield f"{path.relative_to(root).as_posix()}: {how}; {remedy}"
