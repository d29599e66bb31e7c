"""Methods that exchange means by class, and ensembles around a mean: numbers by hand, limits, bytes by formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from algorithms._class_sums import head_step, means, total
from algorithms.fedbe import moments
from algorithms.fedtgp import separation
from algorithms.kt_pfl import mixture
from benchmark.core import method_files
from benchmark.core.api import Local, Output
from benchmark.core.keys import Key
from helpers.constant_network import ConstantNetwork, batch, number, uploads, vectors
from helpers.small_federation import Outcome, run, small_federation

BODY, HEAD, WIDTH, CLASSES = 16 * 64 + 64, 64 * 3 + 3, 64, 3  # of the network of small_federation
VISITS = 2 * 3  # two clients in each of three rounds


def bytes_up(name: str, outcome: Outcome) -> int:
    return sum(size for _, way, entry, size in outcome.result["bytes"]["by_name"] if way == "up" and entry == name)


def test_means_by_class() -> None:
    """Class 0: (2 + 4) / 2 = 3; class 1 has no sample and stays at zero."""
    found = means({"features": torch.tensor([[6.0], [0.0]]), "counts": torch.tensor([2.0, 0.0])})
    assert found["features"].tolist() == [[3], [0]]


def test_sums_by_class_leave_padding_out() -> None:
    method = method_files.make("fedgh")
    local = Local(vectors(logits=[0, 0], features=[2]), carry={"counts": torch.zeros(2)})
    two = batch(0, 1)._replace(mask=torch.tensor([1.0, 0.0]))
    _, sums = method.look(local.params, local, two, ConstantNetwork())  # type: ignore[arg-type]
    assert sums["features"].tolist() == [[2], [0]] and sums["counts"].tolist() == [1, 0]


def test_a_step_of_the_classifier_by_hand() -> None:
    """Even logits of two classes, feature 1, label 0: the slopes are -1/2 and 1/2, so that rate 2 moves by 1 and -1."""
    head = {"classifier.weight": torch.zeros(2, 1), "classifier.bias": torch.zeros(2)}
    after = head_step(head, torch.ones(1, 1), torch.tensor([0]), 2.0)
    assert after["classifier.weight"].flatten().tolist() == [1, -1] and after["classifier.bias"].tolist() == [1, -1]


def test_fedgh_trains_on_known_classes_only() -> None:
    """Class 1 is unknown: only the mean of class 0 counts, with the step of the test above."""
    method = method_files.make("fedgh", {"lr": 2})
    head = {"classifier.weight": torch.zeros(2, 1), "classifier.bias": torch.zeros(2)}
    message = {"features": torch.tensor([[1.0], [9.0]]), "counts": torch.tensor([3.0, 0.0])}
    after = method.aggregate({"head": head}, uploads((3, message)), None, None, Key(0))  # type: ignore[arg-type]
    assert after["head"]["classifier.bias"].tolist() == [1, -1]


def test_fedgh_exchanges_no_body() -> None:
    outcome = run(method_files.make("fedgh"), small_federation())
    assert outcome.result["bytes"]["down"] == VISITS * 4 * HEAD
    assert outcome.result["bytes"]["up"] == VISITS * 4 * (CLASSES * WIDTH + CLASSES)


def test_fedhkd_s_loss_by_hand() -> None:
    """Logits (0, 0) and features (1): CE = ln 2. Class 0 is known: H = (3), Q = (1, 0), h = 0 answers (1/2, 1/2).

    ||(1/2, 1/2) - (1, 0)||^2 = 1/2 and |1 - 3|^2 = 4, so that lambda = 2 and gamma = 1/4 add 1 and 1.
    """
    method = method_files.make("fedhkd", {"lam": 2, "gamma": 0.25})
    params = {**vectors(logits=[0, 0], features=[1]), "classifier.weight": torch.zeros(2, 1)}
    context = {
        "features": torch.tensor([[3.0], [0.0]]),
        "answers": torch.tensor([[1.0, 0.0], [0.0, 0.0]]),
        "known": torch.tensor([1.0, 0.0]),
    }
    value, _ = method.loss(params, Local(params, context), batch(0), ConstantNetwork())  # type: ignore[arg-type]
    assert float(value) == pytest.approx(math.log(2) + 1 + 1, abs=1e-6)


def test_fedhkd_without_its_terms_is_fedavg() -> None:
    federation = small_federation(sizes=(8, 6, 9, 5), momentum=0.9)
    ours = run(method_files.make("fedhkd", {"lam": 0, "gamma": 0}), federation).server["models"]["mlp"]
    plain = run(method_files.make("fedavg"), federation).server["models"]["mlp"]
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def test_fedhkd_weighs_means_by_samples() -> None:
    """Means 1 of one sample and 5 of three: (1 + 15) / 4 = 4."""
    method = method_files.make("fedhkd")
    sent = [
        {
            "model": number(0),
            "knowledge": {
                "features": torch.tensor([[m]]),
                "answers": torch.ones(1, 1),
                "counts": torch.tensor([n]),
            },
        }
        for m, n in ((1.0, 1.0), (5.0, 3.0))
    ]
    server = {"models": {"mlp": number(0)}, "knowledge": {}}
    after = method.aggregate(server, uploads((1, sent[0]), (3, sent[1])), None, None, Key(0))  # type: ignore[arg-type]
    assert after["knowledge"]["features"].item() == 4


def test_fedtgp_s_loss_by_hand() -> None:
    """p = 0 lies at 0 from its own centre and at 1 from the other: CE = ln(1 + e^{-1}); with a margin of 1, ln 2."""
    points, centres, label = torch.zeros(1, 1), torch.tensor([[0.0], [1.0]]), torch.tensor([0])
    for gap, expected in ((0.0, math.log(1 + math.exp(-1))), (1.0, math.log(2))):
        assert float(separation(points, label, centres, torch.tensor(gap))) == pytest.approx(expected, abs=1e-6)


def test_fedtgp_s_margin_is_the_widest_gap_to_a_nearest_class() -> None:
    """Centres 0, 1 and 5: nearest classes lie at 1, 1 and 4; a limit of 3 cuts that."""
    centres = torch.tensor([[0.0], [1.0], [5.0]])
    assert method_files.make("fedtgp")._gap(centres).item() == 4
    assert method_files.make("fedtgp", {"margin": 3})._gap(centres).item() == 3


def test_fedtgp_brings_prototypes_to_the_clients_and_sends_what_fedproto_sends() -> None:
    outcomes = [run(method_files.make(name, {"d": 4}), small_federation(rounds=6)) for name in ("fedtgp", "fedproto")]
    ours, plain = outcomes
    assert ours.result["bytes"]["up"] == plain.result["bytes"]["up"]
    assert ours.result["bytes"]["down"] == plain.result["bytes"]["down"]
    start = method_files.make("fedtgp", {"d": 4}).init_server(small_federation().hub, Key(0))
    assert any(not torch.equal(leaf, ours.server["trained"][name]) for name, leaf in start["trained"].items())


def test_fedbe_s_gaussian_by_hand() -> None:
    """Models 1 of one sample and 5 of three: mean 4, variance 1/4 * 9 + 3/4 * 1 = 3."""
    mean, variance = moments([number(1), number(5)], [1, 3])
    assert mean["w"].item() == 4 and variance["w"].item() == 3


def test_fedbe_asks_uploads_mean_and_draws_of_every_architecture() -> None:
    method = method_files.make("fedbe", {"samples": 3})
    drawn = method.drawn(uploads((1, {"model": number(1)}), (3, {"model": number(5)})), Key(0))
    assert len(drawn) == 1 + 3 and drawn[0].message["model"]["w"].item() == 4
    assert len({upload.message["model"]["w"].item() for upload in drawn}) == 4


def test_ccvr_s_sums_by_class() -> None:
    """Client 0 has class 1 alone, client 1 both: rows travel for the classes that a client has."""
    one = {"features": torch.tensor([[2.0]]), "counts": torch.tensor([0.0, 1.0])}
    two = {"features": torch.tensor([[5.0], [7.0]]), "counts": torch.tensor([1.0, 3.0])}
    assert total(uploads((1, one), (4, two)), "features").flatten().tolist() == [5, 9]


def test_ccvr_draws_what_it_was_told() -> None:
    """Features 1 and 3: mean 2, variance (1 + 9 - 2 * 4) / 1 = 2; 20,000 draws have it to 0.05 and 0.1."""
    method = method_files.make("ccvr", {"samples": 20000})
    drawn = method.drawn(torch.tensor(2.0), torch.tensor([4.0]).double(), torch.tensor([[10.0]]).double(), Key(0))
    assert drawn.mean().item() == pytest.approx(2, abs=0.05) and drawn.var().item() == pytest.approx(2, abs=0.1)


def test_ccvr_changes_the_classifier_of_fedavg_and_nothing_else() -> None:
    federation = small_federation(sizes=(8, 6, 9, 5))
    ours = run(method_files.make("ccvr", {"samples": 20}), federation).server["models"]["mlp"]
    plain = run(method_files.make("fedavg"), federation).server["models"]["mlp"]
    changed = {name for name in plain if not torch.equal(ours[name], plain[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_cfd_counts_votes() -> None:
    """Two of three clients name class 1: shares (1/3, 2/3)."""
    method = method_files.make("cfd")
    answers = [method.answer(torch.tensor([[a, 1.0]])) for a in (2.0, 0.0, -1.0)]
    assert method.agree(answers).flatten().tolist() == pytest.approx([1 / 3, 2 / 3])


def test_cfd_sends_a_byte_per_image() -> None:
    federation = small_federation(public=12)
    assert run(method_files.make("cfd", {"draw": 10}), federation).result["bytes"]["up"] == VISITS * 10
    assert run(method_files.make("dsfl", {"draw": 10}), federation).result["bytes"]["up"] == VISITS * 10 * 4 * CLASSES


def test_kt_pfl_s_mixture_leaves_silent_clients_out() -> None:
    """Shares 1/2, 1/4, 1/4; client 0 is silent: the others weigh 1/2 each."""
    answers = {"2": torch.tensor([[0.0, 1.0]]), "1": torch.tensor([[1.0, 0.0]])}
    assert mixture(torch.tensor([0.5, 0.25, 0.25]), answers).flatten().tolist() == [0.5, 0.5]


def test_kt_pfl_s_shares_move_to_those_who_answer_alike() -> None:
    """Client 0 answers as client 1 and unlike client 2; without the pull to even shares client 2 loses."""
    method = method_files.make("kt_pfl", {"rho": 0, "rate": 0.1})
    alike, other = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])
    row = method.learned(torch.full((3,), 1 / 3), {"0": alike, "1": alike, "2": other}, alike)
    assert row.sum().item() == pytest.approx(1) and row[0] == row[1] > 1 / 3 > row[2]


def test_kt_pfl_exchanges_answers_alone() -> None:
    outcome = run(method_files.make("kt_pfl"), small_federation(public=12))
    assert outcome.result["bytes"]["up"] == VISITS * 12 * 4 * CLASSES
    assert outcome.result["bytes"]["down"] == VISITS * (12 * 4 * CLASSES + 8)  # and the 8-byte seed of a draw


def test_every_network_answers_with_features_that_its_classifier_reads() -> None:
    federation = small_federation()
    model: Any = federation.model("mlp")
    output: Output = model.frozen(model.init(Key(0)), torch.zeros(1, 1, 4, 4))
    assert output.features.shape == (1, WIDTH)
