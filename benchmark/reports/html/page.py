"""Records become one HTML file that needs nothing else, and small pictures for Markdown; equal records, equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis import claim_verdicts, claims, ranking, tables
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.reports import leaderboard
from benchmark.reports.html import chart_data, method_sections, rows

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.index import ResultsIndex

HOME = Path(__file__).parent
EXTRA = "pip install 'fedrepro[report]'"


def write(suite: ResultsIndex, target: Path) -> None:
    """Write the report. Raises BenchmarkError without any readable record, or without the packages that it needs."""
    write_atomic(target, page(suite))


def write_pictures(suite: ResultsIndex, folder: Path) -> None:
    """<folder>/<task>.svg for every task of which LEADERBOARD.md shows a picture, and no other file."""
    from benchmark.reports.html.static_charts import picture

    shown = {name: frame for name, frame in _tables(suite).items() if leaderboard.shown(frame)}
    made = {f"{name}.svg": picture(suite, name, frame) for name, frame in shown.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in made.items():
        write_atomic(folder / file, text)
    for path in folder.glob("*.svg"):
        if path.name not in made:
            path.unlink()


def page(suite: ResultsIndex) -> str:
    """The HTML: tables are in it as they are, charts are drawn from embedded numbers when one scrolls to them."""
    try:
        import jinja2

        content = _content(suite)
    except ModuleNotFoundError as error:
        raise BenchmarkError(f"the report needs {error.name}", hint=f"install it: {EXTRA}") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HOME), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html").render(content) + "\n"


def _content(suite: ResultsIndex) -> dict[str, Any]:
    """Everything that the template names."""
    from vl_convert import javascript_bundle

    from benchmark.reports.html import charts
    from benchmark.reports.html.static_charts import picture

    made = _tables(suite)
    standings = ranking.rankings(suite)
    numbers = {
        "tasks": {name: chart_data.task(suite, name, frame) for name, frame in made.items()},
        "scores": {one.track: one.rows for one in standings}, "charts": charts.specs(),
    }  # fmt: skip
    found = claim_verdicts.evaluate(suite, claims.load(suite.results / "claims.yaml"))
    return {
        "protocol": PROTOCOL, "engine": ENGINE, "count": sum(map(len, suite.records.values())),
        "introduction": leaderboard.INTRODUCTION.split("\n\n")[1].replace("*", "").replace("`", ""),
        "tracks": rows.tracks(suite, made), "standings": standings, "resamples": ranking.RESAMPLES,
        "methods": method_sections.methods(suite),
        "pictures": {name: picture(suite, name, frame) for name, frame in made.items() if leaderboard.shown(frame)},
        "claims": sorted(found, key=lambda finding: claim_verdicts.VERDICTS.index(finding.verdict)),
        "verdicts": claim_verdicts.VERDICTS, "left_out": leaderboard.outcasts(suite),
        "numbers": _embedded(numbers), "vega": _script(javascript_bundle("window.vegaEmbed = vegaEmbed;")),
        "style": (HOME / "page.css").read_text(), "script": (HOME / "page.js").read_text(),
    }  # fmt: skip


def _tables(suite: ResultsIndex) -> dict[str, DataFrame]:
    made = tables.tables(suite)
    if not made:
        left_out = [entry for entry in suite.entries if entry.record is None]
        if left_out:
            first = left_out[0]
            where = first.path.relative_to(suite.results).as_posix()
            message = f"none of {len(left_out)} records can be used; {where}: {first.reason}"
            raise BenchmarkError(message, where=str(suite.results), hint="records of this version are needed")
        raise BenchmarkError("no records", where=str(suite.results), hint="`fedrepro bench` makes some, in bench/")
    return made


def _embedded(content: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _script(text: str) -> str:
    """JavaScript that cannot end the script element that holds it."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
