"""Methods by file: a broken one costs only itself, settings are checked, fingerprints hear code and no prose."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.requirements import unfit

GOOD = '''"""Prose of the module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmark.core.api import Algorithm, hyper


@dataclass(frozen=True)
class Mine(Algorithm):
    """Prose of the class."""

    mu: float = hyper(0.5, "μ", low=0, high=1)
    count: int = hyper(3, low=1)
    free: float = 1.0
    wide: bool = False
    kind: Literal["a", "b"] = "a"
    pair: tuple[float, float] = (0.9, 0.99)

    def phases(self, rounds: int) -> tuple[object, ...]:
        # a comment
        return super().phases(rounds)
'''


def written(folder: Path, text: str, name: str = "mine") -> str:
    """Path of a method file of one's own."""
    path = folder / f"{name}.py"
    path.write_text(textwrap.dedent(text))
    return str(path)


def fault(path: str) -> str:
    """The one sentence that a file earns."""
    with pytest.raises(BenchmarkError) as caught:
        method_files.make(path)
    assert "\n" not in str(caught.value)
    assert method_files.describe(path) == {"name": Path(path).stem, "fault": str(caught.value)}
    return str(caught.value)


@pytest.mark.parametrize("name", method_files.names())
def test_a_shipped_method_loads_with_its_defaults(name: str) -> None:
    method, facts = method_files.make(name), method_files.describe(name)
    assert "fault" not in facts and facts["name"] == name and facts["title"]
    assert set(facts["fields"]) == set(vars(method))
    for field, entry in facts["fields"].items():
        assert (
            getattr(method_files.make(name, {field: entry["default"]}), field) == entry["default"]
        )  # within its own range


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class :", "mine.py: cannot be imported (SyntaxError: invalid syntax"),
        ("import nothing_like_it", "cannot be imported (ModuleNotFoundError: No module named 'nothing_like_it')"),
        ("raise SystemExit(3)", "cannot be imported (SystemExit: 3)"),
        ("1 / 0", "cannot be imported (ZeroDivisionError: division by zero)"),
        ("x = 1", "must define exactly one Algorithm class, found none"),
        (GOOD + GOOD.replace("Mine", "Yours").replace("from __future__ import annotations", ""), "found Mine, Yours"),
        (GOOD.replace("@dataclass(frozen=True)\n", ""), "Mine is not a frozen dataclass; write @dataclass"),
        (GOOD.replace("(frozen=True)", ""), "cannot inherit non-frozen dataclass from a frozen one"),
        (GOOD.replace("count: int = hyper(3, low=1)", "count: int = field(kw_only=True)").replace(
            "import dataclass\n", "import dataclass, field\n"), "field count has no default; give every field one"),
        (GOOD.replace("free: float", "free: Float"), "unknown type of a field (name 'Float' is not defined)"),
        (GOOD.replace("1.0", "[]"), "mutable default <class 'list'> for field free"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_sentence_with_its_name(text: str, words: str, tmp_path: Path) -> None:
    assert words in fault(written(tmp_path, text))


def test_helpers_and_private_bases_do_not_count(tmp_path: Path) -> None:
    text = GOOD.replace("class Mine(Algorithm)", "class _Base(Algorithm)") + (
        "\n\n@dataclass(frozen=True)\nclass Mine(_Base):\n    pass\n\n\nclass Helper:\n    pass\n"
    )
    assert type(method_files.make(written(tmp_path, text))).__name__ == "Mine"


def test_two_files_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder, default in (("a", 0.25), ("b", 0.75)):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, GOOD.replace("0.5", str(default)))
    values = [method_files.make(str(tmp_path / folder / "mine.py")).mu for folder in ("a", "b", "a")]  # type: ignore[attr-defined]
    assert values == [0.25, 0.75, 0.25]


def test_text_becomes_what_a_field_is(tmp_path: Path) -> None:
    given_ = {"mu": "0.25", "count": "7", "wide": "true", "kind": "b", "pair": ["0.1", 0.2]}
    method: Any = method_files.make(written(tmp_path, GOOD), given_)
    assert (method.mu, method.count, method.wide, method.kind, method.pair) == (0.25, 7, True, "b", (0.1, 0.2))
    assert type(method.count) is int and method.free == 1.0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mu", "-0.1", "mine.mu is -0.1, but must be at least 0 and at most 1; choose a value in range"),
        ("mu", 1.5, "must be at least 0 and at most 1"),
        ("count", 0, "mine.count is 0, but must be at least 1; "),
        ("count", "2.5", "mine.count: Input should be a valid integer"),
        ("mu", "much", "mine.mu: Input should be a valid number"),
        ("mu", "nan", "mine.mu is nan, but must be finite"),
        ("free", "inf", "mine.free is inf, but must be finite"),
        ("kind", "c", "mine.kind: Input should be 'a' or 'b', got 'c'"),
        ("cuont", 3, "method mine has no field cuont; did you mean count?"),
        ("zzzzz", 3, "its fields are mu, count, free, wide, kind, pair"),
        ("", 3, "method mine has no field"),
    ],
)
def test_a_wrong_setting_is_one_sentence(field: str, value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as caught:
        method_files.make(written(tmp_path, GOOD), {field: value})
    assert words in str(caught.value) and caught.value.user


@pytest.mark.parametrize("name", ["fedavgg", "", "__init__", "x" * 5000, "a\0b", "no/such", "nothing.py", "../tests"])
def test_an_unknown_method_is_one_sentence(name: str) -> None:
    with pytest.raises(BenchmarkError, match="unknown method") as caught:
        method_files.find(name)
    assert caught.value.hint == ("did you mean fedavg?" if name == "fedavgg" else caught.value.hint)


def fingerprint(folder: Path, text: str) -> str:
    return method_files.method_sha256(Path(written(folder, text)))


def test_prose_leaves_the_fingerprint_and_code_does_not(tmp_path: Path) -> None:
    known = fingerprint(tmp_path, GOOD)
    prose = [
        GOOD.replace("Prose of the class.", "Better prose."), GOOD.replace('    """Prose of the class."""\n', ""),
        GOOD.replace('"""Prose of the module."""', ""), GOOD.replace("# a comment", "# another\n        # and more"),
        GOOD.replace("        # a comment", '        """Added."""'), GOOD.replace('"a", "b"', "'a', 'b'"),
        GOOD.replace("(rounds)\n", "(\n            rounds\n        )\n"),
    ]  # fmt: skip
    assert [fingerprint(tmp_path, text) for text in prose] == [known] * len(prose)
    code = [
        GOOD.replace("0.5", "0.6"), GOOD.replace("(rounds)\n", "(rounds + 1)\n"), GOOD.replace("Mine", "Yours"),
        GOOD.replace('"μ"', '"m"'), GOOD.replace("# a comment", "rounds += 1"), GOOD.replace("low=0, ", ""),
    ]  # fmt: skip
    assert len({known, *(fingerprint(tmp_path, text) for text in code)}) == len(code) + 1


def test_the_fingerprint_covers_what_a_method_inherits_however_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method_files, "FOLDER", tmp_path)
    forms = [
        "from algorithms.base import Base", "import algorithms.base", "import algorithms.base as base",
        "from algorithms import base", "from .base import Base", "from . import base",
    ]  # fmt: skip
    for form in forms:
        prints = []
        for value in (1, 2):
            written(tmp_path, f"from algorithms.root import x\ny = {value}\n", "base")
            for root in (3, 4):
                written(tmp_path, f"x = {root}\n", "root")
                prints.append(fingerprint(tmp_path, f"{form}\n"))
        assert len(set(prints)) == 4, form


def test_a_circle_of_imports_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_files, "FOLDER", tmp_path)
    written(tmp_path, "import algorithms.mine\n", "base")
    assert fingerprint(tmp_path, "import algorithms.base\n") == fingerprint(tmp_path, "import algorithms.base  # x\n")


def test_another_process_finds_the_same_fingerprint() -> None:
    script = "from benchmark.core import method_files as m; print(m.method_sha256(m.find('fedntd')))"
    seeded = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=seeded)
    assert done.stdout.strip() == method_files.method_sha256(method_files.find("fedntd"))


def test_what_a_method_needs_decides_where_it_applies() -> None:
    shards, mixed = tasks.load("digits-shards"), tasks.load("digits-mixed")
    bare = shards.model_copy(update={"public": None, "validation": 0.0})
    without = shards.model_copy(update={"validation": 0.0})
    assert (
        method_files.why_not_applicable("fedavg", bare) is None
        and method_files.why_not_applicable("fedmd", mixed) is None
    )
    assert method_files.why_not_applicable("fedmd", bare) == "the task has no labelled public data"
    assert method_files.why_not_applicable("feddf", without) == "the task holds out no validation data"
    assert "its track is" in str(method_files.why_not_applicable("fedavg", tasks.load("digits-unsup")))
    assert mixed.public is not None
    bare_public = mixed.model_copy(update={"public": mixed.public.model_copy(update={"labels": "none"})})
    assert method_files.why_not_applicable("fedmd", bare_public) == "the task has no labelled public data"
    # public images are unlabelled ones as well
    assert unfit(["heterogeneous"], ["unlabelled"], mixed.model_copy(update={"unlabelled": None})) is None
    nothing = mixed.model_copy(update={"unlabelled": None, "public": None})
    assert unfit(["heterogeneous"], ["unlabelled"], nothing) == "the task has no unlabelled data"
