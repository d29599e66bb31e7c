"""Drift of a round's clients against numbers derived by hand."""

from __future__ import annotations

from math import sqrt

import pytest
import torch

from benchmark.core.server.metrics import drift
from benchmark.core.tree import Tree


def model(*weights: float, statistic: float = 0.0) -> Tree:
    """A model of two tensors that train, the last weight alone in one of them, and a running statistic."""
    return {"a": torch.tensor(weights[:-1]), "b": torch.tensor(weights[-1:]), "mean": torch.tensor([statistic])}


START = model(1.0, 2.0, 3.0)


def test_clients_that_move_alike_have_a_diversity_of_one() -> None:
    moved = model(1.0, 2.0, 3.0 + 0.5)
    found = drift([START] * 3, [moved] * 3, [1, 1, 2], ("a", "b"))
    assert found == (pytest.approx(1.0), pytest.approx(0.5))


def test_diversity_and_divergence_by_hand() -> None:
    # Changes (3, 0, 0) of 10 images and (0, 0, 4) of 30: p = 1/4, 3/4. Sum p |d|^2 = 9/4 + 12 = 14.25. The mean change
    # is (0.75, 0, 3), its square 0.5625 + 9 = 9.5625. Mean norm (3 + 4) / 2.
    found = drift([START, START], [model(4.0, 2.0, 3.0, statistic=9.0), model(1.0, 2.0, 7.0)], [10, 30], ("a", "b"))
    assert found == (pytest.approx(14.25 / 9.5625), pytest.approx(3.5))
    # right angles and equal sizes: (1/2 + 1/2) / |(1/2, 1/2)|^2 = 2, as many as there are clients
    found = drift([START, START], [model(2.0, 2.0, 3.0), model(1.0, 3.0, 3.0)], [5, 5], ("a", "b"))
    assert found == (pytest.approx(2.0), pytest.approx(1.0))


def test_every_client_is_measured_from_what_it_received() -> None:
    # Both move by (1, 1, 0), from different places.
    other = model(5.0, 5.0, 5.0)
    found = drift([START, other], [model(2.0, 3.0, 3.0), model(6.0, 6.0, 5.0)], [1, 1], ("a", "b"))
    assert found == (pytest.approx(1.0), pytest.approx(sqrt(2)))


def test_no_change_and_changes_that_cancel_have_no_diversity() -> None:
    assert drift([START, START], [START, START], [1, 1], ("a", "b")) is None
    assert drift([START, START], [model(2.0, 2.0, 3.0), model(0.0, 2.0, 3.0)], [1, 1], ("a", "b")) is None
