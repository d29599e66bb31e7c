"""The site in a real headless Chromium, at two widths, light and dark: `make browser`, not `make test`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
PAGES = ("index.html", "leaderboard.html", "claims.html", "data.html", "boards/digits-shards.html", "papers/feddf.html")
BOARD = "boards/digits-shards.html"
Visit = Callable[..., Page]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_errors_fits_the_screen_and_follows_the_scheme(
    visit: Visit, site: str, name: str, width: int, scheme: str
) -> None:
    page = visit(site + name, width, scheme)
    page.locator(".md-version").wait_for(state="attached")  # what scripts add last
    assert page.faults == []  # type: ignore[attr-defined]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, color[4:-1].split(","))) < 200) == (scheme == "dark")


def test_a_wide_table_scrolls_in_its_own_box(visit: Visit, site: str) -> None:
    page = visit(site + BOARD, width=390)
    box = page.locator(".md-typeset__scrollwrap").first
    wide, shown = box.evaluate("box => [box.scrollWidth, box.clientWidth]")
    assert wide > shown and shown <= 390
    assert box.evaluate("box => { box.scrollLeft = 50; return box.scrollLeft; }") == 50


def column(page: Page, head: str) -> list[str]:
    """Texts of the first table's column."""
    table = page.locator(".results table").first
    heads = table.locator("thead th").all_inner_texts()
    place = next(i for i, text in enumerate(heads, start=1) if text.startswith(head))
    return [text.strip() for text in table.locator(f"tbody tr:visible > :nth-child({place})").all_inner_texts()]


def test_columns_sort_by_number_and_the_address_repeats_the_order(visit: Visit, site: str) -> None:
    page = visit(site + BOARD)
    before = [float(text.replace(",", "")) for text in column(page, "Sent")]
    button = page.locator(".results table").first.get_by_role("button", name="Sent")
    button.click()
    assert [float(text.replace(",", "")) for text in column(page, "Sent")] == sorted(before, reverse=True)
    button.click()
    assert [float(text.replace(",", "")) for text in column(page, "Sent")] == sorted(before)
    again = visit(page.url)
    assert "sort=" in page.url and column(again, "Method") == column(page, "Method")


def test_words_among_numbers_stay_below(visit: Visit, site: str) -> None:
    page = visit(site + BOARD)
    page.locator(".results table").first.get_by_role("button", name="Rounds to").click()
    words = ["seeds" in text for text in column(page, "Rounds to")]
    assert words == sorted(words) and len(set(words)) == 2


def test_the_filter_leaves_rows_that_hold_its_words_and_the_address_keeps_it(visit: Visit, site: str) -> None:
    page = visit(site + BOARD)
    page.get_by_label("Filter rows").fill("ntd")
    assert column(page, "Method") == ["fedntd"]
    again = visit(page.url)
    assert column(again, "Method") == ["fedntd"] and again.get_by_label("Filter rows").input_value() == "ntd"
    page.get_by_label("Filter rows").fill("no such method")
    assert column(page, "Method") == []


def test_methods_of_the_leaderboard_lead_to_their_section_of_the_report(visit: Visit, site: str) -> None:
    page = visit(site + "leaderboard.html")
    page.locator(".results table").first.get_by_role("link", name="fedntd", exact=True).click()
    assert page.url == site + "report.html#method-fedntd"
    page.locator("#method-fedntd table").wait_for()


def test_older_versions_can_be_chosen(visit: Visit, site: str) -> None:
    page = visit(site + "leaderboard.html")
    page.locator(".md-version").wait_for()
    assert page.locator(".md-version__item").all_text_contents() != []


def test_tables_have_fixed_addresses_as_csv_and_json(site: str) -> None:
    index = json.load(urlopen(site + "data/index.json"))
    rows = json.load(urlopen(site + index["tasks"]["digits-shards"]))["rows"]
    lines = urlopen(site + "data/digits-shards.csv").read().decode().splitlines()
    assert lines == (ROOT / "results" / "tables" / "digits-shards.csv").read_text().splitlines()
    assert [row["method"] for row in rows] == [line.split(",")[0] for line in lines[1:]]
