"""The papers' claims, results/claims.yaml: what they say, where, and on which tasks they are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from benchmark.core.errors import BenchmarkError
from benchmark.core.strict_model import StrictModel
from benchmark.records.index import ResultsIndex

Metric = Literal["accuracy", "forgetting", "gain", "gaining", "bits", "rounds"]


class Claim(StrictModel):
    """One claim.

    kind: "number", the value of one method on one task; "difference" and "ratio", of the first and the second method;
      "order", methods from better to worse on every task (bits, rounds and forgetting: less is better)
    metric: gain is the final accuracy minus that of the first evaluation, gaining the share of clients that adaptation
      makes better, bits are those of one client over the run
    tasks: the paper's own setting, which alone gives a verdict; several where the paper leaves something open, such as
      the arithmetic: an order looks at all of them, other kinds at the first that has records of every method
    elsewhere: other tasks on which a claim is looked at, as a remark; no part of the verdict
    value: in %, points, bits or rounds; None for an order
    target: accuracy in [0, 1] that rounds are counted to
    deviation: the standard deviation that the paper prints beside its value; twice that is the margin where it is wider
    exact: whether the paper counts the same bits, so that all must agree
    seen: False if the value was recalled, not read in its source; None means what the source says
    """

    id: Annotated[str, Field(pattern="^[a-z0-9-]+$")]
    kind: Literal["number", "difference", "ratio", "order"] = "number"
    metric: Metric = "accuracy"
    tasks: Annotated[list[str], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
    elsewhere: list[str] = Field(default=[])
    value: float | None = None
    target: Annotated[float, Field(gt=0, lt=1)] | None = None
    deviation: Annotated[float, Field(gt=0)] | None = None
    exact: bool = False
    statement: str = ""
    seen: bool | None = None
    note: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        methods = {"number": 1, "difference": 2, "ratio": 2}.get(self.kind)
        if methods and len(self.methods) != methods:
            raise ValueError(f"a {self.kind} has {methods} method{'s' * (methods > 1)}")
        if self.kind == "order" and (len(self.methods) < 2 or not self.statement):
            raise ValueError("an order has at least two methods and a statement")
        if (self.value is None) != (self.kind == "order"):
            raise ValueError("every kind but order has a value")
        if (self.target is None) != (self.metric != "rounds"):
            raise ValueError("rounds, and only they, have a target")
        if self.deviation is not None and (self.value is None or self.metric == "bits"):
            raise ValueError("a deviation belongs to a value that is drawn")
        if self.exact and self.metric != "bits":
            raise ValueError("only bits can be exact")
        return self


class Source(StrictModel):
    """A table or passage of a paper and what it claims; seen: whether somebody here has read it there."""

    paper: str
    table: str
    source: str
    seen: bool
    note: str = ""
    claims: Annotated[list[Claim], Field(min_length=1)]


def load(path: Path) -> list[Source]:
    """Read and check claims.yaml; BenchmarkError names every fault with its path. No file means no claims."""
    if not path.exists():
        return []
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        sources = [Source.model_validate(entry) for entry in content["sources"]]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BenchmarkError(f"broken YAML{f' line {mark.line + 1}' if mark else ''}", where=str(path)) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise BenchmarkError(f"unreadable: {type(error).__name__}", where=str(path), hint="fix the file") from None
    except (TypeError, KeyError):
        raise BenchmarkError("must hold `sources:` with a list", where=str(path)) from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:8])
        raise BenchmarkError(faults, where=str(path), hint="results/SCHEMA.md describes the fields") from None
    _check_ids([claim for source in sources for claim in source.claims], path)
    return sources


def _check_ids(claims: list[Claim], path: Path) -> None:
    ids = [claim.id for claim in claims]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise BenchmarkError(f"ids that occur twice: {', '.join(repeated)}", where=str(path))


def methods_on(sources: Sequence[Source], task: str) -> set[str]:
    """Methods that a claim names on a task: the cells that a paper's task asks for."""
    claims = [claim for source in sources for claim in source.claims]
    return {name for claim in claims if task in (*claim.tasks, *claim.elsewhere) for name in claim.methods}


def wanted(index: ResultsIndex, task: str) -> dict[str, list[int]]:
    """Open cells of a task: seeds by method. A paper's task asks for the methods that a claim names on it."""
    if index.tasks[task].tier != "paper":
        return index.missing(task)
    return index.missing(task, methods_on(load(index.results / "claims.yaml"), task))
