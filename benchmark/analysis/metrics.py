"""What a record's evaluations tell beside accuracy: each metric with its definition and source."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import hypot
from statistics import fmean, pstdev


def consistency(per_class: Sequence[Sequence[float]]) -> float | None:
    """How alike a model's strengths are from one evaluation to the next.

    The mean over successive evaluations of the cosine between their vectors of accuracies per class. 1 means that no
    class is gained at another's cost.

    Args:
        per_class: Accuracies of all classes in [0, 1], for each evaluation in the order of rounds.

    Returns:
        A number in [0, 1]; None if no two successive evaluations have a class above zero.

    Source: Lee et al. 2022 (FedNTD), figure on the prediction consistency between rounds.
    """
    cosines = [
        sum(old * new for old, new in zip(before, after, strict=True)) / (hypot(*before) * hypot(*after))
        for before, after in pairwise(per_class)
        if any(before) and any(after)
    ]
    return fmean(cosines) if cosines else None


def worst_class(per_class: Sequence[float]) -> float:
    """Accuracy of the class that a model knows least.

    Args:
        per_class: Accuracies of all classes in [0, 1] of one evaluation.
    """
    return min(per_class)


def spread(clients: Sequence[float]) -> float:
    """Standard deviation of accuracy over all clients: 0 if everyone is served alike.

    Args:
        clients: Accuracy of every client's model in [0, 1] of one evaluation.

    Source: Li et al. 2020 (q-FFL), who report the variance.
    """
    return pstdev(clients)


def worst_tenth(clients: Sequence[float]) -> float:
    """Mean accuracy of the tenth of all clients, rounded up, whose models do worst.

    Args:
        clients: Accuracy of every client's model in [0, 1] of one evaluation.

    Source: Li et al. 2020 (q-FFL), "worst 10 %".
    """
    return fmean(sorted(clients)[: -(-len(clients) // 10)])


def gains(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """What every client gained.

    Args:
        before: Accuracy of every client's model before it was adapted, for example the common model's.
        after: Accuracy afterwards, in the same order of clients.
    """
    return [new - old for old, new in zip(before, after, strict=True)]


def share_gaining(before: Sequence[float], after: Sequence[float]) -> float:
    """Share of clients whose model became better at all.

    Args:
        before: Accuracy of every client's model before it was adapted, for example the common model's.
        after: Accuracy afterwards, in the same order of clients.

    Source: Yu, Bagdasaryan & Shmatikov 2020.
    """
    return fmean(gain > 0 for gain in gains(before, after))
