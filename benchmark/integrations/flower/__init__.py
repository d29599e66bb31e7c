"""Runs clients on Flower nodes: only messages that are counted go there and come back."""

import os

# Nothing is told to anybody: neither Flower's nor Ray's statistics of use, nor a question for newer versions.
for name, value in (
    ("FLWR_TELEMETRY_ENABLED", "0"), ("FLWR_DISABLE_UPDATE_CHECK", "1"), ("RAY_USAGE_STATS_ENABLED", "0"),
):  # fmt: skip
    os.environ.setdefault(name, value)
