"""Methods that exchange knowledge: what a client says and keeps, what a server learns, and FedGen's losses by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from algorithms.central import Central
from algorithms.dsfl import DSFL
from algorithms.fd import FD
from algorithms.fedgen import FedGen, likeness
from algorithms.fedmd import FedMD
from algorithms.fedproto import FedProto
from algorithms.local import LocalOnly
from benchmark.core.api import Algorithm, Batch, Local, Optim, Phase, Tree, Upload, Who
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.models.build import build
from benchmark.core.tasks.task import Optimiser, Train
from helpers.small_federation import run, small_federation

TRAIN = Phase("train", 1)
CONSENSUS = pytest.mark.parametrize("method", [FedMD(draw=5), DSFL(draw=5)], ids=["fedmd", "dsfl"])


def saying(params: Tree, x: torch.Tensor) -> Output:
    """A network whose logits and features are its input."""
    return Output(x, x)


def batch_of(values: list[list[float]], labels: list[int]) -> Batch:
    return Batch(torch.tensor(values), torch.tensor(labels), torch.arange(len(labels)))


def uploads_of(*messages: Tree) -> list[Upload]:
    return [Upload(Who(i, "mlp", 1), message) for i, message in enumerate(messages)]


def test_central_takes_the_cohort_s_steps() -> None:
    # 5 steps of each of 2 clients
    federation = small_federation(train=Train(batch=4, steps=5, optimiser=Optimiser(lr=0.1)), algorithm=Central())
    (only,) = Central().passes(TRAIN, federation.site(0, TRAIN, 0))
    assert only.steps == 10


@pytest.mark.parametrize("method", [LocalOnly(), FD(), FedProto(d=2), FedMD(), DSFL()], ids=lambda m: type(m).__name__)
def test_a_client_goes_on_with_what_it_learnt(method: Algorithm) -> None:
    local = Local({"w": torch.ones(1)}, carry={"sums": torch.zeros(2, 2), "counts": torch.zeros(2)})
    memory, _ = method.finish({"model": {"w": torch.zeros(1)}}, local, None, TRAIN, None)  # type: ignore[arg-type]
    assert memory["model"]["w"].tolist() == [1]


# agreement on public images


@pytest.mark.parametrize(("method", "said"), [(FedMD(), [0, math.log(3)]), (DSFL(), [0.25, 0.75])])
def test_clients_of_fedmd_say_logits_and_those_of_dsfl_probabilities(method: FedMD | DSFL, said: list[float]) -> None:
    _, extras = method.score({}, Local({}), batch_of([[0, math.log(3)]], [0]), saying)  # type: ignore[arg-type]
    torch.testing.assert_close(extras["answers"], torch.tensor([said]))


@CONSENSUS
def test_the_next_round_digests_what_this_one_scored(method: FedMD | DSFL) -> None:
    federation, seen = small_federation(public=12), []
    hub, site, who = federation.hub, federation.site(0, TRAIN, 0), federation.who(0)
    server = method.init_server(hub, Key(0))
    for _ in range(2):
        seen.append(method.begin({"model": {}}, method.download(server, who, TRAIN, Key(0)), TRAIN, site).context)
        server = method.aggregate(server, uploads_of({"answers": torch.full((5, 3), 1 / 3)}), TRAIN, hub, Key(0))
    assert torch.equal(seen[0]["scored"], seen[1]["digested"])


@CONSENSUS
def test_clients_digest_before_they_train_and_score_after_it(method: FedMD | DSFL) -> None:
    runs = method.passes(TRAIN, small_federation(public=12).site(0, TRAIN, 0))
    assert [(run.stream, run.loss, run.rows, run.update) for run in runs] == [
        ("public", "digest", "digested", True), ("private", "loss", None, True), ("public", "score", "scored", False),
    ]  # fmt: skip


def test_fedmd_s_transfer_and_digest_have_their_own_length_and_rate() -> None:
    method = FedMD(lr=0.5, digest_epochs=2, digest_batch=3, public_epochs=4, public_batch=5, private_epochs=6,
                   private_batch=7)  # fmt: skip
    site, adam, told = small_federation(public=12).site(0, TRAIN, 0), Optim("adam", lr=0.5), []
    for phase in method.phases(9):
        told.append([(run.stream, run.epochs, run.batch, run.optim) for run in method.passes(phase, site)])
    assert told == [
        [("public", 4, 5, adam), ("private", 6, 7, adam), ("public", None, None, None)],
        [("public", 2, 3, adam), ("private", None, None, None), ("public", None, None, None)],
    ]


def test_dsfl_teaches_nothing_before_the_first_answers() -> None:
    server = DSFL(draw=5).init_server(small_federation(public=12).hub, Key(0))
    batch = batch_of([[1.0, 2.0, 3.0]] * 5, [0] * 5)
    assert float(DSFL().digest({}, Local({}, server), batch, saying)[0]) == 0  # type: ignore[arg-type]


def test_dsfl_s_server_trains_on_what_its_clients_scored() -> None:
    """Two epochs of one batch each are two steps of plain SGD; BatchNorm's statistics move along."""
    federation = small_federation(
        public=12, networks=("resnet8",), shape=(1, 8, 8), epochs=2, batch=5, lr=0.1, momentum=0.9
    )
    hub, method = federation.hub, DSFL(draw=5, temperature=0.5)
    assert hub.public is not None
    server = method.init_server(hub, Key(0))
    message = method.download(server, federation.who(0), TRAIN, Key(0))
    rows = method.begin({"model": {}}, message, TRAIN, federation.site(0, TRAIN, 0)).context["scored"]
    answers = [torch.randn(5, 3, generator=Key(seed).torch()).softmax(-1) for seed in (1, 2)]
    net = build("resnet8", (1, 8, 8), 3)
    net.load_state_dict(server["models"]["resnet8"], strict=False)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        sgd.zero_grad()
        targets = ((answers[0] + answers[1]) / 2 / 0.5).softmax(-1)
        torch.autograd.backward(functional.cross_entropy(net(hub.public.inputs(rows)).logits, targets))
        sgd.step()
    after = method.aggregate(server, uploads_of(*({"answers": said} for said in answers)), TRAIN, hub, Key(0))
    for name, leaf in net.state_dict().items():
        assert torch.allclose(after["models"]["resnet8"][name], leaf, atol=1e-5), name


