"""The versions that decide which records may be compared."""

PROTOCOL = 1  # raised when the rules change: records of different protocols never share a row
ENGINE = 2  # raised when the engine's numbers may change: older records are stale
