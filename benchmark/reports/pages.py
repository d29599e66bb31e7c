"""Every file that records give: tables, metrics, curves, and the Markdown pages. Same records, same bytes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.analysis import claim_verdicts, claims, curves, ranking
from benchmark.analysis.tables import table, tables
from benchmark.core.storage.atomic_files import remove_leftovers, write_atomic
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.records.index import ResultsIndex
from benchmark.reports import boards, claim_pages, columns, leaderboard

if TYPE_CHECKING:
    from pandas import DataFrame

TABLES = ("tables", "metrics", "curves")  # folders of results/ that hold nothing else
PAGES = ("boards", "papers")  # folders of docs/ that hold nothing else
METRICS = ("accuracy", "last5", "forgetting", "mb_up", "mb_down", "seeds")


def write_table(results: Path, task: str) -> None:
    """Write results/tables/<task>.csv."""
    index = ResultsIndex.load(results, task)
    write_atomic(results / "tables" / f"{task}.csv", _csv(index, task, table(index, index.tasks[task])))


def write(results: Path) -> Path:
    """Write all files, remove those without records, and return the path of LEADERBOARD.md."""
    content = files(ResultsIndex.load(results))
    for folder in folders(results):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in sorted({path.parent for path in content}):
        remove_leftovers(folder)
    for path, text in content.items():
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomic(path, text, sync=False)
    for path in superfluous(results, content):
        path.unlink()
    return results.parent / "LEADERBOARD.md"


def files(index: ResultsIndex) -> dict[Path, str]:
    """Content of every file by path."""
    found, root = tables(index), index.results.parent
    sources = claims.load(index.results / "claims.yaml")
    verdicts = claim_verdicts.evaluate(index, sources)
    content = {index.results / "tables" / f"{name}.csv": _csv(index, name, frame) for name, frame in found.items()}
    content |= _metrics(index.results, found) | _curves(index, found)
    content |= {
        root / leaderboard.board(name): boards.page(index, index.tasks[name], frame, sources)
        for name, frame in found.items()
    }
    pages = claim_pages.pages(index, sources, verdicts, found)
    content |= {root / "docs" / "papers" / name: text for name, text in pages.items()}
    content[root / "CLAIMS.md"] = claim_pages.overview(verdicts)
    return content | {root / "LEADERBOARD.md": leaderboard.page(index, found, ranking.rankings(index))}


def folders(results: Path) -> list[Path]:
    """Folders of which every file is written from records."""
    return [*(results / name for name in TABLES), *(results.parent / "docs" / name for name in PAGES)]


def superfluous(results: Path, content: Container[Path]) -> list[Path]:
    """Files on disk that no records give."""
    return sorted(path for folder in folders(results) for path in folder.rglob("*.*") if path not in content)


def _csv(index: ResultsIndex, task: str, frame: DataFrame) -> str:
    return columns.csv(frame, columns.board(index.tasks[task].targets))


def _metrics(results: Path, found: Mapping[str, DataFrame]) -> dict[Path, str]:
    """results/metrics/<task>/<method>.json of every method with results: what `dvc metrics` shows and compares."""
    return {
        results / "metrics" / task / f"{row['method']}.json": canonical_json({name: row[name] for name in METRICS})
        for task, frame in found.items()
        for row in reversed(frame.dropna(subset=["accuracy"]).to_dict(orient="records"))
    }


def _curves(index: ResultsIndex, found: Mapping[str, DataFrame]) -> dict[Path, str]:
    """results/curves/<task>.csv: accuracy and forgetting over rounds, which the site offers for download."""
    frames = {task: curves.frame(index, task, list(dict.fromkeys(frame["method"]))) for task, frame in found.items()}
    return {
        index.results / "curves" / f"{task}.csv": frame.to_csv(index=False, lineterminator="\n")
        for task, frame in frames.items()
        if len(frame)
    }
