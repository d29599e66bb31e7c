"""Method files: finding, importing, checking and hashing them. The stem of a file is the name of its method."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import hashlib
import importlib.util
import inspect
import math
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_type_hints

from benchmark import paths
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import requirements

if TYPE_CHECKING:
    from benchmark.core.api import Algorithm
    from benchmark.core.tasks.task import Task

FOLDER = paths.SHIPPED
FACTS = {"paper": str, "version": int, "track": tuple, "needs": tuple, "pooled": bool}


def names() -> list[str]:
    """Names of all methods, sorted; files that begin with an underscore are no methods."""
    stems = {path.stem for folder in [FOLDER, *paths.own_folders()] for path in folder.glob("*.py")}
    return sorted(stem for stem in stems if not stem.startswith("_"))


def find(name: str) -> Path:
    """The file of a method, by its name or by the path of the file."""
    folders = [FOLDER, *paths.own_folders()]
    candidates = [Path(name)] if name.endswith(".py") else [folder / f"{name}.py" for folder in folders]
    for path in candidates:
        with suppress(OSError):  # a name that no file can have
            if path.is_file() and not path.stem.startswith("__"):
                return path.resolve()
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else "`fedrepro list methods` shows all methods"
    raise BenchmarkError(f"unknown method {name}", hint=hint)


@lru_cache(maxsize=256)
def load(path: Path) -> type[Algorithm]:
    """The one Algorithm class that a file defines; BenchmarkError for whatever the file raises."""
    from benchmark.core.api import Algorithm

    try:
        module = _execute(path)
    except BenchmarkError:
        raise
    except (Exception, SystemExit) as error:
        detail = f"{type(error).__name__}: {error}"
        raise BenchmarkError(f"cannot be imported ({detail})", where=path.name, hint="fix the file") from error
    types = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    classes = [item for item in types if issubclass(item, Algorithm) and not item.__name__.startswith("_")]
    if len(classes) != 1:
        listed = ", ".join(item.__name__ for item in classes) or "none"
        raise BenchmarkError(f"must define exactly one Algorithm class, found {listed}", where=path.name)
    _check_class(classes[0], path)
    return classes[0]


def _execute(path: Path) -> ModuleType:
    name = f"algorithms.{path.stem}" if path.parent == FOLDER.resolve() else f"submitted_{path.stem}"
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _check_class(kind: type[Algorithm], path: Path) -> None:
    parameters = vars(kind).get("__dataclass_params__")  # of the class itself, not of one it inherits from
    if parameters is None or not parameters.frozen:
        hint = "write @dataclass(frozen=True) above the class"
        raise BenchmarkError(f"{kind.__name__} is not a frozen dataclass", where=path.name, hint=hint)
    _check_facts(kind, path)
    for entry in dataclasses.fields(kind):
        if entry.default is dataclasses.MISSING:
            raise BenchmarkError(f"field {entry.name} has no default", where=path.name, hint="give every field one")
    try:
        get_type_hints(kind)
    except Exception as error:  # an annotation may be any expression
        message = f"unknown type of a field ({error})"
        raise BenchmarkError(message, where=path.name, hint="import what it names") from None


def _check_facts(kind: type[Algorithm], path: Path) -> None:
    """Facts are plain values of the class, so that the board, which reads the class, and the engine see the same."""
    fields = {entry.name for entry in dataclasses.fields(kind)}
    for name, wanted in FACTS.items():
        if name in fields or type(inspect.getattr_static(kind, name)) is not wanted:
            hint = f"write {name} = ... in the class, without a type"
            raise BenchmarkError(f"{name} is not a plain {wanted.__name__} of the class", where=path.name, hint=hint)


def make(name: str, settings: dict[str, Any] | None = None) -> Algorithm:
    """A method with these hyper-parameters; text is converted to a field's type, and ranges are checked."""
    from pydantic import TypeAdapter, ValidationError

    path = find(name)
    kind = load(path)
    entries = {entry.name: entry for entry in dataclasses.fields(kind)}
    hints = get_type_hints(kind)
    values = {}
    for field, setting in (settings or {}).items():
        if field not in entries:
            near = difflib.get_close_matches(field, entries, n=1)
            listed = f"its fields are {', '.join(entries)}" if entries else "it has no fields"
            hint = f"did you mean {near[0]}?" if near else listed
            raise BenchmarkError(f"method {path.stem} has no field {field}", hint=hint)
        try:
            value = TypeAdapter(hints[field]).validate_python(setting)
        except ValidationError as error:
            raise BenchmarkError(f"{path.stem}.{field}: {error.errors()[0]['msg']}, got {setting!r}") from None
        _check_range(f"{path.stem}.{field}", value, entries[field].metadata)
        values[field] = value
    return kind(**values)


