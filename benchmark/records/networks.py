"""What a record says of methods with several networks, or with an inference of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from benchmark.core.strict_model import StrictModel

JUDGED_AT_MOST = 1.5  # numbers of a judged model, as a multiple of the numbers of the task's network
Count = Annotated[int, Field(ge=0)]


class Networks(StrictModel):
    """Networks and inference of a method that are not the task's network and its logits.

    Attributes:
        declared: [architecture, the method's name, network, numbers], of methods with several networks.
        inference: "own" if the method overrides `predict`.
        numbers: Numbers in the judged model, the largest in proportion to the task's network of its architecture.
        task_numbers: Numbers in that network.
    """

    declared: list[Annotated[tuple[str, str, str, Count], Field(strict=False)]]
    inference: Literal["network", "own"]
    numbers: Count
    task_numbers: Count

    @property
    def apart(self) -> str:
        """Why the record is not compared with those of the task's network, in words; "" if it is.

        Prototypes, a second head or statistics may come along, half as many numbers again; a second network may not.
        """
        allowed = JUDGED_AT_MOST * self.task_numbers
        return f"judged with {self.numbers:,} numbers, not {self.task_numbers:,}" if self.numbers > allowed else ""
