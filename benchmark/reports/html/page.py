"""The report, one HTML file that needs nothing else, and the pictures of the boards. Same records, same bytes."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis import claim_verdicts, claims, ranking
from benchmark.analysis.tables import in_order, tables
from benchmark.analysis.time_to_accuracy import PROFILES
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.tasks.task import TRACKS, Task
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.reports import boards, columns, leaderboard
from benchmark.reports.html import chart_data, method_sections
from benchmark.reports.tracks import JUDGED, rankings

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.index import ResultsIndex

HOME = Path(__file__).parent
EXTRA = "pip install 'fedrepro[report]'"


def write(index: ResultsIndex, target: Path) -> None:
    """Write the report.

    Args:
        index: The records.
        target: The file to write.

    Raises:
        BenchmarkError: No record can be read, or a package is missing.
    """
    write_atomic(target, page(index))


def write_pictures(index: ResultsIndex, folder: Path, changed: Collection[str] | None = None) -> None:
    """Write <folder>/<task>.svg for every board that shows a picture, and remove all other pictures.

    Args:
        index: The records.
        folder: Where the pictures are.
        changed: Tasks whose pictures are drawn even if they are there; None for all.
    """
    from benchmark.reports.html.static_charts import picture

    shown = {name: frame for name, frame in _tables(index).items() if boards.has_picture(frame)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in shown.items():
        path = folder / f"{name}.svg"
        if changed is None or name in changed or not path.exists():
            write_atomic(path, picture(index, name, frame))
    for path in folder.glob("*.svg"):
        if path.stem not in shown:
            path.unlink()


def page(index: ResultsIndex) -> str:
    """The HTML: its tables need no script, charts are drawn from embedded numbers when one scrolls to them."""
    try:
        import jinja2

        content = _content(index)
    except ModuleNotFoundError as error:
        raise BenchmarkError(f"the report needs {error.name}", hint=f"install it: {EXTRA}") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HOME), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html").render(content) + "\n"


def _content(index: ResultsIndex) -> dict[str, Any]:
    """Everything that the template names."""
    from vl_convert import javascript_bundle

    from benchmark.reports.html import charts
    from benchmark.reports.html.static_charts import picture

    frames = _tables(index)
    scores = ranking.rankings(index)
    numbers = {
        "tasks": {name: chart_data.task(index, name, frame) for name, frame in frames.items()},
        "scores": {one.track: one.rows for one in scores},
        "charts": charts.specs(),
    }
    sources = claims.load(index.results / "claims.yaml")
    verdicts = claim_verdicts.evaluate(index, sources)
    verdicts.sort(key=lambda verdict: claim_verdicts.VERDICTS.index(verdict.verdict))
    return {
        "protocol": PROTOCOL, "engine": ENGINE, "count": sum(map(len, index.records.values())),
        "reading": leaderboard.READING, "legend": boards.LEGEND.replace("`", ""), "judged": JUDGED,
        "rankings": [(one, columns.at("report", one.columns)) for one in rankings(index, frames, scores)],
        "tracks": _tracks(index, frames, sources), "standings": scores, "resamples": ranking.RESAMPLES,
        "methods": method_sections.methods(index),
        "pictures": {name: picture(index, name, frame) for name, frame in frames.items() if boards.has_picture(frame)},
        "claims": [verdict.model_dump() for verdict in verdicts], "claim_columns": columns.at("report", columns.CLAIMS),
        "profiles": list(PROFILES), "verdicts": claim_verdicts.VERDICTS, "left_out": leaderboard.left_out(index),
        "numbers": _embedded(numbers), "vega": _script(javascript_bundle("window.vegaEmbed = vegaEmbed;")),
        "style": (HOME / "page.css").read_text(encoding="utf-8"),
        "script": "".join((HOME / name).read_text(encoding="utf-8") for name in ("tables.js", "page.js")),
    }  # fmt: skip


def _tables(index: ResultsIndex) -> dict[str, DataFrame]:
    frames = tables(index)
    if not frames:
        unreadable = [entry for entry in index.entries if entry.record is None]
        if unreadable:
            first = unreadable[0]
            where = first.path.relative_to(index.results).as_posix()
            message = f"none of {len(unreadable)} records can be used; {where}: {first.reason}"
            raise BenchmarkError(message, where=str(index.results), hint="records of this version are needed")
        raise BenchmarkError("no records", where=str(index.results), hint="`fedrepro bench` makes some, in bench/")
    return frames


def _tracks(index: ResultsIndex, frames: dict[str, DataFrame], sources: list[claims.Source]) -> list[dict[str, Any]]:
    """Per track with records: the boards of its tasks, and the names of tasks without records."""
    tracks = []
    for name in TRACKS:
        tasks = [task for task in in_order(index) if task.track == name]
        sections = [_section(index, task, frames[task.name], sources) for task in tasks if task.name in frames]
        if sections:
            waiting = [task.name for task in tasks if task.name not in frames]
            tracks.append({"name": name, "tasks": sections, "waiting": waiting})
    return tracks


def _section(index: ResultsIndex, task: Task, frame: DataFrame, sources: list[claims.Source]) -> dict[str, Any]:
    return {
        "name": task.name,
        "setting": boards.setting(task),
        "note": task.note,
        "columns": columns.at("report", columns.board(task.targets)),
        "rows": frame.to_dict(orient="records"),
        "remaining": boards.remaining(index, task, sources),
    }


def _embedded(content: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _script(text: str) -> str:
    """JavaScript that cannot end the script element that holds it."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
