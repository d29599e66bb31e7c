"""The pages: every link leads somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r'(?:src|href)="(?:https?:)?//[^"]*"')


# mkdocs.yml is strict: a broken link fails the build
def test_the_site_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    pages = {path.stem for path in tmp_path.glob("*.html")} - {"404"}
    assert pages == {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert not [found for page in tmp_path.glob("*.html") for found in ELSEWHERE.findall(page.read_text())]
    assert "global_model" in (tmp_path / "interface.html").read_text()
