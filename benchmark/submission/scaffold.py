"""For whoever writes a method or cites one: a file to begin with, and the paper as BibTeX."""

from __future__ import annotations

import re
from pathlib import Path

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.paths import CHECKOUT, ROOT, SHIPPED

HOME = Path(__file__).parent
ENTRY = re.compile(r"^@\w+\{.*?^\}$", re.MULTILINE | re.DOTALL)
IDENTIFIER = re.compile(r"arXiv (\d{4}\.\d{5})|doi (10\.\S+)")


def new(name: str) -> tuple[Path, Path]:
    """Write <name>.py among the methods and its test, and return both paths; nothing that is there is touched."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise BenchmarkError(f"{name} names no method", hint="use lower-case letters, digits and _, a letter first")
    folder = SHIPPED if CHECKOUT else ROOT / "algorithms"
    paths = folder / f"{name}.py", ROOT / "tests" / f"test_{name}.py"
    if name in method_files.names() or any(path.exists() for path in paths):
        raise BenchmarkError(f"there is a method {name} already", hint="choose another name")
    words = {"@name@": name, "@Name@": "".join(part.capitalize() for part in name.split("_"))}
    for path, template in zip(paths, ("method.txt", "test.txt"), strict=True):
        text = (HOME / "templates" / template).read_text(encoding="utf-8")
        for placeholder, word in words.items():
            text = text.replace(placeholder, word)
        write_atomic(path, text)
    return paths


def cite(method: str) -> str:
    """BibTeX of a method's paper. Imports torch."""
    facts = method_files.describe(method)
    found = IDENTIFIER.search(facts.get("paper", ""))
    if not found:
        raise BenchmarkError(f"{method} has no paper", hint="cite the suite itself: CITATION.cff")
    number = found[1] or found[2]
    for entry in ENTRY.findall((HOME / "papers.bib").read_text(encoding="utf-8")):
        if f"{{{number}}}" in entry:
            return str(entry)
    raise BenchmarkError(
        f"{facts['paper']} is not in papers.bib", hint="add its entry to benchmark/submission/papers.bib"
    )
