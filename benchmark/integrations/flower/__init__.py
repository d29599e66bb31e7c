"""Flower as the way to the clients: each lives on a node, and only what the ledger counts goes there and comes back."""

import os

# Nothing is told to anybody: neither Flower's nor Ray's statistics of use, nor a question for newer versions.
for name, value in (
    ("FLWR_TELEMETRY_ENABLED", "0"), ("FLWR_DISABLE_UPDATE_CHECK", "1"), ("RAY_USAGE_STATS_ENABLED", "0"),
):  # fmt: skip
    os.environ.setdefault(name, value)
