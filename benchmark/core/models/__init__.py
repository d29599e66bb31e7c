"""Networks, and networks as pure functions."""
