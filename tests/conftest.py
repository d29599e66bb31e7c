"""One thread, no mirror, a cache of its own: tests see the same on every machine. Figures of long tests are kept."""

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
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would children


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's cache or archives is read or written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDREPRO_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("FEDREPRO_DATA", str(tmp_path_factory.mktemp("archives")))
        patch.delenv("FEDREPRO_MIRROR", raising=False)
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make reliability` adds."""
    parser.addoption("--figures", action="store_true", help="Write what long tests measure into docs/reliability.md.")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Note what was measured: number of the point, what, and how much."""
    return lambda *row: request.config.stash.setdefault(MEASURED, []).append(row)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Print the figures and put them into the report; the rows of tests that did not run stay."""
    rows = session.config.stash.get(MEASURED, [])
    if session.config.getoption("--figures") and rows:
        print(f"\n{report(rows)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests over recorded files beside the checkout are not collected where there are none, rather than skipped."""
    empty = [item for item in items if any(map(_is_empty, item.iter_markers("skip")))]
    if empty:
        config.hook.pytest_deselected(items=empty)
        items[:] = [item for item in items if item not in empty]


def _is_empty(mark: pytest.Mark) -> bool:
    return str(mark.kwargs.get("reason", "")).startswith("got empty parameter set")
