"""Our verdict on every claim, computed from standing records, and what those without one wait for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from benchmark.analysis import verdict_rules as rules
from benchmark.analysis.claims import Claim, Source
from benchmark.analysis.stats import Estimate, Paired, estimate, paired
from benchmark.analysis.verdict_rules import Verdict
from benchmark.core.data.manifest import without_fingerprint
from benchmark.core.strict_model import StrictModel
from benchmark.core.tasks.requirements import datasets
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record

UNITS: dict[str, str] = {
    "accuracy": "%", "forgetting": "points", "gain": "points", "gaining": "%", "bits": "bits", "rounds": "rounds",
}  # fmt: skip
REMARKS: dict[Verdict, str] = {
    "reproduced": "holds", "not reproduced": "does not hold", "inconclusive": "stays open", "single run": "single run",
}  # fmt: skip
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
Values = dict[int, float]  # by seed


@dataclass(frozen=True)
class Judged:
    """What was measured in words, the verdict, how far a number is off and the p of an order."""

    measured: str = ""
    verdict: Verdict = "not measured"
    off: float | None = None
    p: float | None = None


class Finding(StrictModel):
    """A claim beside what was measured, as boards and `--json` show it.

    elsewhere: whether the claim holds on other tasks than the paper's, in words
    waits: what has to be there for a verdict, or for more of the claim's tasks to count
    off: of a number, a difference or a ratio: ours minus the paper's
    p: of an order that was measured with enough seeds
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
    off: float | None
    p: float | None
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
    return [_finding(suite, source, claim) for source in sources for claim in source.claims]


def _finding(suite: ResultsIndex, source: Source, claim: Claim) -> Finding:
    place = _place(suite, claim)
    judged = _judged(suite, claim if claim.kind == "order" else _at(claim, place))
    elsewhere = judged.measured and claim.kind != "order" and place != claim.tasks[0]
    seen = source.seen if claim.seen is None else claim.seen
    return Finding(
        id=claim.id,
        paper=source.paper,
        table=source.table,
        statement=claim.statement or _statement(claim),
        claimed=_claimed(claim),
        measured=judged.measured + (f" in {place}" if elsewhere else ""),
        verdict=judged.verdict,
        off=judged.off,
        p=judged.p,
        elsewhere=[text for task in claim.elsewhere if (text := _remark(suite, claim, task))],
        waits=[text for task in claim.tasks if (text := _waits(suite, claim, task))],
        provenance="seen" if seen else "recalled",
        tasks=claim.tasks,
        methods=claim.methods,
        note="; ".join(filter(None, (source.note, claim.note))),
    )


def _claimed(claim: Claim) -> str:
    if claim.value is None:
        return "holds"
    text = _amount(claim, claim.value)
    number, _, unit = text.partition(" ")
    return f"{number} ± {claim.deviation:g} {unit}" if claim.deviation else text


def _place(suite: ResultsIndex, claim: Claim) -> str:
    """The first of a claim's tasks that has records of all its methods, or the first."""
    return next(
        (task for task in claim.tasks if all(suite.valid_records(task, m) for m in claim.methods)), claim.tasks[0]
    )


def _at(claim: Claim, task: str) -> Claim:
    return claim.model_copy(update={"tasks": [task]})


def _judged(suite: ResultsIndex, claim: Claim) -> Judged:
    judges: dict[str, Callable[[ResultsIndex, Claim], Judged]]
    judges = {"number": _number, "difference": _difference, "ratio": _ratio, "order": _order}
    return judges[claim.kind](suite, claim)


def _remark(suite: ResultsIndex, claim: Claim, task: str) -> str:
    """A claim's verdict on a task that is not the paper's, in words; "" without records."""
    judged = _judged(suite, _at(claim, task))
    if not judged.measured:
        return ""
    where = judged.measured if claim.kind == "order" else f"{task}: {judged.measured}"
    return f"{REMARKS[judged.verdict]} on {where}"


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
    records = suite.valid_records(task, method, suite.backend(task, *claim.methods))
    values = {seed: _value(one, claim, suite.tasks[task].clients) for seed, one in records.items()}
    return {seed: value for seed, value in values.items() if value is not None} or None


def _value(record: Record, claim: Claim, clients: int) -> float | None:
    assert record.result is not None
    result = record.result
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
    return float(record.rounds if reached.round is None else reached.round)  # never reached: at least all rounds


