"""Commands on datasets: what is there, get it, pack a mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Json, show
from benchmark.cli.options_everywhere import everywhere

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Datasets: what is there, get it, pack a mirror.")
Name = Annotated[str, typer.Argument(help="Name of a dataset.", metavar="NAME")]


@app.command()
@everywhere
def status(as_json: Json = False) -> None:
    """What is there, from where, and the one command that gets what is missing."""
    from benchmark.core.data.status import status as rows

    found = rows()
    if not as_json:
        found = [{**row, "bytes": f"{row['bytes'] / 1e6:.1f} MB"} for row in found]
    show(found, as_json)


@app.command()
@everywhere
def get(name: Name, download: Annotated[bool, typer.Option(help="Let torchvision fetch the archive.")] = False) -> None:
    """Decode a dataset into the cache from the first source that has it."""
    from benchmark.core.data.status import get as get_

    row = get_(name, download)
    print(f"{row['name']}: {row['state']}, {row['bytes'] / 1e6:.1f} MB decoded from {row['origin']}")


@app.command()
@everywhere
def pack(name: Name, folder: Annotated[Path, typer.Argument(help="The mirror; made if it is not there.")]) -> None:
    """Pack a dataset into a mirror folder, for machines that reach no data server (FEDREPRO_MIRROR)."""
    from benchmark.core.data.loading import load
    from benchmark.core.data.mirror import pack as pack_

    written = pack_(load(name), folder)
    print(f"{name}: {len(written)} files in {folder}, {sum(path.stat().st_size for path in written) / 1e6:.1f} MB")


@app.command()
@everywhere
def pin(file: Annotated[Path, typer.Argument(help="A dataset file of your own.", metavar="FILE")]) -> None:
    """Write into a dataset file what its images are, so that others are refused: counts, shape and fingerprints."""
    from benchmark.core.data.user_datasets import pinned_text

    text = pinned_text(file)
    file.write_text(text, encoding="utf-8")
    print(f"{file}: pinned")
