"""Paths that users write, where ~ stands for their home folder."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.errors import BenchmarkError


def expanded(text: str, variable: str) -> Path:
    """A path without ~.

    Args:
        text: The path as it is written.
        variable: What to set where there is no home folder.

    Raises:
        BenchmarkError: If the path begins with ~ and the user has no home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:  # a user without HOME and without an entry in /etc/passwd
        message = f"{text} needs a home folder, and this user has none"
        raise BenchmarkError(message, hint=f"set {variable} to a folder that you may write") from None
