"""Networks, and their use as pure functions."""
