"""The versions that decide which records may be compared."""

from __future__ import annotations

from typing import Literal

PROTOCOL: Literal[1] = 1  # of tasks that name none; records compare within a task, so no row mixes protocols
ENGINE = 2  # raised when the engine's numbers may change: older records are stale