def _number(suite: ResultsIndex, claim: Claim) -> Judged:
    values = _values(suite, claim, claim.tasks[0], claim.methods[0])
    if values is None:
        return Judged()
    if claim.metric == "rounds" and (missed := _missed(suite, claim)):
        verdict: Verdict = "not reproduced" if len(values) >= rules.SEEDS else "single run"
        return Judged(f"not reached by {missed} of {len(values)} seeds", verdict)
    return _compared(claim, list(values.values()))


def _missed(suite: ResultsIndex, claim: Claim) -> int:
    """Seeds that never got above the target."""
    records = suite.valid_records(claim.tasks[0], claim.methods[0]).values()
    targets = [target for record in records if record.result for target in record.result.targets]
    return sum(target.accuracy == claim.target and target.round is None for target in targets)


def _difference(suite: ResultsIndex, claim: Claim) -> Judged:
    pairs = _pairs(suite, claim)
    return _compared(claim, [first - second for first, second in pairs]) if pairs else Judged()


def _ratio(suite: ResultsIndex, claim: Claim) -> Judged:
    pairs = _pairs(suite, claim)
    if not pairs:
        return Judged()
    if empty := sum(second == 0 for _, second in pairs):
        nothing = f"no ratio: {claim.methods[1]} has 0 {UNITS[claim.metric]} with {empty} of {len(pairs)} seeds"
        return Judged(nothing, "not reproduced")
    return _compared(claim, [first / second for first, second in pairs])


def _pairs(suite: ResultsIndex, claim: Claim) -> list[tuple[float, float]]:
    """Values of a claim's two methods by common seeds."""
    first, second = (_values(suite, claim, claim.tasks[0], method) or {} for method in claim.methods)
    return [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]


def _compared(claim: Claim, values: list[float]) -> Judged:
    """A claimed value beside ours, one per seed."""
    assert claim.value is not None
    ours = estimate(values)
    off = ours.mean - claim.value
    words = f"{_range(claim, ours)}, off by {_signed(claim, off)}"
    if claim.metric == "bits":
        return Judged(words, rules.judge_bits(values, claim.value, claim.exact), off)
    margin = rules.margin(claim.deviation, rules.RATIO_MARGIN if claim.kind == "ratio" else rules.MARGIN)
    verdict = rules.judge_number(ours, claim.value, margin)
    if verdict == "inconclusive":
        seeds = rules.seeds_for_verdict(ours, claim.value, margin)
        words += f"; takes about {seeds} seeds" if seeds else f"; takes more than {rules.MOST_SEEDS} seeds"
    return Judged(words, verdict, off)


def _order(suite: ResultsIndex, claim: Claim) -> Judged:
    """Neighbours in the order are compared on every task that has records of both."""
    sign = 1 if claim.metric in ("accuracy", "gain", "gaining") else -1
    differences: list[Paired] = []
    words = []
    for task in claim.tasks:
        for better, worse in zip(claim.methods, claim.methods[1:], strict=False):
            both = claim.model_copy(update={"methods": [better, worse]})
            first, second = (_values(suite, both, task, method) for method in both.methods)
            pair = paired(first, second) if first and second else None
            if pair:
                found = pair.difference
                differences.append(Paired(Estimate(sign * found.mean, found.half, found.n), pair.p))
                words.append(f"{task}: {better} minus {worse} {_range(claim, found)}")
    if not differences:
        return Judged()
    if claim.metric == "bits":
        return Judged("; ".join(words), rules.judge_order_of_bits(differences))
    verdict, p = rules.judge_order(differences)
    return Judged("; ".join([*words, *([] if p is None else [f"p = {p:.4f}"])]), verdict, p=p)


def _amount(claim: Claim, value: float) -> str:
    if claim.kind == "ratio":
        return f"{value:.2f} times"
    unit = "points" if claim.kind != "number" and UNITS[claim.metric] == "%" else UNITS[claim.metric]
    return f"{value:,.0f} {unit}" if claim.metric in ("bits", "rounds") else f"{value:.2f} {unit}"


def _signed(claim: Claim, value: float) -> str:
    """How far off, with its sign."""
    if claim.kind == "ratio":
        return f"{value:+.3f}"
    return f"{'-' if value < 0 else '+'}{_amount(claim, abs(value))}".replace(" %", " points")


def _range(claim: Claim, found: Estimate) -> str:
    """Mean, interval if there are several seeds, and their number."""
    amount = _amount(claim, found.mean)
    if found.half is not None:
        number, _, unit = amount.partition(" ")
        amount = f"{number} ± {found.half:,.2f} {unit}"
    return f"{amount} (n = {found.n})"
