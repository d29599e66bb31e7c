"""Our verdict on every claim, computed from standing records, and what those without one wait for."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Literal, get_args

from benchmark.analysis.claims import Claim, Source
from benchmark.analysis.stats import Estimate, Verdict, estimate, judge_number, judge_order, paired
from benchmark.core.data.manifest import without_fingerprint
from benchmark.core.strict_model import StrictModel
from benchmark.core.tasks.requirements import datasets
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record

UNITS: dict[str, str] = {
    "accuracy": "%", "forgetting": "points", "gain": "points", "gaining": "%", "bits": "bits", "rounds": "rounds",
}  # fmt: skip
SLACK: dict[str, float] = {
    "accuracy": 2.0, "forgetting": 2.0, "gain": 2.0, "gaining": 2.0, "bits": 0.0, "rounds": 2.0,
}  # fmt: skip
RATIO_SLACK = 0.04  # of the ratio
REMARKS: dict[Verdict, str] = {
    "reproduced": "holds", "same direction": "leans that way", "not reproduced": "does not hold",
}  # fmt: skip
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Values = dict[int, float]  # by seed


class Finding(StrictModel):
    """A claim beside what was measured, as boards and `--json` show it.

    elsewhere: whether the claim holds, in direction, on other tasks than the paper's, in words
    waits: what has to be there for a verdict, or for more of the claim's tasks to count
    note: what to know about the claim, its source's note first
    """

    id: str
    paper: str
    table: str
    statement: str
    claimed: str
    measured: str
    elsewhere: list[str]
    waits: list[str]
    verdict: Verdict
    provenance: Literal["seen", "recalled"]
    tasks: list[str]
    methods: list[str]
    note: str


def answers(suite: ResultsIndex, sources: list[Source]) -> dict[tuple[str, str], float]:
    """Claims that a cell helps to answer, by task and method: each counts by its share of the pairs still missing.

    A remark on a task that is not the paper's counts a tenth.
    """
    found: dict[tuple[str, str], float] = {}
    for claim in [claim for source in sources for claim in source.claims]:
        for tasks, weight in ((claim.tasks, 1.0), (claim.elsewhere, 0.1)):
            pairs = [(task, method) for task in tasks for method in claim.methods]
            missing = [pair for pair in pairs if not suite.valid_records(*pair)]
            for pair in pairs:
                found[pair] = found.get(pair, 0.0) + weight / max(1, len(missing))
    return found


def evaluate(suite: ResultsIndex, sources: list[Source]) -> list[Finding]:
    """All findings, in the order of the file."""
    known = {claim.id: claim for source in sources for claim in source.claims}
    return [_finding(suite, source, claim, known) for source in sources for claim in source.claims]


def _finding(suite: ResultsIndex, source: Source, claim: Claim, known: dict[str, Claim]) -> Finding:
    place = _place(suite, claim)
    measured, verdict = _judged(suite, claim if claim.kind == "order" else _at(claim, place), known)
    measured += f" in {place}" if measured and claim.kind != "order" and place != claim.tasks[0] else ""
    waits = [text for task in claim.tasks if (text := _waits(suite, claim, task))]
    if verdict == "not measured" and not waits and claim.against:
        other = _beside(_at(claim, place), known[claim.against])
        waits = [_waits(suite, other, other.tasks[0])]
    seen = source.seen if claim.seen is None else claim.seen
    return Finding(
        id=claim.id, paper=source.paper, table=source.table, statement=claim.statement or _statement(claim),
        claimed="holds" if claim.value is None else _amount(claim, claim.value), measured=measured, verdict=verdict,
        elsewhere=[text for task in claim.elsewhere if (text := _remark(suite, claim, known, task))],
        waits=waits,
        provenance="seen" if seen else "recalled", tasks=claim.tasks, methods=claim.methods,
        note="; ".join(filter(None, (source.note, claim.note))),
    )  # fmt: skip


def _place(suite: ResultsIndex, claim: Claim) -> str:
    """The first of a claim's tasks that has records of all its methods, or the first."""
    return next(
        (task for task in claim.tasks if all(suite.valid_records(task, m) for m in claim.methods)), claim.tasks[0]
    )


