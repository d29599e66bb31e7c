"""Reading a method's file: what its fingerprint cannot cover is refused, and methods of the suite are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core import method_files
from benchmark.submission.static_check import may_import, static_faults

HEAD = """
from __future__ import annotations
from dataclasses import dataclass
import functools
import torch
import torch.nn.functional as F
from benchmark.core import tree
from benchmark.core.api import Algorithm

@dataclass(frozen=True)
class Mine(Algorithm):
    def finish(self, client, local, message, phase, site):
"""

# lines by which numbers could come from elsewhere than the code -> what is said
REFUSED = {
    "docstring of the class": ("x = float(type(self).__doc__)", "uses __doc__"),
    "docstring of a function": ("x = len(Mine.finish.__doc__)", "uses __doc__"),
    "source of the file": ("x = open(__file__).read()", "uses open"),
    "import by a computed name": ("x = __import__('algorithms.' + 'helper')", "uses __import__"),
    "import by importlib": ("import importlib", "imports importlib"),
    "import by a module of Python's": ("x = functools.sys.modules", "uses functools.sys"),
    "text that is run": ("x = eval('1 + 1')", "uses eval"),
    "text that is run by annotations": ("x: 'open(1)' = 1", "writes a type as text"),
    "file with tensors": ("x = torch.load('weights.pt')", "uses torch.load"),
    "mapped file": ("x = torch.UntypedStorage.from_file('a', False, 8)", "uses torch.UntypedStorage.from_file"),
    "compiled extension": ("torch.ops.load_library('a.so')", "uses torch.ops.load_library"),
    "download": ("x = torch.hub.load_state_dict_from_url('https://')", "uses torch.hub"),
    "private part of torch": ("x = torch._C", "uses torch._C"),
    "NumPy's loader through an array": ("x = site.data.labels.numpy().ctypes", "uses site.data.labels.numpy().ctypes"),
    "computed attribute": ("x = getattr(self, 'lo' + 'ad')", "looks up an attribute by a computed name"),
    "attribute function passed on": (
        "x = functools.partial(getattr, self)",
        "looks up an attribute by a computed name",
    ),
    "module under another name": ("t = torch\n        t.load('a')", "uses the module torch as a value"),
    "module of a module under another name": ("f = F\n        f.os", "uses the module F as a value"),
    "changed module": ("tree.copy = None", "assigns to tree.copy"),
    "globals": ("x = globals()", "uses globals"),
    "frames": ("x = (i for i in ()).gi_frame", "uses (i for i in ()).gi_frame"),
    "subclasses": ("x = object.__subclasses__()", "uses __subclasses__"),
    "star import": ("pass\nfrom torch import *", "imports torch *"),
    "module of Python's from a library": ("from dataclasses import sys", "imports dataclasses.sys"),
    "loader by its own name": ("from torch import load", "imports torch.load"),
    "engine": ("from benchmark.core.client import evaluate", "imports benchmark.core.client"),
    "descriptor": ("pass\n    def __get__(self, a, b): return 1", "defines __get__"),
}


def faults(folder: Path, line: str) -> list[str]:
    """What is said of a method with a line in `finish`."""
    path = folder / "mine.py"
    path.write_text(f"{HEAD}        {line}\n")
    return [fault.message for fault in static_faults(path)]


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_fingerprint_cannot_cover_is_refused_with_its_line(what: str, tmp_path: Path) -> None:
    line, words = REFUSED[what]
    number = 14 if "\n" in line and words.split()[0] in ("imports", "defines") else 13
    assert f"{words} (line {number})" in faults(tmp_path, line)


@pytest.mark.parametrize(
    "line",
    [
        "x = F.softmax(torch.zeros(3), 0)",
        "x = torch.nn.functional.kl_div(torch.zeros(1), torch.ones(1))",
        "x = tree.map(torch.zeros_like, local.params)",
        "x = getattr(local, 'carry', None)",
        "x = torch.Generator().manual_seed(1)",
        "x = super().__init__()",
    ],
)
def test_torch_and_the_interface_are_accepted(line: str, tmp_path: Path) -> None:
    assert faults(tmp_path, line) == []


@pytest.mark.parametrize("name", method_files.names())
def test_methods_of_the_suite_are_accepted(name: str) -> None:
    assert [fault.message for fault in static_faults(method_files.find(name))] == []


def test_files_that_a_method_inherits_from_are_read_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_files, "FOLDER", tmp_path)
    (tmp_path / "_base.py").write_text("FACTOR = float(open('factor.txt').read())\n")
    (tmp_path / "mine.py").write_text("from algorithms._base import FACTOR\n")
    assert [fault.message for fault in static_faults(tmp_path / "mine.py")] == ["uses open (line 1 of _base.py)"]


def test_text_counts_in_a_fingerprint_whatever_it_says(tmp_path: Path) -> None:
    """Some versions of Python print `type_params=[]` for functions; in a method's own text it is text."""
    digests = set()
    for text in ("a", "a, type_params=[]"):
        path = tmp_path / "mine.py"
        path.write_text(f"SIZE = len({text!r})\ndef one(): pass\n")
        digests.add(method_files.method_sha256(path))
    assert len(digests) == 2


@pytest.mark.parametrize("name", ["benchmark.core", "benchmark", "numpy", "torchvision", "algorithmsx", "os", ""])
def test_modules_that_no_method_may_import(name: str) -> None:
    assert not may_import(name)
