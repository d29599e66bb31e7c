"""What this machine has, how long the quick suite takes on it, and what to do about what is missing."""

from __future__ import annotations

import platform
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple

from benchmark.paths import CHECKOUT, RESULTS


class Finding(NamedTuple):
    """A line of the screen; remedy: what to do, "" where all is well."""

    what: str
    found: str
    remedy: str = ""


EXTRAS = {
    "digits": ("sklearn",), "archives": ("torchvision",), "timm": ("timm",), "dvc": ("dvc",),
    "huggingface": ("datasets",),
    "report": ("altair", "jinja2", "vl_convert"), "tensorboard": ("tensorboard",),
    "partitions": ("flwr_datasets",), "confirm": ("cryptography",),
    "ray": ("ray",), "slurm": ("submitit",), "flower": ("flwr", "ray"),
}  # fmt: skip
"""What `pip install 'fedrepro[NAME]'` brings, by the modules that must be there."""


def examine(cores: int) -> list[Finding]:
    """All findings. Imports torch; trains and downloads nothing."""
    return [
        Finding("fedrepro", f"{version('fedrepro')} {'in a checkout' if CHECKOUT else 'as a package'}, "
                f"records in {RESULTS}"),
        Finding("python", platform.python_version()),
        Finding("cores", str(cores)),
        _torch(), *_data(), *map(_extra, EXTRAS), _quick(cores),
    ]  # fmt: skip


def _torch() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
        found = f"torch {torch.__version__}, {torch.cuda.device_count()} x {', '.join(sorted(names))}"
        return Finding("accelerator", f"{found}: use it with --backend stacked --device cuda")
    return Finding("accelerator", f"torch {torch.__version__}, none: cells run on the processor's cores")


def _data() -> list[Finding]:
    from benchmark.core.data.status import status

    found = {"cached": "ready", "available": "ready, decoded at the first run"}
    return [
        Finding(f"data: {row['name']}", found.get(row["state"], row["state"]),
                "" if row["state"] in found else str(row["command"]))
        for row in status()
    ]  # fmt: skip


def _extra(name: str) -> Finding:
    lacking = [module for module in EXTRAS[name] if find_spec(module) is None]
    if not lacking:
        return Finding(f"extra: {name}", "installed")
    return Finding(f"extra: {name}", f"lacks {', '.join(lacking)}", f"pip install 'fedrepro[{name}]'")


def _quick(cores: int) -> Finding:
    """First seeds of the quick suite, at the speed at which the committed records were made."""
    from benchmark.experiments.cost_model import measured
    from benchmark.experiments.progress import spell
    from benchmark.records.index import index_with_live_methods

    known = measured(RESULTS)
    index = index_with_live_methods(RESULTS)
    quick = [name for name, task in index.tasks.items() if task.tier == "quick"]
    pairs = [(task, method) for task in quick for method in index.methods]
    cells = [pair for pair in pairs if index.why_not_applicable(*pair) is None]
    times = [known[cell] for cell in cells if cell in known]
    if not times:
        return Finding("quick suite", f"{len(cells)} cells per seed, of unknown length", "`fedrepro bench` measures it")
    seconds = sum(times) / len(times) * len(cells) / cores
    return Finding("quick suite", f"{len(cells)} cells per seed, about {spell(seconds)} by the records' times")
