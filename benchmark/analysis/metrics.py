"""What a record tells beside accuracy, forgetting and bytes: each metric with its definition and source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from statistics import fmean, pstdev

from benchmark.records.record import Result


@dataclass(frozen=True)
class Metric:
    """A number of one run, and a column of the report and the CSV.

    Attributes:
        name: The column of the CSV.
        head: Its head in the report.
        unit: Its unit, "" where it has none.
        digits: Decimals that the report shows.
        of: The number; None where the record does not hold what it takes.
        definition: What it is, in a phrase.
        source: Where it was defined, "" where nobody needs to be named.
    """

    name: str
    head: str
    unit: str
    digits: int
    of: Callable[[Result], float | None]
    definition: str
    source: str = ""


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


def _clients(result: Result, of: Callable[[Sequence[float]], float]) -> float | None:
    """A metric of the clients' accuracies at the end, in %."""
    clients = result.evaluations[-1].clients
    return None if clients is None else 100 * of(clients)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _client_images(result: Result) -> float | None:
    return sum(sum(phase.images.values()) for phase in result.budget) / 1e3 if result.budget else None


def _server_images(result: Result) -> float | None:
    return sum(sum(phase.server.values()) for phase in result.budget) / 1e3 if result.budget else None


METRICS = (
    Metric(
        "consistency", "Consistency", "", 3, lambda result: consistency([one.per_class for one in result.evaluations]),
        "mean cosine between the accuracies per class of successive evaluations; 1: no class gains at another's cost",
        "Lee et al. 2022 (FedNTD)",
    ),
    Metric(
        "worst_class", "Worst class", "%", 1, lambda result: 100 * worst_class(result.evaluations[-1].per_class),
        "final accuracy of the class that is known least",
    ),
    Metric(
        "client_spread", "Spread over clients", "points", 1, lambda result: _clients(result, spread),
        "standard deviation of the final accuracy over clients, each on its own labels; track personal",
        "Li et al. 2020 (q-FFL), who report the variance",
    ),
    Metric(
        "worst_tenth", "Worst tenth of clients", "%", 1, lambda result: _clients(result, worst_tenth),
        "mean final accuracy of the tenth of the clients that do worst; track personal", "Li et al. 2020 (q-FFL)",
    ),
    Metric(
        "gain", "Gain by adapting", "points", 1, lambda result: 100 * result.personal.gain if result.personal else None,
        "mean over clients of the accuracy after adapting the common model minus before", "Yu et al. 2020",
    ),
    Metric(
        "share_gaining", "Clients that gain", "%", 0,
        lambda result: 100 * result.personal.share_gaining if result.personal else None,
        "share of clients whose accuracy adapting raises", "Yu et al. 2020",
    ),
    Metric(
        "nll", "Log loss", "nats", 3, lambda result: result.evaluations[-1].nll,
        "mean of -log p of the true class at the end; protocol 2",
    ),
    Metric(
        "ece", "Calibration error", "%", 1, lambda result: _scaled(result.evaluations[-1].ece, 100),
        "expected calibration error over 15 bins of confidence at the end; protocol 2", "Guo et al. 2017",
    ),
    Metric(
        "gradient_diversity", "Gradient diversity", "Λ", 3,
        lambda result: _mean([one.gradient_diversity for one in result.evaluations]),
        "mean over judged rounds of Σ p‖Δ‖² / ‖Σ p Δ‖², Δ being what a client changed and p its share of the cohort's "
        "images; 1: all move alike; protocol 2", "Lee et al. 2022 (FedNTD), section 2.3",
    ),
    Metric(
        "weight_divergence", "Weight divergence", "", 3,
        lambda result: _mean([one.weight_divergence for one in result.evaluations]),
        "mean over judged rounds and clients of ‖Δ‖; protocol 2", "Lee et al. 2022 (FedNTD)",
    ),
    Metric(
        "angle_within", "Angle within classes", "°", 1,
        lambda result: result.representation.angle_within if result.representation else None,
        "mean angle between the features of two test images of one class; track unsupervised", "Han et al. 2022 (FedX)",
    ),
    Metric(
        "angle_between", "Angle between classes", "°", 1,
        lambda result: result.representation.angle_between if result.representation else None,
        "the same of two classes", "Han et al. 2022 (FedX)",
    ),
    Metric(
        "delivery_mb", "One-off delivery", "MB", 2, lambda result: _scaled(result.bytes.delivery, 1e-6),
        "public images, as they are stored, to every client that was fed any; not in the other MB; protocol 2",
    ),
    Metric(
        "client_images", "Images at clients", "thousand", 0, _client_images,
        "images fed to the losses of all clients in the whole run; protocol 2",
    ),
    Metric(
        "server_images", "Images at the server", "thousand", 0, _server_images,
        "images that the server read; protocol 2",
    ),
)  # fmt: skip
"""All of them, in the order of their columns."""
