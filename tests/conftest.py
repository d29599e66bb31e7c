"""Settings of all tests: one thread, a cache of their own and no mirror, so that they see the same on every machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from helpers.reliability_figures import MEASURED, Figures, report

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and inherited by worker processes

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
ABSENT = "shared golden files are not beside the checkout (../shared)"
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would children


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache and archives out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDREPRO_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("FEDREPRO_DATA", str(tmp_path_factory.mktemp("archives")))
        patch.delenv("FEDREPRO_MIRROR", raising=False)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make reliability`."""
    parser.addoption("--figures", action="store_true", help="Write what long tests measure into docs/reliability.md.")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """A function that stores a measurement: number of the point, what was measured, how much."""
    return lambda *row: request.config.stash.setdefault(MEASURED, []).append(row)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the measurements into docs/reliability.md; rows of tests that did not run stay."""
    rows = session.config.stash.get(MEASURED, [])
    if session.config.getoption("--figures") and rows:
        print(f"\n{report(rows)}")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all long tests slow, and name the reason where a test over files beside the checkout has none to run on."""
    for item in items:
        if any(map(item.get_closest_marker, ("regress", "reliability"))):
            item.add_marker("slow")
        for mark in item.own_markers:
            if str(mark.kwargs.get("reason", "")).startswith("got empty parameter set"):
                mark.kwargs["reason"] = ABSENT  # type: ignore[index]
