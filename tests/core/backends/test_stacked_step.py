"""One step of many clients: the optimiser as a pure function, lists of tensors under vmap, a masked sample more."""

from __future__ import annotations

import pytest
import torch
from torch.func import vmap

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Local, Net, Optim, Pass, Tensor
from benchmark.core.backends.stacked_step import ForeachAsLoop, StackedStep, distance, with_padding
from benchmark.core.keys import Key
from benchmark.core.models.functional import Model
from benchmark.core.tree import Tree

CPU = torch.device("cpu")


@pytest.mark.parametrize("optim", [Optim(), Optim(momentum=0.9, weight_decay=0.1), Optim("adam", weight_decay=0.1)])
def test_the_optimiser_moves_active_clients_as_optim_does_and_others_not_at_all(optim: Optim) -> None:
    """Both clients have the loss <x, w>, whose gradient x is the batch: 1 for the first, 3 for the second client."""

    class Linear(Algorithm):
        def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
            return (params["classifier.bias"] * batch.x).sum(), {}

    step = StackedStep(Linear(), Model("mlp", (1, 2, 2), 3), Pass(only="classifier.bias"), optim, "fp32", CPU)
    weights = {"classifier.bias": torch.tensor([0.5, -1.0, 2.0])}
    state = step.start(trees.stack([weights, weights]), {}, torch.zeros(2, dtype=torch.int64))
    batch = {"x": torch.tensor([1.0, 3.0]).view(2, 1).expand(2, 3), "y": torch.zeros(2, 1), "rows": torch.zeros(2, 1)}
    rates = {"optim": torch.tensor(0.1), "local": torch.tensor(0.1)}
    own, moments = [trees.copy(weights), trees.copy(weights)], [optim.start(), optim.start()]
    for number in range(4):
        active = torch.tensor([True, number < 2])
        state = step(state, {}, batch, rates, active)
        for client in (0, 1) if number < 2 else (0,):
            gradient = {"classifier.bias": torch.full((3,), [1.0, 3.0][client])}
            moments[client] = optim.apply(own[client], gradient, moments[client], 0.1)
    torch.testing.assert_close(trees.stack(own), state["params"], rtol=0, atol=1e-6)
    assert state["steps"].tolist() == [4, 2]


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_step_computes_in_the_precision_of_the_run(precision: str, kind: torch.dtype) -> None:
    types: set[torch.dtype] = set()

    class Witness(Algorithm):
        def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
            types.add(model(params, batch.x).logits.dtype)
            return super().loss(params, local, batch, model)

    model = Model("mlp", (1, 2, 2), 3)
    step = StackedStep(Witness(), model, Pass(), Optim(), precision, CPU)
    state = step.start(trees.stack([model.init(Key(0))]), {}, torch.zeros(1, dtype=torch.int64))
    labels = torch.zeros(1, 2, dtype=torch.int64)
    batch = {"x": torch.ones(1, 2, 1, 2, 2), "y": labels, "rows": labels}
    moved = step(state, {}, batch, {"optim": torch.tensor(0.1), "local": torch.tensor(0.1)}, torch.tensor([True]))
    assert types == {kind} and {leaf.dtype for leaf in moved["params"].values()} == {torch.float32}


def test_operations_on_lists_work_under_vmap_one_by_one() -> None:
    def moved(a: Tensor, b: Tensor) -> list[Tensor]:
        with ForeachAsLoop():
            return list(torch._foreach_add([a, b], [b, a], alpha=2))

    first, second = vmap(moved)(torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0]))
    assert first.tolist() == [21.0, 42.0] and second.tolist() == [12.0, 24.0]  # a + 2b and b + 2a


def test_a_sample_of_padding_is_masked_and_unlike_the_others() -> None:
    longer = with_padding({"x": torch.zeros(2, 3, 1), "y": torch.ones(2, 3, dtype=torch.int64)})
    assert longer["mask"].tolist() == [[1, 1, 1, 0]] * 2
    assert longer["x"][:, 3].tolist() == [[7], [7]] and longer["y"][0].tolist() == [1, 1, 1, 0]


def test_distance_is_a_share_of_the_way_and_knows_what_is_not_a_number() -> None:
    origin, a, b = ({"w": torch.tensor([value, 0.0])} for value in (1.0, 3.0, 5.0))
    # |3 - 5| / (|5 - 1| + 1e-6 x 5)
    assert distance(a, b, origin) == pytest.approx(0.5, rel=1e-5)
    assert not distance({"w": torch.tensor([float("nan"), 0.0])}, b, origin) < 1e-3
