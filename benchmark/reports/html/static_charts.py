"""The picture of a task for Markdown: accuracy against MB, and learning curves, as SVG for light and dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import vl_convert

from benchmark.reports.html import chart_data, charts

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.index import ResultsIndex

COLORS = ("#3987e5", "#d95926", "#199e70", "#c98500", "#9085e9")  # read well on white and on black
GREY = "#8a8f98"
FONT = "Liberation Sans, Helvetica, Arial, sans-serif"  # the first ships with vl-convert: equal widths everywhere
CONFIG: dict[str, Any] = {
    "font": FONT, "background": "transparent", "aria": False, "view": {"stroke": None},
    "axis": {"labelColor": GREY, "titleColor": GREY, "domainColor": GREY, "tickColor": GREY, "gridColor": GREY,
             "gridOpacity": 0.2, "titleFontWeight": "normal"},
}  # fmt: skip


def picture(index: ResultsIndex, name: str, frame: DataFrame) -> str:
    """SVG of a task's comparable rows; the reference and the best methods are in colour."""
    numbers = chart_data.task(index, name, frame)
    colors = dict(zip(numbers["chosen"], COLORS, strict=False))
    points = [point | _look(point["method"], colors) for point in numbers["points"]]
    steps = [
        {"method": method, "round": curve["round"][i], "mb": curve["mb"][i], **_look(method, colors),
         **{value: curve[value][i] for value in ("accuracy", "low", "high")}}
        for method, curve in numbers["curves"].items() if any(point["method"] == method for point in points)
        for i in range(len(curve["round"]))
    ]  # fmt: skip
    left = charts.cost(points, 330, 240)
    right = charts.curve("accuracy", "low", "high", "Accuracy %", steps, 330, 240)
    names = charts.legend([{"method": method, "color": color} for method, color in colors.items()])
    chart = alt.vconcat(names, alt.hconcat(left, right, spacing=30), spacing=4)
    return vl_convert.vegalite_to_svg(chart.to_dict() | {"config": CONFIG}) + "\n"


def _look(method: str, colors: dict[str, str]) -> dict[str, Any]:
    return {"chosen": method in colors, "color": colors.get(method, GREY)}
