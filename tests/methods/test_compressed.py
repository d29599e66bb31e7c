"""Compressed updates: numbers by hand, what stays unbiased or is not lost, and bytes by formula."""

from __future__ import annotations

import math

import pytest
import torch

from benchmark.core import method_files
from benchmark.core.api import Local
from benchmark.core.keys import Key
from helpers.constant_network import PHASE, hub, uploads, vectors
from helpers.small_federation import Outcome, run, small_federation

MLP = (16 * 64 + 64) + (64 * 3 + 3)  # numbers in the network of small_federation
VISITS = 2 * 3  # two clients in each of three rounds


def up(outcome: Outcome) -> int:
    return int(outcome.result["bytes"]["up"])


def test_topk_keeps_what_it_does_not_send() -> None:
    """u = (1, -4, 2, 0) + (0, 0, 0, 2.5): the two largest are -4 and 2.5; (1, 0, 2, 0) waits for the next round."""
    method = method_files.make("topk", {"share": 0.5})
    memory, sent = method.compress({"error": torch.tensor([1.0, -4, 2, 0])}, torch.tensor([0.0, 0, 0, 2.5]))
    assert sent["positions"].tolist() == [1, 3] and sent["values"].tolist() == [-4, 2.5]
    assert memory["error"].tolist() == [1, 0, 2, 0]
    assert method.restore(sent, 4).tolist() == [0, -4, 0, 2.5]


def test_the_mean_of_updates_is_added_by_samples() -> None:
    """Updates (4, 0) of one sample and (0, 8) of three: the model (1, 1) moves by (1, 6)."""
    method = method_files.make("topk", {"share": 0.5})
    sent = [{"update": {"values": torch.tensor([v]), "positions": torch.tensor([i])}} for i, v in ((0, 4.0), (1, 8.0))]
    server = {"models": {"mlp": vectors(w=[1, 1])}}
    after = method.aggregate(server, uploads((1, sent[0]), (3, sent[1])), PHASE, hub((1, 3)), small_federation().key)
    assert after["models"]["mlp"]["w"].tolist() == [2, 7]


def test_everything_sent_is_fedavg() -> None:
    federation = small_federation(sizes=(8, 6, 9, 5), momentum=0.9)
    full = run(method_files.make("topk", {"share": 1}), federation).server["models"]["mlp"]
    plain = run(method_files.make("fedavg"), federation).server["models"]["mlp"]
    assert max(float((full[name] - plain[name]).abs().max()) for name in plain) < 1e-6


def test_qsgd_by_hand_on_its_levels() -> None:
    """||(3, -4)|| = 5 and s = 5: both entries lie on the levels 3 and -4, so nothing is random: 5 * 3 / 5 = 3."""
    method = method_files.make("qsgd", {"levels": 5, "bucket": 2})
    memory, sent = method.compress(
        method.init_client(small_federation().site(0, PHASE, 0), Key(1)), torch.tensor([3.0, -4])
    )
    assert sent["levels"].tolist() == [3, -4] and sent["norms"].tolist() == [5]
    assert method.restore(sent, 2).tolist() == [3, -4]
    assert memory["rounds"].item() == 1


def test_qsgd_is_right_on_average() -> None:
    """One level: an entry of 0.6 beside 0.8 is 1 with probability 0.6; 4,000 draws have a deviation of 0.0078."""
    method = method_files.make("qsgd", {"levels": 1, "bucket": 2})
    update, memory, total = (
        torch.tensor([0.6, 0.8]),
        {"seed": torch.tensor(3), "rounds": torch.tensor(0)},
        torch.zeros(2),
    )
    for _ in range(4000):
        memory, sent = method.compress(memory, update)
        total += method.restore(sent, 2)
    assert (total / 4000 - update).abs().max() < 4 * 0.0078


def test_bytes_by_formula() -> None:
    """TopK: 8 bytes for each of ceil(d / 100) entries. QSGD: a byte per entry and 4 per bucket of 512."""
    federation = small_federation()
    assert up(run(method_files.make("topk", {"share": 0.01}), federation)) == VISITS * 8 * math.ceil(MLP / 100)
    assert up(run(method_files.make("qsgd"), federation)) == VISITS * (MLP + 4 * math.ceil(MLP / 512))
    assert up(run(method_files.make("fedavg"), federation)) == VISITS * 4 * MLP


def test_running_statistics_travel_whole() -> None:
    """Two clients of equal size send means of 1 and 3: the model has 2, whatever becomes of the weights."""
    method, view = method_files.make("topk", {"share": 1}), hub((1, 1), buffers=frozenset({"mean"}))
    view.models["mlp"].weights = lambda params: {"w": params["w"]}
    site = small_federation().site(0, PHASE, 0)
    model = vectors(w=[1.0], mean=[0.0])
    sent = []
    for mean in (1.0, 3.0):
        local = Local(vectors(w=[1.0], mean=[mean]))
        object.__setattr__(site, "model", view.models["mlp"])
        sent.append(method.finish({"error": torch.zeros(1)}, local, {"model": model}, PHASE, site)[1])
    after = method.aggregate({"models": {"mlp": model}}, uploads((1, sent[0]), (1, sent[1])), PHASE, view, Key(0))
    assert after["models"]["mlp"]["mean"].item() == pytest.approx(2)
