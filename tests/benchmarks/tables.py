"""Puts what was measured into docs/speed.md: `python tests/benchmarks/tables.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tabulate import tabulate

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/speed.md"
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str, folder: Path) -> str:
    """The page with every block `<!-- NAME -->` filled from folder/NAME.json."""
    return BLOCK.sub(lambda block: f"{block[1]}{table(folder / f'{block[2]}.json')}{block[3]}", text)


def table(file: Path) -> str:
    """What one file holds, with date and machine."""
    measured = json.loads(file.read_text())
    where = measured["environment"]
    rows = [_row(entry) for entry in measured["benchmarks"]]
    grid = tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)
    return f"\n{measured['date']}, {where['cpu']}, {where['instructions']}, torch {where['torch']}\n\n{grid}\n\n"


def _row(entry: dict[str, Any]) -> dict[str, str]:
    if "share" not in entry:
        seconds, steps = entry["median_cpu_seconds"], entry["bare_steps"]
        more = f", peak {entry['peak_megabytes']} MB" if "peak_megabytes" in entry else ""
        return {"what": entry["name"].removeprefix("test_"), "CPU ms": f"{1000 * seconds:.2f}{more}",
                "in steps of the bare loop": f"{steps:.2f}"}  # fmt: skip
    return {
        "task": entry["task"], "method": entry["method"], "precision": entry["precision"],
        "s per round": f"{entry['seconds']:.1f}", "CPU s per round": f"{entry['cpu_seconds']:.1f}",
        "share of limit, clock": f"{entry['share']:.2f}", "share of limit, CPU": f"{entry['share_of_cpu']:.2f}",
        "local training, share": f"{entry['local_training_share']:.2f}" if "local_training_share" in entry else "",
        "cores busy": f"{entry['busy']:.1%}", "memory, GB": f"{entry['memory'] / 1e9:.2f}",
        "bare loop, images/s": str(entry["bare_images_per_second"]),
    }  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), ROOT / "results/speed"))