# mean outputs and features


def test_fd_averages_over_all_steps_of_a_visit() -> None:
    # softmax (1/4, 3/4) and (1/2, 1/2) of label 1 in two steps: (3/8, 5/8)
    local = Local({}, {"teacher": torch.zeros(2, 2)}, {"sums": torch.zeros(2, 2), "counts": torch.zeros(2)})
    for logits in ([0.0, math.log(3)], [0.0, 0.0]):
        batch = batch_of([logits], [1])
        local = FD().after_step(local, FD().loss({}, local, batch, saying)[1], batch)  # type: ignore[arg-type]
    _, message = FD().finish({}, local, None, TRAIN, None)  # type: ignore[arg-type]
    assert message is not None
    torch.testing.assert_close(message["means"], torch.tensor([[0, 0], [0.375, 0.625]]))


def test_fd_keeps_the_last_report_of_who_does_not_take_part() -> None:
    # client 0 says (1, 0) in round 1 alone, client 1 (0, 1) in both, and nobody knows label 1: client 9 is taught both
    hub = small_federation(classes=2).hub
    first, second = (
        Upload(Who(i, "mlp", 1), {"means": torch.stack([m, torch.zeros(2)])}) for i, m in enumerate(torch.eye(2))
    )
    server = FD().aggregate(FD().init_server(hub, Key(0)), [first, second], TRAIN, hub, Key(0))
    server = FD().aggregate(server, [second], TRAIN, hub, Key(0))
    message = FD().download(server, Who(9, "mlp", 1), TRAIN, Key(0))
    assert message is not None and message["teacher"].tolist() == [[0.5, 0.5], [0, 0]]


def test_fedproto_reports_mean_features_of_the_trained_model() -> None:
    federation = small_federation(sizes=(8,), cohort=1, rounds=1)
    outcome, data = run(FedProto(d=64), federation), federation.private(0)
    features = federation.model("mlp").frozen(outcome.memories[0]["model"], data.inputs()).features
    means = torch.stack([features[data.labels == label].mean(0) for label in range(3)])
    torch.testing.assert_close(outcome.server["prototypes"], means)


