"""Verdicts on claims, from records made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.analysis import claim_verdicts as verdicts_
from benchmark.analysis.claim_verdicts import Finding
from benchmark.analysis.claims import Claim, Source
from benchmark.records.index import ResultsIndex
from helpers.handmade_records import TASK, example_results, make, result, write


def verdicts(results: Path, *made: Claim) -> list[Finding]:
    """Findings on these claims."""
    source = Source(paper="P", table="T", source="S", seen=True, claims=list(made))
    return verdicts_.evaluate(ResultsIndex.load(results), [source])


def number(name: str, method: str, value: float, deviation: float | None = None) -> Claim:
    """A claimed accuracy in %."""
    return Claim(id=name, tasks=[TASK], methods=[method], value=value, deviation=deviation)


def test_numbers(tmp_path: Path) -> None:
    # FedAvg 52 +- 4.97, FedNTD 62 +- 6.57, one seed of FedProx at 55
    found = verdicts(
        example_results(tmp_path), number("near", "fedavg", 52.0), number("far", "fedavg", 40.0),
        number("noisy", "fedavg", 52.0, deviation=2.5), number("one", "fedprox", 56.5), number("absent", "moon", 50.0),
    )  # fmt: skip
    # an interval of 5 points lies within the 5 of a paper that prints +- 2.5, and not within two
    expected = ["inconclusive", "not reproduced", "reproduced", "single run", "not measured"]
    assert [f.verdict for f in found] == expected
    # deviation 2: t(n - 1) * 2 / sqrt(n) <= 2 takes 7 seeds, 2.4469 * 2 / sqrt(7) = 1.85
    assert found[0].measured == "52.00 ± 4.97 % (n = 3), off by +0.00 points; takes about 7 seeds"
    assert (found[2].claimed, found[2].off) == ("52.00 ± 2.5 %", 0)
    assert found[3].measured == "55.00 % (n = 1), off by -1.50 points"
    assert (found[4].measured, found[4].off) == ("", None)


def test_differences_orders_and_ratios(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    pair = {"tasks": [TASK], "methods": ["fedntd", "fedavg"]}
    found = verdicts(
        results,
        Claim(id="a", kind="difference", value=11.5, **pair), Claim(id="b", kind="difference", value=20.0, **pair),
        Claim(id="c", kind="difference", value=-3.0, **pair), Claim(id="d", kind="order", statement="NTD wins", **pair),
        Claim(id="e", kind="order", statement="less traffic", metric="bits", **pair),
        Claim(id="f", kind="ratio", value=1.01, metric="bits", **pair),
        Claim(id="g", kind="ratio", value=1.005, metric="bits", **pair),
    )  # fmt: skip
    # 10 +- 2.48: 11.5 and 20 are 1.5 and 10 off. Traffic is equal, so neither sends less, and a ratio of it has 0.5 %
    expected = ["inconclusive", "not reproduced", "not reproduced", "reproduced", "not reproduced", "not reproduced",
                "reproduced"]  # fmt: skip
    assert [f.verdict for f in found] == expected
    assert found[3].measured.endswith("p = 0.0033") and found[3].p == pytest.approx(0.00332, abs=1e-5)  # see test_stats
    assert found[5].measured == "1.00 ± 0.00 times (n = 3), off by -0.010"


def test_bits_are_those_of_one_client(tmp_path: Path) -> None:
    # 3 MB up and 5 MB down over 20 clients: 8e6 * 8 / 20 = 3.2e6 bits; 0.5 % of 3.21e6 are 16,050
    results = example_results(tmp_path)
    near = Claim(id="a", tasks=[TASK], methods=["fedprox"], metric="bits", value=3.21e6)
    exact = near.model_copy(update={"exact": True})
    found = verdicts(results, near, exact, exact.model_copy(update={"value": 3.2e6}))
    assert [f.verdict for f in found] == ["reproduced", "not reproduced", "reproduced"]  # one seed settles it


def test_a_gain_is_counted_from_the_first_evaluation(tmp_path: Path) -> None:
    results, made = example_results(tmp_path), result(0.6)
    made["evaluations"].insert(0, made["evaluations"][0] | {"round": 1, "accuracy": 0.41})
    write(results, *(make("fedntd", seed, result=made) for seed in range(3)))
    gain = Claim(id="a", metric="gain", value=20.0, tasks=[TASK], methods=["fedntd"])
    (found,) = verdicts(results, gain)
    # 60 - 41 = 19, a point below the claim; 21.1 is too far away
    assert (found.measured, found.verdict) == ("19.00 ± 0.00 points (n = 3), off by -1.00 points", "reproduced")
    assert verdicts(results, gain.model_copy(update={"value": 21.1}))[0].verdict == "not reproduced"


def test_rounds_that_were_never_reached(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, result=result(0.6, targets={0.5: 10 + seed})) for seed in range(3)))
    goal = {"metric": "rounds", "target": 0.5, "tasks": [TASK]}
    found = verdicts(
        results,
        Claim(id="a", methods=["fedntd"], value=11.0, deviation=1.5, **goal),
        Claim(id="b", methods=["fedavg"], value=40.0, **goal),
        Claim(id="c", kind="order", statement="faster", methods=["fedntd", "fedavg"], **goal),
    )  # fmt: skip
    assert [f.verdict for f in found] == ["reproduced", "not reproduced", "reproduced"]
    assert found[1].measured == "not reached by 3 of 3 seeds"


def test_methods_are_compared_within_one_backend(tmp_path: Path) -> None:
    # FedNTD has 62 % over three seeds of the loop, as FedAvg has 52 %, and 90 % over four of the stacked backend
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, 0.9, backend="stacked") for seed in (3, 4, 5, 6)))
    both = Claim(id="a", kind="difference", value=10.0, tasks=[TASK], methods=["fedntd", "fedavg"])
    alone, together = verdicts(results, number("b", "fedntd", 90.0), both)
    assert alone.measured.startswith("90.00 ± 0.00 % (n = 4)")
    assert together.measured.startswith("10.00 ± 2.48 points (n = 3)")


def test_neighbours_in_an_order_are_compared_within_their_own_backend(tmp_path: Path) -> None:
    # the loop has FedNTD's three seeds and FedAvg's, the stacked backend two more of FedAvg and two of FedProx
    results = example_results(tmp_path)
    write(results, *(make("fedavg", seed, 0.9, backend="stacked") for seed in (3, 4)))
    write(results, *(make("fedprox", seed, 0.8, backend="stacked") for seed in (3, 4)))
    order = Claim(id="a", kind="order", statement="s", tasks=[TASK], methods=["fedntd", "fedavg", "fedprox"])
    pairs = ["fedntd minus fedavg 10.00 ± 2.48 points (n = 3)", "fedavg minus fedprox 10.00 ± 0.00 points (n = 2)"]
    assert verdicts(results, order)[0].measured == "; ".join(f"{TASK}: {pair}" for pair in pairs) + "; p = 0.0033"


def test_a_ratio_is_of_the_first_over_the_second(tmp_path: Path) -> None:
    # FedNTD sends 6 and 10 MB, FedAvg 3 and 5: 2 times, over the seeds of both; 0.5 % of 2.009 are 0.01
    results, pair = example_results(tmp_path), {"kind": "ratio", "metric": "bits", "tasks": [TASK]}
    traffic = result(0.6)["bytes"] | {"up": 6_000_000, "down": 10_000_000, "by_name": [
        ["train", "down", "model", 10_000_000], ["train", "up", "model", 6_000_000]]}  # fmt: skip
    write(results, *(make("fedntd", seed, result=result(0.6) | {"bytes": traffic}) for seed in range(3)))
    both = Claim(id="a", value=2.0, methods=["fedntd", "fedavg"], **pair)
    found = verdicts(
        results, both, both.model_copy(update={"value": 2.009}), both.model_copy(update={"value": 2.02}),
        both.model_copy(update={"methods": ["fedntd", "fedprox"]}),
    )  # fmt: skip
    assert [f.verdict for f in found] == ["reproduced", "reproduced", "not reproduced", "reproduced"]
    words = ["2.00 ± 0.00 times (n = 3), off by -0.020", "2.00 times (n = 1), off by +0.000"]
    assert [f.measured for f in found[2:]] == words


def test_a_ratio_of_accuracies_has_two_points_of_a_share(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # FedProx has 0.9 times FedAvg's accuracy with every seed
    write(results, *(make("fedprox", seed, 0.9 * (0.50 + 0.02 * seed)) for seed in range(3)))
    pair = Claim(id="a", kind="ratio", value=0.915, tasks=[TASK], methods=["fedprox", "fedavg"])
    found = verdicts(results, pair, pair.model_copy(update={"value": 0.93}))
    assert [f.verdict for f in found] == ["reproduced", "not reproduced"]


def test_there_is_no_ratio_over_nothing(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # FedAvg forgets 10 points; FedNTD nothing, with one seed of three
    write(results, make("fedntd", 1, result=result(0.6, forgetting=0.0)))
    pair = {"kind": "ratio", "metric": "forgetting", "tasks": [TASK], "value": 0.5}
    both = Claim(id="a", methods=["fedavg", "fedntd"], **pair)
    found = verdicts(results, both, both.model_copy(update={"methods": both.methods[::-1]}))
    assert [f.verdict for f in found] == ["not reproduced", "inconclusive"]
    assert found[0].measured == "no ratio: fedntd has 0 points with 1 of 3 seeds"
    assert found[1].measured.startswith("0.67 ± 1.43 times (n = 3)")  # 1, 0 and 1: 4.303 * 0.577 / sqrt(3)


def test_forgetting_and_shares_of_clients_have_two_points(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    gains = result(0.6, forgetting=0.1) | {"personal": {"gain": 0.2, "share_gaining": 0.5}}
    write(results, *(make("fedntd", seed, result=gains) for seed in range(3)))
    write(results, *(make("fedavg", seed, result=result(0.6, forgetting=0.3)) for seed in range(3)))
    one = {"tasks": [TASK], "methods": ["fedntd"]}
    values = {"forgetting": (12.0, 12.5), "gaining": (52.0, 52.5)}
    numbers = [Claim(id="a", metric=name, value=v, **one) for name, pair in values.items() for v in pair]  # type: ignore[arg-type]
    assert [f.verdict for f in verdicts(results, *numbers)] == ["reproduced", "not reproduced"] * 2
    less = {"kind": "order", "metric": "forgetting", "statement": "forgets less", "tasks": [TASK]}
    orders = [Claim(id="b", methods=names, **less) for names in (["fedntd", "fedavg"], ["fedavg", "fedntd"])]
    assert [f.verdict for f in verdicts(results, *orders)] == ["reproduced", "not reproduced"]


def test_a_target_may_be_reached_before_the_first_round(tmp_path: Path) -> None:
    results, goal = (
        example_results(tmp_path),
        {"metric": "rounds", "target": 0.5, "tasks": [TASK], "methods": ["fedntd"]},
    )
    write(results, *(make("fedntd", seed, result=result(0.6, targets={0.5: 0})) for seed in range(3)))
    (found,) = verdicts(results, Claim(id="a", value=0.0, **goal))
    assert (found.measured, found.verdict) == ("0 ± 0.00 rounds (n = 3), off by +0 rounds", "reproduced")


def test_a_seed_that_misses_the_target_refutes_a_number_of_rounds(tmp_path: Path) -> None:
    results, goal = (
        example_results(tmp_path),
        {"metric": "rounds", "target": 0.5, "tasks": [TASK], "methods": ["fedntd"]},
    )
    write(results, *(make("fedntd", seed, result=result(0.6, targets={0.5: 11})) for seed in range(3)))
    near, far = (Claim(id="a", value=value, **goal) for value in (13.0, 13.5))  # two rounds are allowed
    assert [f.verdict for f in verdicts(results, near, far)] == ["reproduced", "not reproduced"]
    write(results, make("fedntd", 2, result=result(0.6)))  # 11, 11 and at least 30
    (found,) = verdicts(results, near.model_copy(update={"value": 17.0}))
    assert (found.measured, found.verdict) == ("not reached by 1 of 3 seeds", "not reproduced")


def test_an_order_holds_between_all_neighbours_and_on_every_task(tmp_path: Path) -> None:
    paper, results = "paper-fedntd-t1-cifar10-s2", example_results(tmp_path)
    order = Claim(id="a", kind="order", statement="s", tasks=[TASK], methods=["fedntd", "fedavg", "fedprox"])
    assert verdicts(results, order)[0].verdict == "inconclusive"  # FedProx, the last, has one seed
    pair = order.model_copy(update={"methods": ["fedntd", "fedavg"], "tasks": [TASK, paper]})
    assert verdicts(results, pair)[0].verdict == "reproduced"
    write(results, make("fedavg", 0, 0.6, task=paper), make("fedntd", 0, 0.5, task=paper))
    assert verdicts(results, pair)[0].verdict == "inconclusive"  # one seed on the other task
    for seed, (first, second) in enumerate(((0.6, 0.5), (0.61, 0.52), (0.62, 0.51))):
        write(results, make("fedavg", seed, first, task=paper), make("fedntd", seed, second, task=paper))
    assert verdicts(results, pair)[0].verdict == "not reproduced"


def test_a_difference_needs_both_methods_on_one_task(tmp_path: Path) -> None:
    paper, results = "paper-fedntd-t1-cifar10-s2", example_results(tmp_path)
    write(results, make("fedntd", 0, 0.3, task=paper))
    both = Claim(id="c", kind="difference", value=10.0, tasks=[paper, TASK], methods=["fedntd", "fedavg"])
    (found,) = verdicts(results, both)
    assert found.measured.startswith("10.00 ± 2.48 points (n = 3)") and found.measured.endswith(f" in {TASK}")


def test_a_claim_may_be_recalled_in_a_source_that_was_seen_and_the_other_way_round(tmp_path: Path) -> None:
    suite = ResultsIndex.load(example_results(tmp_path))
    made = [number("a", "fedavg", 52.0).model_copy(update={"seen": seen}) for seen in (None, True, False)]
    for seen, expected in ((True, ["seen", "seen", "recalled"]), (False, ["recalled", "seen", "recalled"])):
        source = Source(paper="P", table="T", source="S", seen=seen, claims=made)
        assert [f.provenance for f in verdicts_.evaluate(suite, [source])] == expected


def test_stale_records_prove_nothing(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedavg", seed, engine=99) for seed in range(3)))
    assert verdicts(results, number("a", "fedavg", 52.0))[0].verdict == "not measured"


def test_another_task_gives_a_remark_and_no_verdict(tmp_path: Path) -> None:
    paper, results = "paper-fedntd-t1-cifar10-s2", example_results(tmp_path)
    names = ["fedntd", "fedavg"]
    order = Claim(id="a", kind="order", statement="s", tasks=[paper], elsewhere=[TASK], methods=names)
    ratio = Claim(id="b", kind="ratio", metric="bits", value=1.0, tasks=[paper], elsewhere=[TASK], methods=names)
    found = verdicts(results, order, ratio, order.model_copy(update={"methods": names[::-1]}))
    assert [f.verdict for f in found] == ["not measured"] * 3 and {f.measured for f in found} == {""}
    # by seed 10, 9, 11 points: 10 +- 4.303 * 1 / sqrt(3)
    assert found[0].elsewhere == [f"holds on {TASK}: fedntd minus fedavg 10.00 ± 2.48 points (n = 3); p = 0.0033"]
    assert found[1].elsewhere == [f"holds on {TASK}: 1.00 ± 0.00 times (n = 3), off by +0.000"]
    assert found[2].elsewhere[0].startswith("does not hold on")
    write(results, *(make(name, 0, task=paper) for name in names))
    assert verdicts(results, order)[0].verdict == "single run"  # what holds elsewhere does not count


def test_numbers_on_another_task_are_judged_there_by_the_same_rule(tmp_path: Path) -> None:
    paper, results = "paper-fedntd-t1-cifar10-s2", example_results(tmp_path)
    far, open_, single = number("a", "fedavg", 40.0), number("b", "fedntd", 60.0), number("c", "fedprox", 60.0)
    made = (one.model_copy(update={"tasks": [paper], "elsewhere": [TASK]}) for one in (far, open_, single))
    found = verdicts(results, *made)
    assert [f.verdict for f in found] == ["not measured"] * 3
    assert [f.waits for f in found] == [[f"{paper}/{name}/0"] for name in ("fedavg", "fedntd", "fedprox")]
    begins = ["does not hold on", "stays open on", "single run on"]
    assert all(f.elsewhere[0].startswith(f"{words} {TASK}: ") for f, words in zip(found, begins, strict=True))


def test_a_claim_carries_its_source_s_note(tmp_path: Path) -> None:
    suite, one = ResultsIndex.load(example_results(tmp_path)), number("a", "fedavg", 52.0)
    made = [one, one.model_copy(update={"note": "of the last round"})]
    notes = {"": ["", "of the last round"], "by eye": ["by eye", "by eye; of the last round"]}
    for note, expected in notes.items():
        source = Source(paper="P", table="T", source="S", seen=True, note=note, claims=made)
        assert [f.note for f in verdicts_.evaluate(suite, [source])] == expected


def test_a_number_comes_from_the_first_of_its_tasks_that_has_records(tmp_path: Path) -> None:
    paper, results = "paper-fedntd-t1-cifar10-s2", example_results(tmp_path)
    claim = number("a", "fedavg", 52.0).model_copy(update={"tasks": [paper, TASK]})
    found = verdicts(results, claim)[0]
    assert found.measured.startswith("52.00 ± 4.97 % (n = 3)") and found.measured.endswith(f" in {TASK}")
    write(results, make("fedavg", 0, task=paper))
    assert verdicts(results, claim)[0].measured == "50.00 % (n = 1), off by -2.00 points"


def test_open_claims_say_what_they_wait_for(tmp_path: Path) -> None:
    results, paper = example_results(tmp_path), "paper-fedntd-t1-cifar10-s2"
    write(results, make("fedavg", 0, task=paper))
    missing = Claim(id="a", kind="order", statement="s", tasks=[paper, "paper-x"], methods=["fedntd", "fedavg", "new"])
    svhn = Claim(id="b", kind="order", statement="s", tasks=["svhn-shards"], methods=["fedntd", "fedavg"])
    found = verdicts(results, missing, svhn, number("c", "fedavg", 52.0))
    assert [f.waits for f in found] == [
        [f"{paper}/fedntd/0, method new, which is not written", "task paper-x, which is not written"],
        ["svhn-shards: data not at hand: svhn"], [],
    ]  # fmt: skip


def test_a_pair_counts_by_its_share_of_what_a_claim_lacks(tmp_path: Path) -> None:
    both = Claim(id="a", kind="order", statement="s", tasks=["t"], elsewhere=[TASK], methods=["fedntd", "moon"])
    source = Source(paper="P", table="T", source="S", seen=True, claims=[both, number("b", "moon", 50.0)])
    found = verdicts_.answers(ResultsIndex.load(example_results(tmp_path)), [source])
    # on t both lack; elsewhere, where an answer counts a tenth, MOON alone, which has a number there as well
    assert found == {("t", "fedntd"): 0.5, ("t", "moon"): 0.5, (TASK, "fedntd"): 0.1, (TASK, "moon"): 1.1}
