"""What a task allows a method to use up; what goes beyond is refused where it happens, whatever the method promised.

The numbers that a method needs beside the task's are fields of its class, so that a record names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.requirements import FURTHER_ROUNDS

if TYPE_CHECKING:
    from benchmark.core.api import Algorithm, Pass, Phase, Training
    from benchmark.core.tasks.task import Task

GRADIENTS = 2  # of one step: APFL moves two models on a batch
HINT = "keep to the task's budget, and make a number of epochs or steps of your own a field of the class"


class BudgetExceeded(BenchmarkError):
    """A method uses up more than its task allows."""

    def __init__(self, message: str, *, where: str = "", hint: str = HINT) -> None:
        super().__init__(message, where=where, hint=hint, user=False)


def check_phases(phases: Sequence[Phase], task: Task) -> None:
    """Refuse phases with more rounds than the task's, or with rounds of everyone, but for a few before and after.

    Args:
        phases: The method's phases.
        task: The task.

    Raises:
        BudgetExceeded: If there are more than `FURTHER_ROUNDS` rounds beyond the task's, or more of everyone.
    """
    total = sum(phase.rounds for phase in phases)
    everyone = sum(phase.rounds for phase in phases if phase.everyone)
    if total > task.rounds + FURTHER_ROUNDS:
        message = f"phases: {total} rounds where the task has {task.rounds}"
        raise BudgetExceeded(message, hint=f"a method may add {FURTHER_ROUNDS}, before or after")
    if everyone > FURTHER_ROUNDS and task.cohort < task.clients:
        message = f"phases: {everyone} rounds of all {task.clients} clients where the task's have {task.cohort}"
        raise BudgetExceeded(message, hint=f"everyone may take part in {FURTHER_ROUNDS} rounds, before or after")


def check_network(arch: str, declared: str | Mapping[str, str]) -> None:
    """Refuse another network in place of the task's, but for heads: `mlp+projection` for `mlp`.

    Several networks by name are what a method is about; they are declared, as boards and records know them.
    """
    if isinstance(declared, str) and declared != arch and not declared.startswith(f"{arch}+"):
        message = f"network: {declared} in place of the task's {arch}"
        raise BudgetExceeded(message, hint=f"return {arch}, or {arch}+HEAD")


def check_gradients(count: int, where: str) -> None:
    """Refuse a step that computes more than `GRADIENTS` gradients."""
    if count > GRADIENTS:
        message = f"a step computes {count} gradients of a batch, where {GRADIENTS} are allowed"
        raise BudgetExceeded(message, where=where, hint="one step per batch: leave training to passes")


def allowed_updates(run: Pass, size: int, train: Training, settings: Sequence[Any]) -> int:
    """Optimiser steps that a pass may take: by the task's numbers, or by numbers that fields of the class hold.

    Args:
        run: The pass.
        size: Images of its stream.
        train: What the task prescribes.
        settings: Values of the method's fields.
    """
    batch, epochs, steps = (number if number in settings else None for number in (run.batch, run.epochs, run.steps))
    if steps:
        return steps
    if train.steps and not epochs:
        return train.steps
    batch = batch or train.batch
    per_epoch = max(1, size // max(1, batch // 2)) if run.stream == "views" else -(-size // batch)
    return (epochs or train.epochs) * per_epoch


def check_visit(updates: int, allowed: int, where: str) -> None:
    """Refuse a visit that took more optimiser steps than its passes may."""
    if updates > allowed:
        raise BudgetExceeded(f"the visit took {updates} optimiser steps where the task allows {allowed}", where=where)


def settings_of(algorithm: Algorithm) -> list[Any]:
    """Values of a method's fields."""
    return [getattr(algorithm, entry.name) for entry in fields(algorithm)]