def _at(claim: Claim, task: str) -> Claim:
    return claim.model_copy(update={"tasks": [task]})


def _judged(suite: ResultsIndex, claim: Claim, known: dict[str, Claim]) -> tuple[str, Verdict]:
    judges: dict[str, Callable[[ResultsIndex, Claim, dict[str, Claim]], tuple[str, Verdict]]]
    judges = {"number": _number, "difference": _difference, "ratio": _ratio, "order": _order}
    return judges[claim.kind](suite, claim, known)


def _remark(suite: ResultsIndex, claim: Claim, known: dict[str, Claim], task: str) -> str:
    """How a claim stands on a task that is not the paper's, in words; "" without records."""
    measured, verdict = _judged(suite, _at(claim, task), known)
    if not measured:
        return ""
    return f"{REMARKS[verdict]} on {measured if claim.kind == 'order' else f'{task}: {measured}'}"


def _waits(suite: ResultsIndex, claim: Claim, task: str) -> str:
    """What a claim lacks on one of its tasks, in words; "" if it lacks nothing."""
    if task not in suite.tasks:
        return f"task {task}, which is not written"
    if lacking := without_fingerprint(datasets(suite.tasks[task])):
        return f"{task}: data not at hand: {', '.join(lacking)}"
    return ", ".join(lack for method in claim.methods if (lack := _lack(suite, task, method)))


def _lack(suite: ResultsIndex, task: str, method: str) -> str:
    if method not in suite.methods:
        return f"method {method}, which is not written"
    if reason := suite.why_not_applicable(task, method):
        return f"{task}/{method}, which cannot run: {reason}"
    return "" if suite.valid_records(task, method) else f"{task}/{method}/{suite.tasks[task].seeds[0]}"


def _statement(claim: Claim) -> str:
    what = {"bits": "communication per client", "gaining": "share of clients that gain", "rounds": ""}
    name = what.get(claim.metric, claim.metric) or f"rounds to {(claim.target or 0) * 100:g} %"
    joint = {"difference": " minus ", "ratio": " over "}.get(claim.kind, "")
    return f"{name} of {joint.join(claim.methods)}"


def _values(suite: ResultsIndex, claim: Claim, task: str, method: str) -> Values | None:
    """The metric by seed, in the claim's unit, from one backend for all its methods; None without such records."""
    if task not in suite.tasks:
        return None
    made = suite.valid_records(task, method, suite.backend(task, *claim.methods))
    values = {seed: _value(one, claim, suite.tasks[task].clients) for seed, one in made.items()}
    return {seed: value for seed, value in values.items() if value is not None} or None


def _value(made: Record, claim: Claim, clients: int) -> float | None:
    assert made.result is not None
    result = made.result
    if claim.metric == "accuracy":
        return result.accuracy * 100
    if claim.metric == "forgetting":
        return result.forgetting * 100
    if claim.metric == "gain":
        return (result.accuracy - result.evaluations[0].accuracy) * 100
    if claim.metric == "gaining":
        return result.personal.share_gaining * 100 if result.personal else None
    if claim.metric == "bits":
        return (result.bytes.up + result.bytes.down) * 8 / clients
    reached = next((target for target in result.targets if target.accuracy == claim.target), None)
    if reached is None:
        return None
    return float(made.rounds if reached.round is None else reached.round)  # never reached: at least all rounds


def _number(suite: ResultsIndex, claim: Claim, known: dict[str, Claim]) -> tuple[str, Verdict]:
    values = _values(suite, claim, claim.tasks[0], claim.methods[0])
    if values is None or claim.value is None:
        return "", "not measured"
    if claim.metric == "rounds" and (missed := _missed(suite, claim)):
        return f"not reached by {missed} of {len(values)} seeds", "not reproduced"
    found = estimate(list(values.values()))
    direction: bool | None = False
    if claim.metric == "gain":
        direction = found.mean * claim.value > 0
    elif claim.against:
        direction = _same_side(suite, claim, _beside(claim, known[claim.against]), found)
    if direction is None and not found.holds(claim.value, SLACK[claim.metric]):
        return "", "not measured"
    return _range(claim, found), judge_number(found, claim.value, SLACK[claim.metric], direction)