def _check_range(where: str, value: Any, limits: Any) -> None:
    low, high = limits.get("low"), limits.get("high")
    if isinstance(value, float) and not math.isfinite(value):
        raise BenchmarkError(f"{where} is {value}, but must be finite", hint="choose a number")
    if value is None or (low is None and high is None):
        return
    if not ((low is None or value >= low) and (high is None or value <= high)):
        allowed = " and ".join([f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None))
        raise BenchmarkError(f"{where} is {value}, but must be {allowed}", hint="choose a value in range")


def why_not_applicable(name: str, task: Task) -> str | None:
    """None if a method can run a task, else why not, in words."""
    kind = load(find(name))
    return requirements.unfit(kind.track, kind.needs, task)


def method_sha256(path: Path) -> str:
    """Fingerprint of a method: a hash of the syntax trees of its file and of the files of `algorithms` it imports.

    Comments and docstrings do not count, and every version of Python gives the same hash.

    Args:
        path: The method's file.

    Returns:
        sha256, hexadecimal.
    """
    digest = hashlib.sha256()
    for file in source_files(path):
        digest.update(f"{file.stem}\n{_syntax_tree(file.read_bytes())}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=256)  # of contents, not of paths: a file may change
def _syntax_tree(source: bytes) -> str:
    """A file's syntax tree as text, without comments and docstrings."""
    options: dict[str, Any] = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            _drop_docstring(node)
        if getattr(node, "type_params", None) == []:
            del node.type_params  # type: ignore[attr-defined]  # which Python 3.11 does not have
    return ast.dump(tree, **options)


def source_files(path: Path) -> list[Path]:
    """A method's file and the files of `algorithms` that it imports, each once."""
    return _with_imports(path, [])


def _with_imports(path: Path, seen: list[Path]) -> list[Path]:
    if path in seen:
        return seen
    seen.append(path)
    for name in _imported_stems(path.read_bytes()):
        parent = FOLDER.resolve() / f"{name}.py"
        if parent.is_file():
            _with_imports(parent, seen)
    return seen


@lru_cache(maxsize=256)
def _imported_stems(source: bytes) -> list[str]:
    """Stems of the files of `algorithms` that a file imports, in its order."""
    return [name for node in ast.walk(ast.parse(source)) for name in _imported(node)]


def _imported(node: ast.AST) -> list[str]:
    """Stems of the files of `algorithms` that a statement imports, however it is written."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = "algorithms." * bool(node.level) + f"{node.module}." * bool(node.module)
        modules = [base + alias.name for alias in node.names]
    else:
        return []
    return [module.split(".")[1] for module in modules if module.startswith("algorithms.")]


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> None:
    """Put one `pass` in place of the docstring of a module or class, whether it has one; functions get none."""
    body = list(node.body)
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        body.pop(0)
    code = [statement for statement in body if not isinstance(statement, ast.Pass)]
    node.body = [ast.Pass(), *code] if not isinstance(node, ast.FunctionDef) else code or [ast.Pass()]


def describe(name: str) -> dict[str, Any]:
    """A method for boards and fingerprints: name, track, needs, paper, fields and sha256; or its fault."""
    path = find(name)
    try:
        kind = load(path)
    except BenchmarkError as error:
        return {"name": path.stem, "fault": str(error)}
    fields = {e.name: {"default": e.default, "symbol": e.metadata.get("symbol", "")} for e in dataclasses.fields(kind)}
    title = next(iter((kind.__doc__ or path.stem).strip().splitlines()))
    return {
        "name": path.stem,
        "title": title,
        "paper": kind.paper,
        "version": kind.version,
        "track": list(kind.track),
        "needs": list(kind.needs),
        "pooled": kind.pooled,
        "fields": fields,
        "sha256": method_sha256(path),
    }
