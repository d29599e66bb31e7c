"""How a record was obtained: processor, versions, command. Never hashed."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

KIND = ("cpu", "instructions", "torch", "device", "system")  # what, besides the backend, decides how sums are rounded


def environment(*, command: str, workers: int, seconds: float, device: str = "cpu") -> dict[str, Any]:
    """How a record was obtained; never hashed.

    command: what obtains it again
    seconds: wall time of this process's share of the work
    threads: intra-op threads of each worker, which the engine sets to one
    """
    cpu = _cpuinfo()
    return {
        "environment": {
            "python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy"),
            "cpu": cpu.get("model name", platform.processor()), "instructions": _instructions(cpu.get("flags", "")),
            "device": device, "threads": 1, "system": platform.system(),
        },
        "workers": workers, "seconds": round(seconds, 1), "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }  # fmt: skip


def machine_kind(path: Path) -> dict[str, str] | None:
    """What decides how the machine of a record rounds sums; None if the file beside the record does not say."""
    try:
        facts = json.loads(path.with_suffix(".run.json").read_bytes())["environment"]
        return {name: facts[name] for name in KIND}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def processor() -> str:
    """This machine's processor and its instructions."""
    cpu = _cpuinfo()
    return f"{cpu.get('model name', platform.processor())} {_instructions(cpu.get('flags', ''))}"


def processor_of(path: Path) -> str:
    """The processor that left a file <seed>.run.json, with its instructions; "" if the file does not say."""
    try:
        facts = json.loads(path.read_bytes())["environment"]
        return f"{facts['cpu']} {facts['instructions']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _instructions(flags: str) -> str:
    """The widest instruction set that decides the bits of a sum; the machine's type where flags are unknown."""
    if chosen := os.environ.get("ATEN_CPU_CAPABILITY"):  # torch's own variable
        return chosen
    known = flags.split()
    wide = (name for name in ("avx512f", "avx2", "avx") if name in known)
    return next(wide, platform.machine())
