"""Claims: the file that is shipped, and what is wrong with a broken one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.analysis import claims
from benchmark.analysis.claims import Claim, Source
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import task as tasks

SHIPPED = Path(__file__).parents[2] / "results" / "claims.yaml"
APART = ("-keyed", "-short", "-small")  # tasks that are not the paper's own setting


def test_a_claim_names_its_methods_on_all_of_its_tasks() -> None:
    one = Claim(id="a", kind="order", statement="s", tasks=["t", "u"], elsewhere=["v"], methods=["m", "n"])
    source = Source(paper="P", table="T", source="S", seen=True, claims=[one])
    assert [claims.methods_on([source], task) for task in "tuvw"] == [{"m", "n"}] * 3 + [set()]


def test_a_shipped_verdict_is_of_the_paper_s_own_setting() -> None:
    made = [claim for source in claims.load(SHIPPED) for claim in source.claims]
    assert all(task.startswith("paper-") for claim in made for task in claim.tasks)
    assert not [task for claim in made for task in claim.tasks if task.endswith(APART)]
    known = set(tasks.names())
    assert not [task for claim in made for task in claim.elsewhere if task not in known]
    headline = ("fd-t1", "fedntd-t1-mnist", "fedntd-t1-cifar", "feddf-t1", "feddf-t2", "feddf-t4", "fedx", "salvaging")
    unwritten = {task for claim in made if claim.id.startswith(headline) for task in claim.tasks if task not in known}
    assert unwritten == set()


def test_the_shipped_file_holds_every_target() -> None:
    sources = claims.load(SHIPPED)
    made = {claim.id: claim for source in sources for claim in source.claims}
    assert len(made) >= 200
    # Jeong et al., Table 1, last column; Lee et al., Table 1
    last = {name: made[f"fd-t1-{name}-m10"].value for name in ("fd", "fd-faug", "fl", "fl-faug")}
    assert last == {"fd": 75.24, "fd-faug": 86.42, "fl": 90.6, "fl-faug": 92.59}
    assert made["fd-t1-fl-bits"].value == 1_228_439_552
    assert (made["fedntd-t1-cifar10-s2-fedavg"].value, made["fedntd-t1-cifar10-s2-fedntd"].value) == (40.14, 52.61)
    # Lin et al., Table 2: FedAvg with BN at alpha 0.1, 62.22 +- 3.88; recalled from Lee et al.: 40.14 +- 1.15
    deviations = [made[name].deviation for name in ("feddf-t2-cifar10-a01-fedavg-bn", "fedntd-t1-cifar10-s2-fedavg")]
    assert deviations == [3.88, 1.15]
    assert [name for name, claim in made.items() if claim.exact] == ["fd-t1-fd-bits", "fd-t1-fl-bits"]
    assert claims.methods_on(sources, "paper-fd-t1-mnist-m2") == {"fd", "fd_faug", "fedavg", "fl_faug"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sources: [", "line"),
        ("nothing: 1", "must hold `sources:`"),
        ("sources: [{paper: P, table: T, source: S, seen: 1, claims: []}]", "seen"),
        ("{id: a, tasks: [t], methods: [m]}", "every kind but order has a value"),
        ("{id: a, tasks: [t], methods: [m, n], value: 1.0}", "a number has 1 method"),
        ("{id: a, tasks: [t], methods: [m], value: 1.0, metric: rounds}", "target"),
        ("{id: a, kind: order, statement: s, tasks: [t], methods: [m, n], deviation: 1.0}", "a deviation belongs to"),
        ("{id: a, tasks: [t], methods: [m], value: 1.0, metric: bits, deviation: 1.0}", "a deviation belongs to"),
        ("{id: a, tasks: [t], methods: [m], value: 1.0, deviation: 0.0}", "deviation"),
        ("{id: a, tasks: [t], methods: [m], value: 1.0, exact: true}", "only bits can be exact"),
        ("{id: a, tasks: [t], methods: [m], value: 1.0}, {id: a, tasks: [t], methods: [m], value: 1.0}", "twice: a"),
    ],
)
def test_faults_of_the_file_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "claims.yaml"
    whole = text if "ources" in text or "nothing" in text else None
    path.write_text(whole or f"sources: [{{paper: P, table: T, source: S, seen: true, claims: [{text}]}}]")
    with pytest.raises(BenchmarkError, match=words):
        claims.load(path)


@pytest.mark.parametrize(
    ("data", "words"), [(b"[" * 20000, "unreadable: RecursionError"), (b"\xff", "unreadable: Unicode")]
)
def test_a_file_that_is_no_text_or_without_end_is_a_sentence(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_bytes(data)
    with pytest.raises(BenchmarkError, match=rf"claims.yaml: {words}"):
        claims.load(path)