# FedGen


def generator(classes: int, noise: int) -> Tree:
    """It answers with the label, one-hot, whatever the noise."""
    one = torch.cat([torch.zeros(classes, noise), torch.eye(classes)], 1)
    return {"one": one, "two": torch.eye(classes), "one_bias": torch.zeros(classes), "two_bias": torch.zeros(classes)}


def test_fedgen_draws_features_of_even_and_of_own_labels() -> None:
    site = small_federation().site(0, TRAIN, 0)
    message = {"model": {}, "generator": generator(3, 2), "draw": torch.tensor(1)}
    context = FedGen(noise=2).begin({}, message, TRAIN, site).context
    assert torch.equal(context["own"].argmax(1), site.data.labels)
    assert torch.equal(context["features"].argmax(1), context["labels"])
    assert not torch.equal(context["labels"], site.data.labels)


def test_fedgen_s_client_loss_by_hand() -> None:
    """Logits (0, 0): CE ln 2. Features (ln 3, 0) with label 1: CE ln 4. Own features (0, ln 3): KL((1/4, 3/4) || even).

    All is looked up by row, here the second; the teacher is not itself taught.
    """
    params = {"classifier.weight": torch.eye(2).requires_grad_()}
    table = {"features": torch.tensor([[9.0, 9], [math.log(3), 0]]), "own": torch.tensor([[9.0, 0], [0, math.log(3)]])}
    local = Local({}, {**table, "labels": torch.tensor([0, 1])})
    batch = Batch(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([1]))
    value, _ = FedGen(alpha=2, beta=3).loss(params, local, batch, saying)  # type: ignore[arg-type]
    distance = math.log(1 / 2) / 4 + 3 * math.log(3 / 2) / 4
    assert value.item() == pytest.approx(math.log(2) + 2 * math.log(4) + 3 * distance)
    value, _ = FedGen(alpha=0).loss(params, local, batch, saying)  # type: ignore[arg-type]
    # with the features' own term gone nothing of the gradient is left: these logits do not hang on the classifier
    assert torch.autograd.grad(value, params["classifier.weight"])[0].abs().max() == 0


def test_fedgen_s_likeness_by_hand() -> None:
    # features 4 / 2 apart by a number, noise 2 / 1: 2 * 2 = 4 in two of four pairs, so exp(-2); equal features give 1
    z = torch.tensor([[0.0], [2.0]])
    assert float(likeness(torch.tensor([[0.0, 0], [1, 3]]), z)) == pytest.approx(math.exp(-2))
    assert float(likeness(torch.ones(2, 2), z)) == 1


def test_fedgen_weighs_classifiers_by_their_share_of_a_label() -> None:
    method, hub = FedGen(steps=3, noise=2, hidden=4), small_federation().hub
    server, model = method.init_server(hub, Key(0)), hub.models["mlp"].init(Key(1))
    start = server["generator"]

    def learnt(*sent: tuple[Tree, list[int]]) -> Tree:
        messages = ({"model": model, "counts": torch.tensor(counts, dtype=torch.int32)} for model, counts in sent)
        after: Tree = method.aggregate(server, uploads_of(*messages), TRAIN, hub, Key(0))["generator"]
        return after

    one = learnt((model, [4, 0, 0]))
    # no sample of labels 1 and 2 anywhere: their columns behind two of noise are never drawn, that of label 0 moves
    assert torch.equal(one["one"][:, 3:], start["one"][:, 3:]) and not torch.equal(one["one"][:, 2], start["one"][:, 2])
    two, silent = learnt((model, [3, 0, 0]), (model, [1, 0, 0])), hub.models["mlp"].init(Key(2))
    alone = learnt((model, [4, 0, 0]), (silent, [0, 0, 0]))  # who has no sample of a label has no say
    for name, leaf in one.items():
        assert torch.allclose(leaf, two[name], atol=1e-6) and torch.allclose(leaf, alone[name], atol=1e-6)