def _missed(suite: ResultsIndex, claim: Claim) -> int:
    """Seeds that never got above the target."""
    made = suite.valid_records(claim.tasks[0], claim.methods[0]).values()
    targets = [target for one in made if one.result for target in one.result.targets]
    return sum(target.accuracy == claim.target and target.round is None for target in targets)


def _beside(claim: Claim, other: Claim) -> Claim:
    """The claim that a number is compared with, on the same task if it can."""
    return _at(other, claim.tasks[0] if claim.tasks[0] in (*other.tasks, *other.elsewhere) else other.tasks[0])


def _same_side(suite: ResultsIndex, claim: Claim, other: Claim, found: Estimate) -> bool | None:
    """Whether the number lies on the claimed side of the one that it is compared with; None without records of that."""
    reference = _values(suite, other, other.tasks[0], other.methods[0])
    if reference is None or claim.value is None or other.value is None:
        return None
    return (found.mean - fmean(reference.values())) * (claim.value - other.value) > 0


def _difference(suite: ResultsIndex, claim: Claim, _: dict[str, Claim]) -> tuple[str, Verdict]:
    first, second = (_values(suite, claim, claim.tasks[0], method) for method in claim.methods)
    found = paired(first, second) if first and second else None
    if found is None or claim.value is None:
        return "", "not measured"
    same = found.difference.mean * claim.value > 0
    return _range(claim, found.difference), judge_number(found.difference, claim.value, SLACK[claim.metric], same)


def _ratio(suite: ResultsIndex, claim: Claim, _: dict[str, Claim]) -> tuple[str, Verdict]:
    first, second = (_values(suite, claim, claim.tasks[0], method) for method in claim.methods)
    common = sorted(first.keys() & second.keys()) if first and second else []
    if not first or not second or not common or claim.value is None:
        return "", "not measured"
    if empty := sum(second[seed] == 0 for seed in common):
        nothing = f"no ratio: {claim.methods[1]} has 0 {UNITS[claim.metric]} with {empty} of {len(common)} seeds"
        return nothing, "not reproduced"
    found = estimate([first[seed] / second[seed] for seed in common])
    same = (found.mean - 1) * (claim.value - 1) > 0
    return _range(claim, found), judge_number(found, claim.value, RATIO_SLACK * claim.value, same)


def _order(suite: ResultsIndex, claim: Claim, _: dict[str, Claim]) -> tuple[str, Verdict]:
    """Neighbours in the order are compared on every task that has records of both."""
    sign = 1 if claim.metric in ("accuracy", "gain", "gaining") else -1
    found: list[Estimate] = []
    words = []
    for task in claim.tasks:
        for better, worse in zip(claim.methods, claim.methods[1:], strict=False):
            both = claim.model_copy(update={"methods": [better, worse]})
            first, second = (_values(suite, both, task, method) for method in both.methods)
            pair = paired(first, second) if first and second else None
            if pair:
                margin = pair.difference
                found.append(Estimate(sign * margin.mean, margin.half, margin.n))
                words.append(f"{task}: {better} minus {worse} {_range(claim, margin)}")
    return "; ".join(words), judge_order(found) if found else "not measured"


def _amount(claim: Claim, value: float) -> str:
    if claim.kind == "ratio":
        return f"{value:.2f} times"
    unit = "points" if claim.kind != "number" and UNITS[claim.metric] == "%" else UNITS[claim.metric]
    return f"{value:,.0f} {unit}" if claim.metric in ("bits", "rounds") else f"{value:.2f} {unit}"


def _range(claim: Claim, found: Estimate) -> str:
    """Mean, interval if there are several seeds, and their number."""
    amount = _amount(claim, found.mean)
    if found.half is not None:
        number, _, unit = amount.partition(" ")
        amount = f"{number} ± {found.half:,.2f} {unit}"
    return f"{amount} (n = {found.n})"
