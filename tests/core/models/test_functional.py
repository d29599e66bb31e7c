"""Models as functions: nothing stays in the module, buffers move in training alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.core import tree
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.models import functional as models
from benchmark.core.models.functional import EvalModeModel, Model, TrainModeModel

SHAPE = (1, 8, 8)
X = torch.randn(6, *SHAPE, generator=Key(0)("x").torch())


@pytest.fixture(scope="module")
def resnet() -> Model:
    return Model("resnet8", SHAPE, 3)


def test_initial_parameters_come_from_the_key_alone(resnet: Model) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = resnet.init(Key(0)("model"))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = resnet.init(Key(0)("model")), resnet.init(Key(1)("model"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in resnet.weights(first))


def test_weights_are_what_trains(resnet: Model) -> None:
    params = resnet.init(Key(0))
    assert resnet.buffers and not resnet.buffers & resnet.weights(params).keys()
    assert resnet.buffers | resnet.weights(params).keys() == params.keys()


def test_frozen_needs_no_gradient_and_moves_nothing(resnet: Model) -> None:
    params = tree.map(lambda leaf: leaf.requires_grad_() if leaf.is_floating_point() else leaf, resnet.init(Key(0)))
    copies = tree.copy(params)
    output = resnet.frozen(params, X)
    assert not output.logits.requires_grad and torch.equal(output.logits, resnet.frozen(params, X).logits)
    assert all(torch.equal(params[name], copies[name]) for name in params)


def test_training_moves_buffers_as_the_module_itself_does(resnet: Model) -> None:
    params = resnet.init(Key(0))
    copies = tree.copy(params)
    output, moved = resnet.train(params, X)
    assert moved.keys() == resnet.buffers and all(torch.equal(params[name], copies[name]) for name in params)
    module = Model("resnet8", SHAPE, 3).module.train()
    module.load_state_dict(params, strict=False)  # torch looks for its step counters, which we leave out
    torch.testing.assert_close(module(X).logits.detach(), output.logits)
    for name, value in module.named_buffers():
        torch.testing.assert_close(moved[name], value)


def test_a_tape_goes_on_from_the_buffers_of_its_first_call(resnet: Model) -> None:
    params = resnet.init(Key(0))
    tape = TrainModeModel(resnet)
    tape(params, X)
    tape(params, X + 1)
    _, once = resnet.train(params, X)
    _, twice = resnet.train({**params, **once}, X + 1)
    assert all(torch.equal(tape.updated_buffers[name], twice[name]) for name in twice)
    assert any(not torch.equal(once[name], twice[name]) for name in once)


def test_a_model_that_only_looks_answers_as_frozen(resnet: Model) -> None:
    params = resnet.init(Key(0))
    resnet.train(params, X)  # leaves the module in training mode
    assert torch.equal(EvalModeModel(resnet)(params, X).logits, resnet.frozen(params, X).logits)


def test_two_calls_leave_no_trace_in_the_module(resnet: Model) -> None:
    before = {name: value.clone() for name, value in resnet.module.state_dict().items()}
    resnet.train(resnet.init(Key(5)), X)
    resnet.frozen(resnet.init(Key(6)), X)
    assert all(torch.equal(value, before[name]) for name, value in resnet.module.state_dict().items())


def test_dropout_is_known_and_its_absence_too() -> None:
    assert Model("fedmd_0", SHAPE, 3).random and not Model("mlp", SHAPE, 3).random


def test_given_parameters_replace_random_ones() -> None:
    initial = Model("mlp", SHAPE, 3).init(Key(3))
    replay = Model("mlp", SHAPE, 3, initial)
    first = replay.init(Key(0))
    first[next(iter(first))].zero_()
    second = replay.init(Key(1))
    assert all(torch.equal(second[name], initial[name]) for name in initial)


class Constant(nn.Module):
    """A network with a constant of its own, which is no part of its state."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)
        self.linear = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> Output:
        return Output(self.linear(x.flatten(1)) * self.scale, x.flatten(1))


def test_constants_of_a_module_are_neither_sent_nor_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "build", lambda *_: Constant())
    model = Model("constant", SHAPE, 3)
    params = model.init(Key(0))
    assert set(params) == {"linear.weight", "linear.bias"} and not model.buffers
    assert model(params, X).logits.shape == (6, 3)


def test_one_image_leaves_batchnorm_s_statistics_and_is_answered_by_them() -> None:
    model = Model("mlp_bn", SHAPE, 3)
    params = model.init(Key(0))
    leaves = {name: leaf.requires_grad_() for name, leaf in model.weights(params).items()}
    output, moved = model.train({**params, **leaves}, X[:1])
    assert torch.equal(output.logits, model.frozen(params, X[:1]).logits)
    assert moved.keys() == model.buffers and all(torch.equal(moved[name], params[name]) for name in moved)
    assert torch.autograd.grad(output.logits.sum(), list(leaves.values()))[0].abs().sum() > 0  # a step is possible
    with pytest.raises(ValueError, match="parameters of mlp_bn are missing"):
        model.train({}, X[:1])


def test_a_variance_below_zero_counts_as_zero() -> None:
    model = Model("mlp_bn", SHAPE, 3)
    params = model.init(Key(0))
    name = model.variances[0]
    below, zero = ({**params, name: torch.full_like(params[name], value)} for value in (-0.05, 0.0))
    assert model.frozen(below, X).logits.isfinite().all()
    assert torch.equal(model.frozen(below, X).logits, model.frozen(zero, X).logits)
    assert below[name].max() < 0  # what was given stays as it was
