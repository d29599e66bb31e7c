"""Vega-Lite specifications of all charts, built with Altair; their rows come as the data source `rows`.

Every row has its `color`; `chosen` says whether its method is highlighted or serves as background.
"""

from __future__ import annotations

from typing import Any

import altair as alt

QUIET = 0.35  # opacity of what serves as background
MB_TICKS = [0, 0.1, 1, 10, 100, 1_000, 10_000, 100_000]
ROUNDS = alt.X("round:Q", title="Round", axis=alt.Axis(grid=False), scale=alt.Scale(nice=False))
MINUTES = alt.X("minutes:Q", title="Minutes", axis=alt.Axis(grid=False), scale=alt.Scale(type="log", nice=False))
COLOR = alt.Color("color:N", scale=None)
Chart = alt.LayerChart | alt.FacetChart  # what altair says that layers are
FIT = alt.AutoSizeParams(type="fit-x", contains="padding")  # as high as its rows need


def specs() -> dict[str, Any]:
    """Every chart of the page by name, as wide as its place."""
    charts = {
        "cost": cost(), "learning": curve("accuracy", "low", "high", "Accuracy %"),
        "forgetting": curve("forgetting", "forgetting_low", "forgetting_high", "Forgetting F %"),
        "time": curve("accuracy", "low", "high", "Accuracy %", x=MINUTES),
        "classes": classes(), "bytes": traffic(), "ranking": ranking(),
    }  # fmt: skip
    return {name: chart.to_dict() for name, chart in charts.items()}


def rows(data: Any = None) -> Any:
    """The place of a chart's rows; data: rows that are known by now."""
    return alt.NamedData("rows") if data is None else alt.InlineData(values=data)


def cost(data: Any = None, width: int | str = "container", height: int = 300) -> Chart:
    """Accuracy against MB, with the Pareto front and the names of methods on it or chosen."""
    x = alt.X(
        "mb:Q", title="MB, both directions, whole run", scale=alt.Scale(type="symlog", constant=0.01, domainMin=0),
        axis=alt.Axis(values=MB_TICKS, labelExpr="datum.value", grid=False),
    )  # fmt: skip
    y = alt.Y("accuracy:Q", title="Accuracy %", scale=alt.Scale(zero=False, nice=True))
    base = alt.Chart(rows(data)).encode(x=x)
    front = base.transform_filter("datum.front")
    line = front.mark_line(interpolate="step-after", strokeDash=[5, 3], color="#8a8f98").encode(y=y, order="mb:Q")
    spread = (
        base.transform_filter("datum.chosen")
        .mark_rule(opacity=0.45)
        .encode(y=alt.Y("low:Q", title="Accuracy %"), y2="high:Q", color=COLOR)
    )
    dots = base.mark_circle(size=64).encode(
        y=y, color=COLOR, opacity=alt.condition("datum.chosen || datum.front", alt.value(1), alt.value(QUIET)),
        tooltip=["method:N", _rounded("accuracy"), "mb:Q", _rounded("forgetting")],
    )  # fmt: skip
    # Above and to the left of the front there is space for names, except at the axis.
    align, dx = alt.expr("datum.mb < 0.02 ? 'left' : 'right'"), alt.expr("datum.mb < 0.02 ? 7 : -7")
    names = front.mark_text(align=align, dx=dx, dy=-6, fontSize=11).encode(y=y, color=COLOR, text="method:N")
    return alt.layer(line, spread, dots, names).properties(width=width, height=height)


def curve(
    value: str,
    low: str,
    high: str,
    title: str,
    data: Any = None,
    width: int | str = "container",
    height: int = 300,
    x: alt.X | None = None,
) -> Chart:
    """Means over rounds, or over another x; the band goes from the lowest to the highest seed."""
    base = alt.Chart(rows(data)).encode(x=x or ROUNDS, detail="method:N")
    y = alt.Y(f"{value}:Q", title=title, scale=alt.Scale(zero=False))
    band = base.transform_filter("datum.chosen").mark_area(opacity=0.14)
    line = base.mark_line().encode(
        y=y, color=COLOR, opacity=alt.condition("datum.chosen", alt.value(1), alt.value(QUIET)),
        strokeWidth=alt.condition("datum.chosen", alt.value(2), alt.value(1)),
    )  # fmt: skip
    touch = base.mark_point(opacity=0, size=70).encode(y=y, tooltip=["method:N", "round:Q", _rounded(value), "mb:Q"])
    spread = band.encode(y=alt.Y(f"{low}:Q", title=title), y2=f"{high}:Q", color=COLOR)
    return alt.layer(spread, line, *[touch] * (data is None)).properties(width=width, height=height)


def _rounded(field: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", format=".1f")


def classes() -> alt.Chart:
    """Accuracy of every class over rounds: what was forgotten when."""
    return alt.Chart(rows()).mark_rect().encode(
        x=alt.X("round:O", title="Round", axis=alt.Axis(labelOverlap=True, labelAngle=0)),
        y=alt.Y("class:N", title=None, sort=None, axis=alt.Axis(labelOverlap=True)),
        color=alt.Color("accuracy:Q", title="Accuracy %", scale=alt.Scale(scheme="viridis", domain=[0, 100])),
        tooltip=["class:N", "round:O", _rounded("accuracy")],
    ).properties(width="container", height=300)  # fmt: skip


def traffic() -> alt.Chart:
    """MB by kind of message."""
    return alt.Chart(rows()).mark_bar().encode(
        x=alt.X("mb:Q", title="MB of payload, whole run", axis=alt.Axis(grid=False)),
        y=alt.Y("method:N", title=None, sort="-x"),
        color=alt.Color("kind:N", title=None, legend=alt.Legend(orient="bottom", columns=2)),
        tooltip=["method:N", "kind:N", "name:N", "mb:Q"],
    ).properties(width="container", height=alt.Step(15), autosize=FIT)  # fmt: skip


def ranking() -> Chart:
    """Scores between the controls, with their 95 % intervals."""
    base = alt.Chart(rows()).encode(y=alt.Y("method:N", title=None, sort=None), color=COLOR)
    title = "Score, 0: lower control, 1: central"
    x = alt.X("score:Q", title=title, axis=alt.Axis(grid=False), scale=alt.Scale(zero=False))
    bars = base.mark_rule(strokeWidth=5, opacity=QUIET).encode(x=alt.X("score_low:Q", title=title), x2="score_high:Q")
    dots = base.mark_circle(size=64, opacity=1).encode(x=x, tooltip=["method:N", "score:Q"])
    return alt.layer(bars, dots).properties(width="container", height=alt.Step(18), autosize=FIT)


def legend(data: Any) -> Chart:
    """Names of methods in their colours, in a row."""
    x = alt.X("method:N", sort=None, axis=None, scale=alt.Scale(paddingOuter=0))
    base = alt.Chart(rows(data)).encode(x=x, color=COLOR)
    dots = base.mark_circle(size=70, xOffset=-45, opacity=1)
    return alt.layer(dots, base.mark_text(align="left", dx=-38, fontSize=12).encode(text="method:N")).properties(
        width=alt.Step(125), height=16
    )
