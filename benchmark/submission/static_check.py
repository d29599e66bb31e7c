"""What a method file may use, checked by reading the file: `check`, `run` and audits refuse the same things.

A method uses its arguments, the interface and torch's functions. Everything that its numbers depend on is then in its
fingerprint, which covers the code of the file and of the methods that it inherits from, and nothing else.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError

INTERFACE = {f"benchmark.core.{name}" for name in ("api", "ops", "tree", "keys", "optim")}
LIBRARIES = {"__future__", "collections", "dataclasses", "functools", "itertools", "math", "torch", "typing"}
MAY_IMPORT = (
    f"a method imports benchmark.core.{{api, ops, tree, keys, optim}}, the method that it inherits from, and "
    f"{', '.join(sorted(LIBRARIES)[1:])}"
)
MAY_USE = "a method uses its arguments, the interface and torch's functions: no files, no modules of Python's"

# Names and attributes that begin and end with two underscores and may be used or defined
DUNDERS = {"__init__", "__post_init__", "__call__", "__len__", "__iter__", "__getitem__", "__name__", "__class__"}
BUILTINS = {"breakpoint", "compile", "delattr", "dir", "eval", "exec", "globals", "input", "locals", "open", "vars"}
ATTRIBUTES = {  # of anything: modules that other modules have imported, frames, files
    "builtins", "ctypes", "gc", "importlib", "inspect", "io", "linecache", "multiprocessing", "os", "pathlib", "pickle",
    "pkgutil", "posix", "shutil", "socket", "subprocess", "sys", "tempfile", "threading", "traceback", "warnings",
    "cr_frame", "f_back", "f_builtins", "f_globals", "f_locals", "gi_frame", "tb_frame",
    "from_file", "fromfile", "get_type_hints", "load_library", "memmap", "tofile",
}  # fmt: skip
TORCH = {  # parts of torch that read files, start processes, run text as code or turn gradients on
    "classes", "compile", "distributed", "enable_grad", "export", "func", "get_file_path", "hub", "import_ir_module",
    "jit", "library", "load", "multiprocessing", "onnx", "ops", "package", "profiler", "save", "serialization",
    "set_grad_enabled", "utils",
}  # fmt: skip


def may_import(name: str) -> bool:
    """Whether a method may import a module."""
    head = name.split(".")[0]
    return name in INTERFACE or head in LIBRARIES or head == "algorithms"


def refuse(path: Path) -> None:
    """Raise BenchmarkError with the first fault of a method's file or of one that it inherits from."""
    faults = static_faults(path)
    if not faults:
        return
    more = f" (and {len(faults) - 1} more: `fedrepro check {path.stem}` shows all)" if len(faults) > 1 else ""
    raise BenchmarkError(f"{faults[0].message}{more}", where=path.stem, hint=faults[0].hint)


def static_faults(path: Path) -> list[BenchmarkError]:
    """All faults of a method's file and of the files of methods that it inherits from, with their lines."""
    faults = []
    try:
        trees = {file: ast.parse(file.read_bytes()) for file in method_files.source_files(path)}
    except (SyntaxError, ValueError):
        return []  # importing the file says so
    for file, tree in trees.items():
        place = "" if file == path else f" of {file.name}"
        for line, message, hint in sorted(set(_Reader().read(tree))):
            faults.append(BenchmarkError(f"{message} (line {line}{place})", where="class", hint=hint))
    return faults


def network_line(path: Path, name: str) -> int | None:
    """The first line of a method's file that writes a network's name."""
    lines = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and node.value == name
    ]
    return min(lines, default=None)


