"""A headless Chromium, the site on this machine, and pages that remember their faults."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "google-chrome", "chromium-browser", "chrome", "chromium-headless-shell")
Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine, or the one that `playwright install chromium` has fetched."""
    program = next((path for path in map(shutil.which, NAMES) if path), None)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the site, served as `make publish` lays it out: two versions and their list."""
    root = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(root / "latest")]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    versions = [{"version": "latest", "title": "protocol-2", "aliases": []},
                {"version": "protocol-1", "title": "protocol-1", "aliases": []}]  # fmt: skip
    (root / "versions.json").write_text(json.dumps(versions))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/latest/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens an address; `faults` of the page collects its errors and what it asks other hosts for."""
    contexts = []

    def visit(address: str, width: int = 1440, scheme: str = "light", script: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=script,
        )
        contexts.append(context)
        page = context.new_page()
        faults: list[str] = []
        here = ("file:", "data:", "blob:", "/".join(address.split("/")[:3]))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(here) else faults.append(request.url))
        page.goto(address)
        page.faults = faults  # type: ignore[attr-defined]
        return page

    yield visit
    for context in contexts:
        context.close()
