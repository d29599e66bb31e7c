"""Losses against hand numbers, loops and torch; padding changes nothing, also under vmap(grad)."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, grad_and_value, vmap

from benchmark.core import ops
from benchmark.core.keys import Key

B, C = 5, 4
GENERATOR = Key(0)("ops").torch()
LOGITS, OTHERS = (torch.randn(B, C, generator=GENERATOR) for _ in range(2))
LABELS = torch.tensor([0, 3, 1, 1, 2])
MASK = torch.ones(B)
Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]  # of x, another (B, C), labels, mask

LOSSES: dict[str, Loss] = {
    "cross_entropy": lambda x, o, y, m: ops.cross_entropy(x, y, m),
    "soft_cross_entropy": lambda x, o, y, m: ops.soft_cross_entropy(x, o.softmax(-1), m),
    "kl": lambda x, o, y, m: ops.kl(o, x, 2.0, m),
    "not_true": lambda x, o, y, m: ops.kl(ops.not_true(o, y), ops.not_true(x, y), 3.0, m),
    "by_label": lambda x, o, y, m: (ops.by_label(x, y, C, m)[0] * torch.arange(4.0)).square().sum(),
    "nt_xent": lambda x, o, y, m: ops.nt_xent(x, o, 0.5, m),
    "info_nce": lambda x, o, y, m: ops.info_nce(x, o, LOGITS, 0.5, m),
    "relational": lambda x, o, y, m: ops.relational(x, o, LOGITS, 0.1, 0.2, mask=m),
    "textbook": lambda x, o, y, m: ops.relational(x, o, LOGITS, 0.1, 0.2, textbook=True, mask=m),
    "mean": lambda x, o, y, m: ops.mean(x.square().sum(-1), m),
    "sharpen": lambda x, o, y, m: ops.mean((ops.sharpen(x.softmax(-1), 0.1) * o).sum(-1), m),
}


def padded(x: Tensor) -> Tensor:
    """Three rows more, of zeros."""
    return torch.cat([x, torch.zeros(3, *x.shape[1:], dtype=x.dtype)])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_padded_batch_has_the_loss_and_gradient_of_the_batch(loss: Loss) -> None:
    def of(x: Tensor, o: Tensor, y: Tensor, m: Tensor | None) -> tuple[Tensor, Tensor]:
        leaf = x.clone().requires_grad_()
        value = loss(leaf, o, y, m)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    plain, gradient = of(LOGITS, OTHERS, LABELS, None)
    longer = padded(LOGITS), padded(OTHERS), padded(LABELS), padded(MASK)
    for arguments in ((LOGITS, OTHERS, LABELS, MASK), longer):
        value, masked = of(*arguments)
        assert torch.isfinite(masked).all()
        torch.testing.assert_close(value, plain)
        torch.testing.assert_close(masked[:B], gradient)
        assert not masked[B:].any()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradients_of_many_clients_at_once_are_those_of_each(loss: Loss) -> None:
    xs = torch.stack([LOGITS, OTHERS, LOGITS - OTHERS])
    others, labels = torch.stack([OTHERS, LOGITS, OTHERS]), torch.stack([LABELS, LABELS.flip(0), LABELS])
    masks = torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    together = vmap(grad(loss))(xs, others, labels, masks)
    for one, arguments in zip(together, zip(xs, others, labels, masks, strict=True), strict=True):
        torch.testing.assert_close(one, grad(loss)(*arguments))


def test_cross_entropy_by_hand() -> None:
    # softmax of (0, ln 3) is (1/4, 3/4): the losses are ln 4 and ln 4/3.
    logits = torch.tensor([[0.0, math.log(3)]] * 2)
    labels = torch.tensor([0, 1])
    assert ops.cross_entropy(logits, labels).item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    assert ops.cross_entropy(logits, labels, torch.tensor([0.0, 1.0])).item() == pytest.approx(math.log(4 / 3))
    targets = torch.tensor([[0.5, 0.5], [0.0, 0.0]])  # the second has no teacher
    expected = (0.5 * math.log(4) + 0.5 * math.log(4 / 3)) / 2
    assert ops.soft_cross_entropy(logits, targets).item() == pytest.approx(expected)


def test_one_hot_targets_make_the_soft_loss_the_hard_one() -> None:
    assert torch.equal(ops.one_hot(LABELS, C), F.one_hot(LABELS, C).float())
    assert ops.one_hot(torch.tensor([[-1, 2]]), 3).tolist() == [[[0, 0, 0], [0, 0, 1]]]
    soft = ops.soft_cross_entropy(LOGITS, ops.one_hot(LABELS, C))
    torch.testing.assert_close(soft, F.cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
def test_kl_is_batchmean_of_torch(tau: float) -> None:
    expected = F.kl_div(F.log_softmax(OTHERS / tau, -1), F.softmax(LOGITS / tau, -1), reduction="batchmean")
    torch.testing.assert_close(ops.kl(LOGITS, OTHERS, tau), expected)
    assert ops.kl(LOGITS, LOGITS, tau).item() == 0


def test_kl_by_hand_and_its_direction() -> None:
    teacher, student = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])
    # KL((1/4, 3/4) || (1/2, 1/2)) = 1/4 ln 1/2 + 3/4 ln 3/2; the other way it is 1/2 ln 2 + 1/2 ln 2/3
    assert ops.kl(teacher, student).item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert ops.kl(student, teacher).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))


def test_the_true_class_is_left_out_and_the_rest_keeps_its_order() -> None:
    logits = torch.arange(12.0).reshape(3, 4)
    assert ops.not_true(logits, torch.tensor([0, 2, 3])).tolist() == [[1, 2, 3], [4, 5, 7], [8, 9, 10]]


def test_sums_and_counts_by_label() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    sums, counts = ops.by_label(values, torch.tensor([2, 0, 2]), 3)
    assert sums.tolist() == [[3, 4], [0, 0], [6, 8]] and counts.tolist() == [1, 0, 2]
    sums, counts = ops.by_label(values, torch.tensor([2, 0, 2]), 3, torch.tensor([1.0, 1.0, 0.0]))
    assert sums.tolist() == [[3, 4], [0, 0], [1, 2]] and counts.tolist() == [1, 0, 1]


def test_nt_xent_is_its_loop() -> None:
    tau, views = 0.3, [*LOGITS, *OTHERS]
    total = 0.0
    for i, view in enumerate(views):
        cosines = {j: F.cosine_similarity(view, other, dim=0).item() / tau for j, other in enumerate(views) if j != i}
        total -= cosines[(i + B) % (2 * B)] - math.log(sum(map(math.exp, cosines.values())))
    assert ops.nt_xent(LOGITS, OTHERS, tau).item() == pytest.approx(total / (2 * B), rel=1e-5)


def test_info_nce_is_its_loop() -> None:
    total = 0.0
    for query, key in zip(LOGITS, OTHERS, strict=True):
        cosines = [F.cosine_similarity(query, other, dim=0).item() / 0.2 for other in (key, *LOGITS)]
        total -= cosines[0] - math.log(sum(map(math.exp, cosines)))
    assert ops.info_nce(LOGITS, OTHERS, LOGITS, 0.2).item() == pytest.approx(total / B, rel=1e-5)


def test_means_by_hand() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    assert ops.mean(values).item() == 3
    assert ops.mean(values, torch.tensor([1.0, 1.0, 0.0])).item() == 1.5
    assert ops.mean(values, torch.zeros(3)).item() == 0
    assert ops.mean_of([torch.tensor([1.0]), torch.tensor([4.0])], [1, 2]).item() == 3
    many = [torch.tensor(value) for value in (1e8, 1.0, 1.0, -1e8)]  # 0.5 only if accumulated in float64
    assert ops.mean_of(many).item() == 0.5


def test_sharpening_by_hand() -> None:
    # softmax((0.6, 0.4) / 0.1) = 1 / (1 + e^-2), the rest
    sharp = ops.sharpen(torch.tensor([0.6, 0.4]), 0.1)
    torch.testing.assert_close(sharp, torch.tensor([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))]))


@pytest.mark.parametrize("textbook", [False, True])
@pytest.mark.parametrize("tau", [1e-3, 5e-3, 1e-2, 1e3])
def test_relational_is_finite_over_the_range_of_its_temperatures(tau: float, textbook: bool) -> None:
    draw = Key(0)("relational").torch()
    u, v, anchors = (torch.randn(4, 6, generator=draw) for _ in range(3))
    slope, value = grad_and_value(lambda u: ops.relational(u, v, anchors, tau, tau, textbook))(u)
    assert value.isfinite() and slope.isfinite().all()


def test_relational_where_the_middle_underflows_is_its_limit() -> None:
    # Anchors at cosines 1 and -1 of u and -1 and 1 of v; r = softmax(cosine / 2) has p = 1 / (1 + 1 / e) at the first
    # anchor for u and at the second for v. With targets at 0.001, M of u and v is (1/2, 1/2) and M of u and u (1, 0).
    # KL((1/2, 1/2) || r) = -log 2 - (log p + log(1 - p)) / 2, and KL((1, 0) || r) = -log p.
    u, v, anchors = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    p = 1 / (1 + math.exp(-1.0))
    apart = -math.log(2) - (math.log(p) + math.log(1 - p)) / 2
    assert float(ops.relational(u, v, anchors, 2.0, 1e-3)) == pytest.approx(apart, rel=1e-5)
    assert float(ops.relational(u, u, anchors, 2.0, 1e-3)) == pytest.approx(-math.log(p), rel=1e-5)


@pytest.mark.parametrize("tau", [1e-3, 1.0, 20.0])
def test_distillation_at_extreme_temperatures_has_a_finite_gradient(tau: float) -> None:
    teacher, student = torch.tensor([[1e4, 0.0, -1e4]]), torch.tensor([[-1e4, 1e4, 0.0]])
    slope, value = grad_and_value(lambda logits: ops.kl(teacher, logits, tau))(student)
    assert value.isfinite() and slope.isfinite().all()


def test_means_of_integers_are_rounded_and_not_cut() -> None:
    assert ops.mean_of([torch.tensor([1, 2, 3, 7, -5])] * 10).tolist() == [1, 2, 3, 7, -5]
    assert ops.mean_of([torch.tensor([1, 2]), torch.tensor([2, 5])], [1, 2]).tolist() == [2, 4]  # 5/3 and 4
