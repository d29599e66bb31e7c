"""Several named networks as one: prefixes, keys, buffers, and calls that name none."""

from __future__ import annotations

import pytest
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.models.functional import EvalModeModel, Model, TrainModeModel, compare_shapes
from benchmark.core.models.several import SeveralModels

SHAPE, CLASSES = (1, 4, 4), 3
X = torch.randn(5, *SHAPE, generator=Key(0).torch())


def pair(first: str = "mlp", second: str = "mlp_bn") -> tuple[SeveralModels, Model, Model]:
    one, two = Model(first, SHAPE, CLASSES), Model(second, SHAPE, CLASSES)
    return SeveralModels({"own": one, "shared": two}), one, two


def test_a_named_network_is_the_network_under_other_names() -> None:
    both, one, two = pair()
    params = both["own"].init(Key(1)) | both["shared"].init(Key(2))
    assert params.keys() == both.names and both.size == one.size + two.size
    assert torch.equal(params["own.classifier.weight"], one.init(Key(1))["classifier.weight"])
    assert torch.equal(both["own"].frozen(params, X).logits, one.frozen(one.init(Key(1)), X).logits)
    assert torch.equal(both["shared"].frozen(params, X).logits, two.frozen(two.init(Key(2)), X).logits)
    assert both["shared"].weights(params).keys() == {f"shared.{name}" for name in two.names - two.buffers}


def test_initial_numbers_of_each_have_a_key_of_their_own() -> None:
    both, one, _ = pair("mlp", "mlp")
    params = both.init(Key(1))
    assert not torch.equal(params["own.classifier.weight"], params["shared.classifier.weight"])
    assert torch.equal(params["own.classifier.weight"], one.init(Key(1)("own"))["classifier.weight"])


def test_running_statistics_of_a_named_network_are_updated() -> None:
    both, _, two = pair()
    params, model = both.init(Key(0)), TrainModeModel(both)
    model["shared"](params, X)
    alone = TrainModeModel(two)
    alone(two.init(Key(0)("shared")), X)
    assert model.updated_buffers.keys() == {f"shared.{name}" for name in two.buffers}
    assert all(torch.equal(model.updated_buffers[f"shared.{n}"], leaf) for n, leaf in alone.updated_buffers.items())
    assert torch.equal(EvalModeModel(both)["shared"](params, X).logits, both["shared"].frozen(params, X).logits)


def test_a_call_has_to_name_a_network() -> None:
    both, one, _ = pair()
    with pytest.raises(BenchmarkError, match=r"several networks \('own', 'shared'\), and a call names none"):
        both.frozen(both.init(Key(0)), X)
    with pytest.raises(BenchmarkError, match="network mlp has no parts"):
        one["own"]


def test_shapes_are_compared_with_the_declared_network() -> None:
    """mlp has 64 hidden units, mlp_wide 256; an entry that the network does not have is the method's own."""
    _, one, _ = pair()
    compare_shapes(one, one.init(Key(0)) | {"own.weight": torch.zeros(7)}, "the model")
    wide = Model("mlp_wide", SHAPE, CLASSES).init(Key(0))
    message = r"linear_1.weight of the model has shape \(256, 16\), in mlp it has \(64, 16\)"
    with pytest.raises(BenchmarkError, match=message):
        compare_shapes(one, wide, "the model")
