"""`fedrepro golden`: replay a recorded trajectory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def golden(
    file: Annotated[Path, typer.Argument(help="A trajectory in the format of the golden files (.npz).")],
) -> None:
    """Replay a recorded trajectory through the engine and print the largest difference of any parameter."""
    from benchmark.core import method_files
    from benchmark.replay.trajectory import replay

    print(json.dumps(replay(file, method_files.make)))
