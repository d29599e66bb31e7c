"""The papers' claims, results/claims.yaml, and our verdict on each, computed from records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmark.core.errors import BenchmarkError
from benchmark.record import Record
from benchmark.stats import Estimate, Verdict, estimate, judge_number, judge_order, paired
from benchmark.suite import Suite

Metric = Literal["accuracy", "forgetting", "gaining", "bits", "rounds"]
UNITS: dict[str, str] = {"accuracy": "%", "forgetting": "points", "gaining": "%", "bits": "bits", "rounds": "rounds"}
SLACK: dict[str, float] = {"accuracy": 2.0, "forgetting": 2.0, "gaining": 2.0, "bits": 0.0, "rounds": 2.0}
RATIO_SLACK = 1.0
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Values = dict[int, float]  # by seed


class Strict(BaseModel):
    """Unknown fields and conversions are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Claim(Strict):
    """One claim.

    kind: "number", the value of one method on one task; "difference" and "ratio", of the first and the second method;
      "order", methods from better to worse on every task (bits, rounds and forgetting: less is better)
    metric: gaining is the share of clients that adaptation makes better, bits are those of one client over the run
    value: in %, points, bits or rounds; None for an order
    target: accuracy in [0, 1] that rounds are counted to
    against: id of the number that this one is compared with where the number itself is missed
    seen: False if the value was recalled, not read in its source; None means what the source says
    """

    id: Annotated[str, Field(pattern="^[a-z0-9-]+$")]
    kind: Literal["number", "difference", "ratio", "order"] = "number"
    metric: Metric = "accuracy"
    tasks: Annotated[list[str], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
    value: float | None = None
    target: Annotated[float, Field(gt=0, lt=1)] | None = None
    against: str | None = None
    statement: str = ""
    seen: bool | None = None
    note: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        methods = {"number": 1, "difference": 2, "ratio": 2}.get(self.kind)
        if methods and (len(self.methods), len(self.tasks)) != (methods, 1):
            raise ValueError(f"a {self.kind} has one task and {methods} method{'s' * (methods > 1)}")
        if self.kind == "order" and (len(self.methods) < 2 or not self.statement):
            raise ValueError("an order has at least two methods and a statement")
        if (self.value is None) != (self.kind == "order"):
            raise ValueError("every kind but order has a value")
        if (self.target is None) != (self.metric != "rounds"):
            raise ValueError("rounds, and only they, have a target")
        return self


class Source(Strict):
    """A table or passage of a paper and what it claims; seen: whether somebody here has read it there."""

    paper: str
    table: str
    source: str
    seen: bool
    note: str = ""
    claims: Annotated[list[Claim], Field(min_length=1)]


class Finding(Strict):
    """A claim beside what was measured, as boards and `--json` show it."""

    id: str
    paper: str
    table: str
    statement: str
    claimed: str
    measured: str
    verdict: Verdict
    provenance: Literal["seen", "recalled"]
    tasks: list[str]
    methods: list[str]
    note: str


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
    except (TypeError, KeyError):
        raise BenchmarkError("must hold `sources:` with a list", where=str(path)) from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:8])
        raise BenchmarkError(faults, where=str(path), hint="results/SCHEMA.md describes the fields") from None
    _check_references([claim for source in sources for claim in source.claims], path)
    return sources


def _check_references(claims: list[Claim], path: Path) -> None:
    numbers = [claim.id for claim in claims]
    if twice := sorted({name for name in numbers if numbers.count(name) > 1}):
        raise BenchmarkError(f"ids that occur twice: {', '.join(twice)}", where=str(path))
    known = {claim.id: claim for claim in claims if claim.kind == "number"}
    for claim in claims:
        other = known.get(claim.against) if claim.against else claim
        if other is None or claim.metric != other.metric:
            raise BenchmarkError(f"{claim.id} is against {claim.against}, no number of this metric", where=str(path))


def methods_on(sources: list[Source], task: str) -> set[str]:
    """Methods that a claim names on a task: the cells that a paper's task asks for."""
    return {name for source in sources for claim in source.claims if task in claim.tasks for name in claim.methods}


def answers(suite: Suite, sources: list[Source]) -> dict[tuple[str, str], float]:
    """Claims that a cell helps to answer, by task and method: each counts by its share of the cells still missing."""
    found: dict[tuple[str, str], float] = {}
    for claim in [claim for source in sources for claim in source.claims]:
        pairs = [(task, method) for task in claim.tasks for method in claim.methods]
        missing = [pair for pair in pairs if not suite.standing(*pair)]
        for pair in pairs:
            found[pair] = found.get(pair, 0.0) + 1 / max(1, len(missing))
    return found


def evaluate(suite: Suite, sources: list[Source]) -> list[Finding]:
    """All findings, in the order of the file."""
    known = {claim.id: claim for source in sources for claim in source.claims}
    return [_finding(suite, source, claim, known) for source in sources for claim in source.claims]


def _finding(suite: Suite, source: Source, claim: Claim, known: dict[str, Claim]) -> Finding:
    judge: Callable[[Suite, Claim, dict[str, Claim]], tuple[str, Verdict]]
    judge = {"number": _number, "difference": _difference, "ratio": _ratio, "order": _order}[claim.kind]
    measured, verdict = judge(suite, claim, known)
    seen = source.seen if claim.seen is None else claim.seen
    return Finding(
        id=claim.id, paper=source.paper, table=source.table, statement=claim.statement or _statement(claim),
        claimed="holds" if claim.value is None else _amount(claim, claim.value), measured=measured, verdict=verdict,
        provenance="seen" if seen else "recalled", tasks=claim.tasks, methods=claim.methods, note=claim.note,
    )  # fmt: skip


