"""Methods that exchange knowledge: numbers by hand, identities, and bytes as they were counted."""

from __future__ import annotations

import math

import pytest
import torch

from algorithms._consensus import following
from algorithms.central import Central
from algorithms.dsfl import DSFL
from algorithms.fd import FD
from algorithms.fedavg import FedAvg
from algorithms.feddistill_plus import FedDistillPlus
from algorithms.fedgen import FedGen
from algorithms.fedmd import FedMD
from algorithms.fedproto import FedProto, packed, unpacked
from algorithms.local import LocalOnly
from benchmark.core.api import Algorithm, Batch, Local, Phase, Upload, Who
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.tree import Tree
from helpers.small_federation import Outcome, run, small_federation

TRAIN = Phase("train", 1)


def payload(outcome: Outcome) -> dict[tuple[str, str, str], int]:
    return dict(outcome.communication.payload)


def floats(tree: Tree) -> int:
    return sum(leaf.numel() for leaf in tree.values())


def same(a: Tree, b: Tree) -> bool:
    return a.keys() == b.keys() and all(torch.equal(leaf, b[name]) for name, leaf in a.items())


def saying(params: Tree, x: torch.Tensor) -> Output:
    """A network whose logits and features are its input."""
    return Output(x, x)


def batch_of(values: list[list[float]], labels: list[int]) -> Batch:
    return Batch(torch.tensor(values), torch.tensor(labels), torch.arange(len(labels)))


def uploads_of(*messages: Tree, size: int = 1) -> list[Upload]:
    return [Upload(Who(i, "mlp", size), message) for i, message in enumerate(messages)]


# floor and ceiling


def test_local_moves_nothing_and_trains_only_the_sampled() -> None:
    federation = small_federation(cohort=1, rounds=1)
    outcome = run(LocalOnly(), federation)
    assert payload(outcome) == {}
    (sampled,) = federation.cohort(0)
    assert list(outcome.memories) == [sampled]


def test_central_sees_as_many_samples_as_a_cohort() -> None:
    # 4 clients of 8 samples, cohorts of 2: E n K / N = 3 * 32 * 2 / 4 = 48 samples, 12 batches of 4
    federation = small_federation(epochs=3, algorithm=Central())
    (only,) = Central().passes(TRAIN, federation.site(0, TRAIN, 0))
    assert federation.clients == 1 and only.steps == 12


# FD


def fd_server(*means: list[list[float]]) -> Tree:
    hub = small_federation(classes=2).hub
    uploads = uploads_of(*({"means": torch.tensor(m)} for m in means))
    return FD().aggregate(FD().init_server(hub, Key(0)), uploads, TRAIN, hub, Key(0))


@pytest.mark.parametrize(
    ("client", "teacher"),
    [
        (0, [[0.8, 0.2], [0.2, 0.8]]),  # label 0: (0.6 + 1) / 2; label 1: (0.3 + 0.1) / 2
        (1, [[0.9, 0.1], [0.1, 0.9]]),  # label 0: (0.8 + 1) / 2; label 1: client 2 alone, client 0 has none
        (2, [[0.7, 0.3], [0.3, 0.7]]),  # label 0: (0.8 + 0.6) / 2; label 1: client 1 alone
        (9, [[0.8, 0.2], [0.2, 0.8]]),  # has not reported yet: (0.8 + 0.6 + 1) / 3 and (0.3 + 0.1) / 2
    ],
)
def test_fd_teaches_the_mean_of_the_others(client: int, teacher: list[list[float]]) -> None:
    server = fd_server([[0.8, 0.2], [0, 0]], [[0.6, 0.4], [0.3, 0.7]], [[1.0, 0], [0.1, 0.9]])
    message = FD().download(server, Who(client, "mlp", 1), TRAIN, Key(0))
    assert message is not None
    torch.testing.assert_close(message["teacher"], torch.tensor(teacher))


def test_fd_has_no_teacher_for_a_label_that_nobody_else_knows() -> None:
    message = FD().download(fd_server([[0.8, 0.2], [0, 0]], [[0.6, 0.4], [0.3, 0.7]]), Who(1, "mlp", 1), TRAIN, Key(0))
    assert message is not None and message["teacher"][1].tolist() == [0, 0]


