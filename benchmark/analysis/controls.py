"""Rows of a board that bound the others: they are no methods, and are neither ranked nor compared."""

CONTROLS = ("central", "local", "scratch", "untrained", "public_only", "public_server")
"""All data in one place; clients that never communicate, with the suite's and with Salvaging FL's training; the network
as it starts; public data without any exchange, at the clients and at the server."""