def _statement(claim: Claim) -> str:
    what = {"bits": "communication per client", "gaining": "share of clients that gain", "rounds": ""}
    name = what.get(claim.metric, claim.metric) or f"rounds to {(claim.target or 0) * 100:g} %"
    joint = {"difference": " minus ", "ratio": " over "}.get(claim.kind, "")
    return f"{name} of {joint.join(claim.methods)}"


def _values(suite: Suite, claim: Claim, task: str, method: str) -> Values | None:
    """The metric by seed, in the claim's unit; None without records that have it."""
    if task not in suite.tasks:
        return None
    made = suite.standing(task, method)
    values = {seed: _value(one, claim, suite.tasks[task].clients) for seed, one in made.items()}
    return {seed: value for seed, value in values.items() if value is not None} or None


def _value(made: Record, claim: Claim, clients: int) -> float | None:
    assert made.result is not None
    result = made.result
    if claim.metric == "accuracy":
        return result.accuracy * 100
    if claim.metric == "forgetting":
        return result.forgetting * 100
    if claim.metric == "gaining":
        return result.personal.share_gaining * 100 if result.personal else None
    if claim.metric == "bits":
        return (result.bytes.up + result.bytes.down) * 8 / clients
    reached = next((target for target in result.targets if target.accuracy == claim.target), None)
    return None if reached is None else float(reached.round or made.rounds)  # never reached: at least all rounds


def _number(suite: Suite, claim: Claim, known: dict[str, Claim]) -> tuple[str, Verdict]:
    values = _values(suite, claim, claim.tasks[0], claim.methods[0])
    if values is None or claim.value is None:
        return "", "not measured"
    if claim.metric == "rounds" and (missed := _missed(suite, claim)):
        return f"not reached by {missed} of {len(values)} seeds", "not reproduced"
    found = estimate(list(values.values()))
    direction = _same_side(suite, claim, known[claim.against], found) if claim.against else None
    return _range(claim, found), judge_number(found, claim.value, SLACK[claim.metric], direction)


def _missed(suite: Suite, claim: Claim) -> int:
    """Seeds that never got above the target."""
    made = suite.standing(claim.tasks[0], claim.methods[0]).values()
    targets = [target for one in made if one.result for target in one.result.targets]
    return sum(target.accuracy == claim.target and target.round is None for target in targets)


def _same_side(suite: Suite, claim: Claim, other: Claim, found: Estimate) -> bool:
    """Whether the number lies on the claimed side of the number that it is compared with."""
    reference = _values(suite, other, other.tasks[0], other.methods[0])
    if reference is None or claim.value is None or other.value is None:
        return False
    return (found.mean - fmean(reference.values())) * (claim.value - other.value) > 0


def _difference(suite: Suite, claim: Claim, _: dict[str, Claim]) -> tuple[str, Verdict]:
    first, second = (_values(suite, claim, claim.tasks[0], method) for method in claim.methods)
    found = paired(first, second) if first and second else None
    if found is None or claim.value is None:
        return "", "not measured"
    same = found.difference.mean * claim.value > 0
    return _range(claim, found.difference), judge_number(found.difference, claim.value, SLACK[claim.metric], same)


def _ratio(suite: Suite, claim: Claim, _: dict[str, Claim]) -> tuple[str, Verdict]:
    first, second = (_values(suite, claim, claim.tasks[0], method) for method in claim.methods)
    common = sorted(first.keys() & second.keys()) if first and second else []
    if not first or not second or not common or claim.value is None:
        return "", "not measured"
    found = estimate([first[seed] / second[seed] for seed in common])
    same = (found.mean - 1) * (claim.value - 1) > 0
    return _range(claim, found), judge_number(found, claim.value, RATIO_SLACK, same)


def _order(suite: Suite, claim: Claim, _: dict[str, Claim]) -> tuple[str, Verdict]:
    """Neighbours in the order are compared on every task that has records of both."""
    sign = 1 if claim.metric in ("accuracy", "gaining") else -1
    found: list[Estimate] = []
    words = []
    for task in claim.tasks:
        for better, worse in zip(claim.methods, claim.methods[1:], strict=False):
            first, second = (_values(suite, claim, task, method) for method in (better, worse))
            pair = paired(first, second) if first and second else None
            if pair:
                margin = pair.difference
                found.append(Estimate(sign * margin.mean, margin.half, margin.n))
                words.append(f"{task}: {better} minus {worse} {_range(claim, margin)}")
    return "; ".join(words), judge_order(found) if found else "not measured"


def _amount(claim: Claim, value: float) -> str:
    if claim.kind == "ratio":
        return f"{value:.1f} times"
    unit = "points" if claim.kind != "number" and UNITS[claim.metric] == "%" else UNITS[claim.metric]
    return f"{value:,.0f} {unit}" if claim.metric in ("bits", "rounds") else f"{value:.2f} {unit}"


def _range(claim: Claim, found: Estimate) -> str:
    """Mean, interval if there are several seeds, and their number."""
    amount = _amount(claim, found.mean)
    if found.half is not None:
        number, _, unit = amount.partition(" ")
        amount = f"{number} ± {found.half:,.2f} {unit}"
    return f"{amount} (n = {found.n})"