def test_fd_loss_and_running_means() -> None:
    # logits (0, ln 3): softmax (1/4, 3/4); label 1: CE ln(4/3); teacher (1/2, 1/2): CE (ln 4 + ln 4/3) / 2
    local = Local({}, {"teacher": torch.full((2, 2), 0.5)}, {"sums": torch.zeros(2, 2), "counts": torch.zeros(2)})
    batch = batch_of([[0.0, math.log(3)]], [1])
    value, extras = FD(gamma=2.0).loss({}, local, batch, saying)  # type: ignore[arg-type]
    assert float(value) == pytest.approx(math.log(4 / 3) + 2 * (math.log(4) + math.log(4 / 3)) / 2)
    local = FD().after_step(FD().after_step(local, extras, batch), extras, batch)
    _, message = FD().finish({}, local, None, TRAIN, None)  # type: ignore[arg-type]
    assert message is not None
    torch.testing.assert_close(message["means"], torch.tensor([[0, 0], [0.25, 0.75]]))


def test_fd_without_gamma_is_local() -> None:
    alone, together = run(LocalOnly(), small_federation()), run(FD(gamma=0), small_federation())
    assert alone.memories.keys() == together.memories.keys()
    assert all(same(memory["model"], together.memories[k]["model"]) for k, memory in alone.memories.items())


def test_fd_and_fl_cost_what_the_paper_says() -> None:
    # table 1: 102,400 and 1,228,439,552 bits per device in 16 rounds, both directions
    bits = {}
    for algorithm, network in ((FD(), "mlp"), (FedAvg(), "cnn_fd")):
        federation = small_federation(
            sizes=(4,), cohort=1, rounds=16, classes=10, networks=(network,), shape=(1, 28, 28), evaluate_every=16
        )
        bits[network] = 8 * sum(payload(run(algorithm, federation)).values())
    assert bits == {"mlp": 102_400, "cnn_fd": 1_228_439_552}


# agreement on public images


def test_fedmd_digests_what_was_scored() -> None:
    site = small_federation(public=12).site(0, TRAIN, 0)
    method, draw = FedMD(draw=5), torch.tensor(7)
    client: Tree = {"model": {}}
    now = method.begin(client, {"draw": draw}, TRAIN, site)
    then = method.begin(client, {"draw": following(draw), "consensus": torch.zeros(5, 3)}, TRAIN, site)
    assert torch.equal(now.context["scored"], then.context["digested"])
    assert now.context["scored"].tolist() != now.context["digested"].tolist()


def test_fedmd_consensus_is_the_plain_mean_of_logits() -> None:
    hub = small_federation(public=12).hub
    uploads = uploads_of({"answers": torch.tensor([[1.0, -2.0]])}, {"answers": torch.tensor([[4.0, 0.0]])})
    server = FedMD().aggregate(FedMD().init_server(hub, Key(0)), uploads, TRAIN, hub, Key(0))
    assert server["consensus"].tolist() == [[2.5, -1.0]]


@pytest.mark.parametrize(("distance", "expected"), [("l1", 1.5), ("l2", 2.5)])
def test_fedmd_distance(distance: str, expected: float) -> None:
    # gaps 1 and -2: (1 + 2) / 2 and (1 + 4) / 2
    local = Local({}, {"consensus": torch.tensor([[0.0, 4.0]])})
    value, _ = FedMD(distance=distance).digest({}, local, batch_of([[1.0, 2.0]], [0]), saying)  # type: ignore[arg-type]
    assert float(value) == expected


def test_fedmd_payload() -> None:
    # draws of 5 images, 3 classes: 60 bytes; 4 clients in the transfer, 3 rounds of 2 clients after it; 8-byte seeds
    method = FedMD(draw=5, public_epochs=1, private_epochs=1)
    assert payload(run(method, small_federation(public=12))) == {
        ("transfer", "down", "draw"): 4 * 8, ("transfer", "up", "answers"): 4 * 60,
        ("collaborate", "down", "draw"): 6 * 8, ("collaborate", "down", "consensus"): 6 * 60,
        ("collaborate", "up", "answers"): 6 * 60,
    }  # fmt: skip


