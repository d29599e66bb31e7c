"""Where files are: in a checkout beside the package, after `pip install` in the folder one works in."""

from __future__ import annotations

import os
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "algorithms"
"""The suite's own methods."""
CHECKOUT = (Path(__file__).parents[1] / "dvc.yaml").is_file()
ROOT = Path(__file__).parents[1] if CHECKOUT else Path()
RESULTS = ROOT / "results"
OWN = "FEDREPRO_ALGORITHMS"
"""Environment variable with folders of methods of one's own; `--algorithms` sets it, worker processes inherit it."""


def own_folders() -> list[Path]:
    """Folders of methods of one's own, looked through after the suite's; outside of a checkout algorithms/ is one."""
    named = [Path(os.path.expanduser(text)) for text in os.environ.get(OWN, "").split(os.pathsep) if text]
    return named if CHECKOUT else [ROOT / "algorithms", *named]
