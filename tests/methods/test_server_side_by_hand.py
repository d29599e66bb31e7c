"""FedDF's distillation step by step: its start, its schedule, whom it asks and when it stops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from algorithms import feddf
from algorithms.feddf import FedDF, better
from benchmark.core import tree as trees
from benchmark.core.api import Batch, Hub, Phase, Tree, Upload, Who
from benchmark.core.keys import Key
from benchmark.core.models.build import build
from helpers.small_federation import small_federation

TRAIN = Phase("train", 1)
SHAPE = (1, 8, 8)


def hub(**changes: Any) -> Hub:
    return small_federation(public=12, validation=12, **changes).hub


def uploads(view: Hub, *sizes: int) -> list[Upload]:
    """Fresh models of the first architecture, from clients of so many samples."""
    (arch, model), *_ = view.models.items()
    return [Upload(Who(i, arch, size), {"model": model.init(Key(i))}) for i, size in enumerate(sizes)]


def student(method: FedDF, view: Hub, sent: list[Upload]) -> Tree:
    """After one round that began with a model of nobody's."""
    models = {arch: model.init(Key(99)) for arch, model in view.models.items()}
    (after,) = method.aggregate({"models": models}, sent, TRAIN, view, Key(0))["models"].values()
    return dict(after)


def close(a: Tree, b: Tree, atol: float = 1e-6) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[name], b[name], atol=atol) for name in a)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[float], list[Tree]]]:
    """Accuracies to come, to be filled in by the test, and the students that were judged."""
    course: list[float] = []
    students: list[Tree] = []

    def judge(model: Any, params: Tree, data: Any) -> float:
        students.append(trees.copy(params))
        return course[len(students) - 1]

    monkeypatch.setattr(feddf, "judge", judge)
    yield course, students


@pytest.mark.parametrize(("uniform", "shares"), [(False, (0.25, 0.75)), (True, (0.5, 0.5))])
def test_the_student_starts_from_the_clients_mean(uniform: bool, shares: tuple[float, float]) -> None:
    view = hub()
    sent = uploads(view, 4, 12)  # at rate zero it stays there
    expected = trees.total([upload.message["model"] for upload in sent], shares)
    assert close(student(FedDF(steps=1, lr=0.0, uniform=uniform), view, sent), expected)


def test_dropped_teachers_count_neither_in_the_mean_nor_in_the_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    view = hub()
    sent = uploads(view, 8, 8)
    monkeypatch.setattr(feddf, "better", lambda uploads, hub: uploads[1:])
    assert close(student(FedDF(steps=3, drop_worst=True), view, sent), student(FedDF(steps=3), view, sent[1:]))


def test_distillation_is_adam_whose_rate_falls_along_a_cosine() -> None:
    # in N = 3 steps: 1, (1 + cos 60 degrees) / 2 = 3/4 and (1 + cos 120 degrees) / 2 = 1/4 of the rate
    view, method = hub(networks=("resnet8",), shape=SHAPE), FedDF(steps=3, batch=12, lr=0.01, clip=1e9)
    sent, data = uploads(view, 8, 8), view.unlabelled
    assert data is not None
    net = build("resnet8", SHAPE, 3)
    net.load_state_dict(trees.mean([upload.message["model"] for upload in sent]), strict=False)
    adam = torch.optim.Adam(net.parameters())
    models, x = [upload.message["model"] for upload in sent], data.inputs()  # the whole set is one batch
    teacher = torch.stack([view.models["resnet8"].frozen(model, x).logits for model in models]).mean(0).softmax(-1)
    for share in (1, 0.75, 0.25):
        for group in adam.param_groups:
            group["lr"] = 0.01 * share
        adam.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(net(x).logits, teacher))
        adam.step()
    # Adam divides by the root of a gradient's square: rounding grows where that is near zero
    assert close(student(method, view, sent), dict(net.state_dict()), atol=1e-3)


def test_the_best_student_of_all_checks_is_kept(judged: tuple[list[float], list[Tree]]) -> None:
    course, students = judged
    course += [0.5, 0.75, 0.25]  # after 2, 4 and 5 of 5 steps
    view = hub()
    after = student(FedDF(steps=5, check=2, batch=4), view, uploads(view, 8, 8))
    assert len(students) == 3
    assert close(after, students[1]) and not close(after, students[2])


@pytest.mark.parametrize(
    ("course_", "checks"),
    [((0.5, 0.4, 0.4, 0.4), 4), ((0.1, 0.2, 0.3, 0.2, 0.2, 0.2), 6)],  # three steps after the best one
)
def test_patience_counts_from_the_last_gain(
    course_: tuple[float, ...], checks: int, judged: tuple[list[float], list[Tree]]
) -> None:
    course, students = judged
    course += [*course_, *[0.0] * 10]
    view = hub()
    student(FedDF(steps=10, check=1, patience=3, batch=4), view, uploads(view, 8, 8))
    assert len(students) == checks


def test_outliers_among_teachers_are_dropped(judged: tuple[list[float], list[Tree]]) -> None:
    # nine at 0.9 and one at 0.5, above 1.2 / 3: mean 0.86, deviation 0.4 * sqrt(0.9 * 0.1) = 0.12, floor 0.68
    course, _ = judged
    course += [0.9] * 9 + [0.5]
    view = hub()
    sent = uploads(view, *[8] * 10)
    assert better(sent, view) == sent[:9]


@pytest.mark.parametrize("augment", [False, True])
def test_the_ensemble_answers_to_what_the_student_sees(augment: bool) -> None:
    """Augmented images are asked about as they are; stored ones were asked about beforehand."""
    view = hub()
    (only,), data = uploads(view, 8), view.unlabelled
    assert data is not None
    rows = torch.tensor([3, 1])
    shown = data.inputs(rows)
    images, logits = FedDF(augment=augment)._teacher([only], view, Key(0))(Batch(shown + 1, rows, rows))
    answers = view.models["mlp"].frozen(only.message["model"], images if augment else shown).logits
    assert torch.equal(images, shown + 1)
    torch.testing.assert_close(logits, answers)


def test_noise_is_drawn_anew_and_shown_to_both() -> None:
    view = hub()
    (only,), seen = uploads(view, 8), []
    teacher = FedDF(source="noise")._teacher([only], view, Key(0))
    for _ in range(2):
        images, logits = teacher(Batch(torch.zeros(64, 1, 4, 4), torch.zeros(64), torch.arange(64)))
        torch.testing.assert_close(logits, view.models["mlp"].frozen(only.message["model"], images).logits)
        # 1024 draws of deviation 1: their deviation is known to 1 / sqrt(2 * 1024)
        assert float(images.std()) == pytest.approx(1, abs=5 / math.sqrt(2048))
        seen.append(images)
    assert not torch.equal(*seen)
