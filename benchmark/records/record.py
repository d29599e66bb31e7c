"""What a cell leaves: results/<task>/<algorithm>/<seed>.json, where equal results are equal bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from benchmark.core.storage.checksummed_json import sha256
from benchmark.core.tasks.partition_config import Backend, Precision
from benchmark.core.tasks.task import Track

SCHEMA: Literal[1] = 1
Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]  # forgetting is negative where a class ends at its best
Angle = Annotated[float, Field(ge=0, le=180)]
Count = Annotated[int, Field(ge=0)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _absent(value: Any) -> bool:
    """What only some tracks measure, or only some methods tell, is left out of the records of the others."""
    return value is None


class Strict(BaseModel):
    """Unknown fields, conversions and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Evaluation(Strict):
    """The judged models after a round; bytes: payload so far, both directions.

    clients: track personal alone, accuracy of every client's model on its own label distribution, in client order
    """

    round: Count
    accuracy: Share
    per_class: list[Share]
    forgetting: Change
    bytes: Count
    clients: list[Share] | None = Field(default=None, exclude_if=_absent)


class Traffic(Strict):
    """Bytes of all messages: payload is tensor data alone, wire the whole encoding.

    by_name: [phase, direction, name, payload]
    """

    up: Count
    down: Count
    up_wire: Count
    down_wire: Count
    by_name: list[Annotated[tuple[str, Literal["up", "down"], str, Count], Field(strict=False)]]

    @model_validator(mode="after")
    def _adds_up(self) -> Traffic:
        for direction, total in (("up", self.up), ("down", self.down)):
            parts = sum(size for _, way, _, size in self.by_name if way == direction)
            if parts != total:
                raise ValueError(f"the parts of {direction} add up to {parts}, not to {total}")
        return self


class Target(Strict):
    """When an accuracy was first exceeded; nulls if it never was."""

    accuracy: Share
    round: Count | None
    bytes: Count | None


class Adapted(Strict):
    """What the clients' last phase changed: mean gain in accuracy and share of clients with a gain above zero."""

    gain: Change
    share_gaining: Share


class Representation(Strict):
    """What the common model's features are like: mean angles in degrees between test samples of one and of two classes.

    fine_tuned: [share of the labels, accuracy after fine-tuning with them]
    """

    angle_within: Angle
    angle_between: Angle
    fine_tuned: list[Annotated[tuple[Share, Share], Field(strict=False)]]


class Result(Strict):
    """What was measured; accuracy is of the last evaluation, accuracy_last5 the mean of the last five.

    personal: track personal alone, for methods that adapt a common model
    representation: track unsupervised alone, for methods with a common model
    reported: what a method tells of its run, by the names that it chose
    """

    accuracy: Share
    accuracy_last5: Share
    forgetting: Change
    evaluations: Annotated[list[Evaluation], Field(min_length=1)]
    in_local: Share | None
    out_local: Share | None
    bytes: Traffic
    targets: list[Target]
    personal: Adapted | None = Field(default=None, exclude_if=_absent)
    representation: Representation | None = Field(default=None, exclude_if=_absent)
    reported: dict[str, float] | None = Field(default=None, exclude_if=_absent)


class Hashes(Strict):
    """What the numbers rest on; data: dataset -> part -> fingerprint."""

    task: Hash
    algorithm: Hash
    data: dict[str, dict[str, Hash]]
    split: Hash


class Record(Strict):
    """One cell. `result` is None unless status is ok; `result_sha256` is filled in when it is left out."""

    schema_: Literal[1] = Field(alias="schema")
    protocol: Count
    engine: Count
    task: str
    algorithm: str
    seed: Count
    track: Track
    status: Literal["ok", "diverged", "failed"]
    reason: str
    settings: dict[str, Any]
    departures: list[str]
    hashes: Hashes
    backend: Backend
    precision: Precision
    judged: Literal["common", "clients"]
    rounds: Count
    result: Result | None
    result_sha256: str = ""

    @model_validator(mode="after")
    def _holds_together(self) -> Record:
        if (self.status == "ok") != (self.result is not None):
            raise ValueError(f"a record of status {self.status} has {'a' if self.result else 'no'} result")
        if self.status != "ok" and not self.reason:
            raise ValueError(f"a record of status {self.status} needs a reason")
        found = result_sha256(self.result)
        if self.result_sha256 not in ("", found):
            raise ValueError(f"result_sha256 is {self.result_sha256[:12]}, but the result hashes to {found[:12]}")
        object.__setattr__(self, "result_sha256", found)
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def record_sha256(self) -> str:
        """Hash of the canonical record without this line, which `read` checks and strips."""
        return sha256(self.model_dump(mode="json", by_alias=True, exclude={"record_sha256"}))

    @property
    def path(self) -> Path:
        """Where the record belongs, relative to the folder of results."""
        return Path(self.task, self.algorithm, f"{self.seed}.json")


def result_sha256(result: Result | None) -> str:
    """Hash of the part of a record that must not depend on machine, workers or interruptions."""
    return sha256(result)


SEAL = re.compile(rb'^ "record_sha256": "([0-9a-f]{64})",\n', re.MULTILINE)
