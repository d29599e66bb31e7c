"""How two records of one cell compare."""

from __future__ import annotations

from pathlib import Path

from benchmark.records import store


def agreement(mine: Path, theirs: Path) -> str:
    """How the records of one folder compare with those of another, in a sentence."""
    other = {entry.record.path: entry.record for entry in store.read_all(theirs) if entry.record}
    found = [entry.record for entry in store.read_all(mine) if entry.record]
    both = [(made, other[made.path]) for made in found if made.path in other]
    if not both:
        return f"none of these {len(found)} cells has a committed record to compare with"
    equal = sum(made.result_sha256 == known.result_sha256 for made, known in both)
    text = f"{equal} of {len(both)} cells equal the committed records bit for bit"
    if equal == len(both):
        return text
    gaps = [abs(made.result.accuracy - known.result.accuracy) for made, known in both if made.result and known.result]
    gap = f", accuracy differs by {max(gaps) * 100:.1f} points at most" if gaps else ""
    return f"{text}{gap} (other processors and versions of torch round differently)"
