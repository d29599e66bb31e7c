"""YAML files that people write: reading them, and naming all their mistakes in one line."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import ComposerError

from benchmark.core.errors import BenchmarkError

MOST_FAULTS = 12  # in one message
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")  # which YAML 1.1 takes for text without point or sign


class _Loader(yaml.SafeLoader):
    """YAML without repeated fields and aliases, so that a file is as large as it looks."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "aliases have no place in a task", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ComposerError(None, None, f"the field {key.value} occurs twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+.0123456789"))


def is_yaml(name: str) -> bool:
    """Whether a name is that of a YAML file."""
    return name.endswith((".yaml", ".yml"))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The fields of a file; BenchmarkError with the line of a mistake."""
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise BenchmarkError(f"broken YAML{line}: {problem}", where=where, hint="fix the file") from None
    except Exception as error:  # the parser's own mistakes on odd input, and endless nesting
        raise BenchmarkError(f"unreadable YAML: {type(error).__name__}", where=where, hint="fix the file") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BenchmarkError("a task file holds `field: value` lines", where=where, hint="see docs/protocol.md")
    return content


def as_number(value: Any) -> Any:
    """The number that a text spells, as a command line and quotes give it; whatever else stays as it is."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def list_faults(error: ValidationError, models: Sequence[type[BaseModel]]) -> str:
    """All faults of a validation in one line, unknown fields with the nearest known one.

    Args:
        error: The error.
        models: The model of the file, and those of its sections.
    """
    faults = [_fault(entry, models) for entry in error.errors()]
    more = len(faults) - MOST_FAULTS
    return "; ".join(faults[:MOST_FAULTS] + [f"and {more} more"] * (more > 0))


def _fault(entry: Any, models: Sequence[type[BaseModel]]) -> str:
    path = ".".join(str(part) for part in entry["loc"]) or models[0].__name__.lower()
    if entry["type"] == "extra_forbidden":
        fields = sorted({name for model in models for name in model.model_fields})
        near = difflib.get_close_matches(str(entry["loc"][-1]), fields, n=1)
        return f"unknown field {path}" + (f", did you mean {near[0]}?" if near else "")
    value = f", got {_short(entry['input'])}" if entry["type"] not in ("missing", "value_error") else ""
    return f"{path}: {entry['msg']}{value}"


def _short(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer too long to print
        return "a number without end"
