"""`fedrepro confirm`: re-run a row that somebody else submitted, and sign that it came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.options import RESULTS, Workers, cores
from benchmark.core.errors import BenchmarkError


def confirm(
    row: Annotated[str, typer.Argument(metavar="TASK/METHOD", help="Which row of a board.")] = "",
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Your private key.")] = None,
    secret: Annotated[Path | None, typer.Option(metavar="FILE", help="A secret that sealed seeds follow from.")] = None,
    sealed: Annotated[int, typer.Option(min=1, help="Number of sealed seeds.")] = 3,
    new_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Only write a new private key.")] = None,
    workers: Workers = None,
) -> None:
    """Re-run all records of a row in sandboxed processes, and sealed seeds with --secret; sign it with --key.

    A confirmation is written only if every record comes out, to the bit on a machine of its own kind and within the
    tolerance elsewhere, and if sealed seeds reach what the records do. Its key must be in results/keys.json to count.
    """
    from benchmark.experiments import confirm as experiments
    from benchmark.records import confirmation
    from benchmark.records import sealed as sealing
    from benchmark.records.index import index_with_live_methods

    if new_key is not None:
        public = confirmation.new_key(new_key)
        print(f'{new_key}: written; keep it secret, and add "NAME": "{public}" to results/{confirmation.KEYS}')
        return
    task, _, method = row.partition("/")
    if not method or "/" in method:
        raise BenchmarkError(f"no row {row!r}", hint="name TASK/METHOD")
    hidden = sealing.read_secret(secret) if secret else None
    private = _private_key(key)
    index = index_with_live_methods(RESULTS)
    how: dict[str, Any] = {"secret": hidden, "sealed": sealed, "workers": workers or cores(), "report": print}
    made = experiments.confirm(index, task, method, **how)
    path = confirmation.write(confirmation.sign(made, private), RESULTS)
    print(f"{path}: {len(made.seeds)} records came out again; signed")


def _private_key(path: Path | None) -> str:
    """The key's text, looked at before anything is trained."""
    if path is None:
        raise BenchmarkError("a confirmation is signed", hint="add --key FILE; --new-key FILE makes one")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BenchmarkError("cannot be read", where=str(path), hint="--new-key FILE makes a key") from None