class _Reader:
    """Finds faults in a syntax tree as (line, message, hint)."""

    def __init__(self) -> None:
        self.imported: dict[str, Any] = {}  # objects by the names that the file gives them

    def read(self, tree: ast.AST) -> Iterator[tuple[int, str, str]]:
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self._import(node)
        bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        for node in nodes:
            if isinstance(node, ast.Name | ast.Attribute | ast.FunctionDef):
                yield from ((node.lineno, message, MAY_USE) for message in self._use(node, id(node) in bases))
            if isinstance(node, ast.Call | ast.Name) and _computed_attribute(node, called):
                yield node.lineno, "looks up an attribute by a computed name", "write obj.name, or use a dict"
            if isinstance(node, ast.AnnAssign | ast.arg) and _is_text(node.annotation):
                yield node.lineno, "writes a type as text", "write it without quotes"

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str, str]]:
        for alias in node.names:
            module = alias.name
            if isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                if module in ("benchmark.core", "algorithms"):
                    module = f"{module}.{alias.name}"
            if not may_import(module) or alias.name == "*":
                yield node.lineno, f"imports {module}{' *' * (alias.name == '*')}", MAY_IMPORT
            elif not module.startswith("algorithms."):  # whose own file is read as well
                yield from self._bind(node, alias, module)

    def _bind(self, node: ast.Import | ast.ImportFrom, alias: ast.alias, module: str) -> Iterator[tuple[int, str, str]]:
        """Remember what a name of the file refers to."""
        try:
            value: Any = importlib.import_module(module)
        except ImportError:
            return  # importing the file says so
        dotted = module
        if isinstance(node, ast.ImportFrom) and module == node.module:
            value, dotted = getattr(value, alias.name, None), f"{module}.{alias.name}"
        elif isinstance(node, ast.Import) and alias.asname is None:
            value = importlib.import_module(module.split(".")[0])
        self.imported[alias.asname or alias.name.split(".")[0]] = value
        if _foreign(value) or _refused_part(dotted):
            yield node.lineno, f"imports {dotted}", MAY_IMPORT

    def _use(self, node: ast.Name | ast.Attribute | ast.FunctionDef, is_base: bool) -> Iterator[str]:
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else node.name
        if name.startswith("__") and name.endswith("__") and name not in DUNDERS:
            yield f"{'defines' if isinstance(node, ast.FunctionDef) else 'uses'} {name}"
        elif isinstance(node, ast.FunctionDef):
            return
        elif isinstance(node, ast.Name) and name in BUILTINS and name not in self.imported:
            yield f"uses {name}"
        elif isinstance(node, ast.Attribute) and name in ATTRIBUTES:
            yield f"uses {ast.unparse(node)}"
        else:
            yield from self._module_use(node, is_base)

    def _module_use(self, node: ast.Name | ast.Attribute, is_base: bool) -> Iterator[str]:
        """Uses of a module other than as `module.function`, and of what a method may not use of it."""
        found, value = self._resolve(node)
        if not found:
            return
        text = ast.unparse(node)
        owner = self._resolve(node.value)[1] if isinstance(node, ast.Attribute) else None
        refused = isinstance(owner, ModuleType) and _refused_part(f"{owner.__name__}.{text.rpartition('.')[2]}")
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield f"assigns to {text}"
        elif _foreign(value) or refused:
            yield f"uses {text}"
        elif isinstance(value, ModuleType) and not is_base:
            yield f"uses the module {text} as a value"

    def _resolve(self, node: ast.expr) -> tuple[bool, Any]:
        """Whether a name or a chain of attributes begins with an import and exists, and what it refers to."""
        if isinstance(node, ast.Name):
            return node.id in self.imported, self.imported.get(node.id)
        if not isinstance(node, ast.Attribute):
            return False, None
        found, owner = self._resolve(node.value)
        if not found or not hasattr(owner, node.attr):
            # an attribute that a module does not have may be one that the method gives it
            return found and isinstance(owner, ModuleType), None
        return True, getattr(owner, node.attr)


def _foreign(value: Any) -> bool:
    """Whether something is a module that a method may not import."""
    return isinstance(value, ModuleType) and not may_import(value.__name__)


def _refused_part(dotted: str) -> bool:
    """Whether a dotted name is of a part of torch that a method may not use, or private."""
    parts = dotted.split(".")
    return parts[0] == "torch" and any(part in TORCH or part.startswith("_") for part in parts[1:])


def _is_text(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)


def _computed_attribute(node: ast.Call | ast.Name, called: set[int]) -> bool:
    """Whether getattr and the like are called with a name that the file does not spell out, or passed on."""
    name = node if isinstance(node, ast.Name) else node.func
    if not isinstance(name, ast.Name) or name.id not in ("getattr", "hasattr", "setattr"):
        return False
    if isinstance(node, ast.Name):
        return id(node) not in called
    return not (len(node.args) > 1 and isinstance(node.args[1], ast.Constant))
