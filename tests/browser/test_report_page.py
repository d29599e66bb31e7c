"""The report in a real headless Chromium, at two widths, light and dark: `make browser`, not `make test`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

Visit = Callable[..., Page]


@pytest.fixture
def address(site: str) -> str:
    """The report, as part of the site."""
    return site + "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_without_errors_fits_the_screen_and_draws_every_chart(
    visit: Visit, address: str, width: int, scheme: str
) -> None:
    page = visit(address, width, scheme)
    figures = page.locator("figure[data-chart]:visible")
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        figures.nth(number).locator("svg").wait_for()
    assert page.faults == []  # type: ignore[attr-defined]
    assert page.evaluate("document.documentElement.scrollWidth") == width  # only tables scroll sideways, by themselves
    backgrounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, backgrounds[4:-1].split(","))) < 200) == (scheme == "dark")


def test_columns_sort_by_number_and_empty_cells_stay_below(visit: Visit, address: str) -> None:
    page = visit(address)
    table = page.locator("#digits-shards table.board")
    table.get_by_role("button", name="Down (MB)").click()
    column = table.locator("thead th").all_inner_texts().index("Down (MB)")
    cells = table.locator(f"tbody tr > :nth-child({column + 1})")
    values = [float(text.split(" ")[0]) for text in cells.all_inner_texts()]
    assert values == sorted(values, reverse=True) and len(set(values)) > 3
    table.get_by_role("button", name="Down (MB)").click()
    assert [float(text.split(" ")[0]) for text in cells.all_inner_texts()] == sorted(values)
    goal = table.locator("thead th").filter(has_text="Rounds to 80").get_by_role("button")
    goal.click()
    place = next(i for i, text in enumerate(table.locator("thead th").all_inner_texts()) if "Rounds to 80" in text)
    texts = table.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()
    reached = ["seeds" not in text for text in texts]
    assert reached == sorted(reached, reverse=True)


def test_filters_leave_what_fits(visit: Visit, address: str) -> None:
    page = visit(address)
    page.get_by_label("Filter methods").fill("ntd")
    assert page.locator("#digits-shards tbody tr:visible th").all_inner_texts() == ["fedntd"]
    assert page.locator("details.method:visible").evaluate_all("all => all.map(one => one.id)") == ["method-fedntd"]
    page.get_by_label("Filter methods").fill("no such method")
    assert page.locator("#digits-shards .none").is_visible()
    page.get_by_label("Filter methods").fill("")
    page.get_by_label("Track").select_option("personal")
    assert page.locator(".track:visible h2").all_inner_texts() == ["Personal track"]
    page.get_by_label("Track").select_option("")
    page.get_by_label("comparable rows only").check()
    assert page.locator("tr.apart:visible").count() == 0
    for chip in page.locator(".chip[data-verdict]").all():
        chip.click()
        number, _, verdict = chip.inner_text().partition(" ")
        assert page.locator("#claims tbody tr:visible .verdict").all_inner_texts() == [verdict] * int(number)
        chip.click()


def test_chips_choose_what_charts_draw_in_colour(visit: Visit, address: str) -> None:
    page = visit(address)
    learning = page.locator("#digits-shards figure[data-chart=learning]")
    learning.scroll_into_view_if_needed()
    learning.locator("svg").wait_for()
    bands = learning.locator("svg .mark-area path").count()
    page.locator("#digits-shards .chip[aria-pressed=false]").first.click()
    page.wait_for_function("document.querySelector('#digits-shards [data-chart=learning]').dataset.drawn === '2'")
    assert learning.locator("svg .mark-area path").count() == bands + 1
    classes = page.locator("#digits-shards figure[data-chart=classes]")
    classes.locator("select").select_option("fedntd")
    classes.scroll_into_view_if_needed()
    classes.locator("svg").wait_for()


def test_a_link_to_a_method_opens_its_section(visit: Visit, address: str) -> None:
    page = visit(address)
    page.locator("#digits-shards").get_by_role("link", name="fedntd").click()
    section = page.locator("#method-fedntd")
    assert section.locator("table").is_visible() and "--task digits-shards --seed 0" in section.inner_text()


def test_without_javascript_tables_and_pictures_are_there(visit: Visit, address: str) -> None:
    page = visit(address, script=False)
    assert page.locator("#digits-shards table.board tbody tr").count() > 20
    assert page.locator("#digits-shards .picture svg").is_visible() and not page.locator(".tools").is_visible()
