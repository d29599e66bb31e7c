"""What mkdocs adds to docs/: the pages and data that `benchmark.reports.site` makes of the records."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from benchmark.records.index import ResultsIndex
from benchmark.reports import html as report
from benchmark.reports import site

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "tables.js"  # also part of the report
FOLDERS = {"Boards": "boards", "Papers": "papers"}
RESULTS = ("boards/", "papers/", "leaderboard.md", "claims.md", "data.md")  # pages whose tables sort and filter


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every board and every paper into the navigation."""
    for place, (title, folder) in enumerate(FOLDERS.items(), start=1):  # after the results
        pages = sorted((ROOT / "docs" / folder).glob("*.md"))
        config.nav.insert(place, {title: [f"{folder}/{path.name}" for path in pages]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated files."""
    content = site.files(ResultsIndex.load(ROOT / "results"))
    content[SCRIPT] = (Path(report.__file__).parent / SCRIPT).read_text()
    for path, text in content.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Tell site.js which tables sort."""
    return f'<div class="results">{html}</div>' if page.file.src_uri.startswith(RESULTS) else html
