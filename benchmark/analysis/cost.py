"""What a cell of a task costs on any machine: the images that its clients train on."""

from __future__ import annotations

from benchmark.core.data.loading import info_of
from benchmark.core.tasks.task import Task


def client_images(task: Task) -> float:
    """Training images of the mean client."""
    split = task.split
    match split.kind:
        case "labels_removed" | "drawn":
            return split.per_client
        case "dirichlet_sampled":
            return split.most * len(info_of(task.located(task.dataset)).classes) / task.clients
        case "few_per_class":
            return split.per_class * len(split.classes)
        case "superclass":
            return split.per_class * len(split.superclasses)
    return info_of(task.located(task.dataset)).splits["train"].n / task.clients


def training_images(task: Task) -> float:
    """Images of one seed's local training with one pass per round, as FedAvg does it."""
    train = task.train
    visit = train.steps * train.batch if train.steps else train.epochs * client_images(task)
    return task.rounds * task.cohort * visit