def test_dsfl_sharpens_the_mean() -> None:
    # mean (0.7, 0.3), divided by 0.1: softmax(7, 3) = 1 / (1 + e^-4) = 0.98201379
    sharp = DSFL().agree([torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])])
    torch.testing.assert_close(sharp, torch.tensor([[0.98201379, 0.01798621]]))


def test_dsfl_payload_and_server_model() -> None:
    outcome = run(DSFL(draw=5), small_federation(public=12))
    assert payload(outcome) == {
        ("train", "down", "draw"): 6 * 8,
        ("train", "down", "consensus"): 6 * 60,
        ("train", "up", "answers"): 6 * 60,
    }
    start = DSFL().init_server(small_federation(public=12).hub, small_federation().key("server"))
    assert not same(start["models"]["mlp"], outcome.server["models"]["mlp"])


# prototypes


def test_fedproto_weights_prototypes_by_samples() -> None:
    # class 0: (3 * (1, 0) + 1 * (5, 4)) / 4 = (2, 1); class 1: one client alone; class 2: nobody, stays (9, 9)
    method, hub = FedProto(d=2), small_federation().hub
    counts = [torch.tensor([3, 0, 0], dtype=torch.int32), torch.tensor([1, 2, 0], dtype=torch.int32)]
    means = [torch.tensor([[1.0, 0], [0, 0], [0, 0]]), torch.tensor([[5.0, 4], [6, 7], [0, 0]])]
    server = {"prototypes": torch.full((3, 2), 9.0), "counts": torch.tensor([4, 4, 4], dtype=torch.int32)}
    server = method.aggregate(server, uploads_of(*map(packed, means, counts)), TRAIN, hub, Key(0))
    assert server["prototypes"].tolist() == [[2, 1], [6, 7], [9, 9]]
    assert server["counts"].tolist() == [4, 2, 4]


def test_fedproto_sends_known_rows_only() -> None:
    message = packed(torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([5, 0], dtype=torch.int32))
    assert message["prototypes"].tolist() == [[1, 2]]
    assert unpacked(message).tolist() == [[1, 2], [0, 0]]


def test_fedproto_pulls_known_classes() -> None:
    # features (1, 2) and (3, 4), prototype of class 0 (0, 0): ((1 + 4) / 2 + 0) / 2 = 1.25, class 1 is not known
    context = {"prototypes": torch.zeros(2, 2), "known": torch.tensor([1.0, 0.0])}
    batch = batch_of([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    with_pull, _ = FedProto(d=2).loss({}, Local({}, context), batch, saying)  # type: ignore[arg-type]
    without, _ = FedProto(d=2, lambda_=0).loss({}, Local({}, context), batch, saying)  # type: ignore[arg-type]
    assert float(with_pull - without) == pytest.approx(1.25)


def test_fedproto_payload() -> None:
    # every client has all 3 classes: 3 * 4 floats; nothing is known in the first of 3 rounds of 2 clients
    assert payload(run(FedProto(d=4), small_federation())) == {
        ("train", "up", "prototypes"): 6 * 48, ("train", "up", "counts"): 6 * 12,
        ("train", "down", "prototypes"): 4 * 48, ("train", "down", "counts"): 6 * 12,
    }  # fmt: skip


# weights and knowledge


@pytest.mark.parametrize("method", [FedDistillPlus(gamma=0), FedGen(alpha=0, beta=0)])
def test_without_the_second_term_it_is_fedavg(method: Algorithm) -> None:
    plain, other = run(FedAvg(), small_federation()), run(method, small_federation())
    assert same(plain.server["models"]["mlp"], other.server["models"]["mlp"])


def test_payload_beside_the_weights() -> None:
    # 6 visits; FedDistill+: P + L^2 each way; FedGen: P + L up, P + G + a seed of two floats' size down
    plus, gen = run(FedDistillPlus(), small_federation()), run(FedGen(), small_federation())
    p = floats(gen.server["models"]["mlp"])
    # 32 numbers of noise and 3 labels -> 256 -> 64 features
    g = (32 + 3 + 1) * 256 + (256 + 1) * 64
    assert (plus.communication.total("up"), plus.communication.total("down")) == (24 * (p + 9), 24 * (p + 9))
    assert (gen.communication.total("up"), gen.communication.total("down")) == (24 * (p + 3), 24 * (p + g + 2))
