"""The record of a cell: results/<task>/<algorithm>/<seed>.json. Equal results are equal bytes.

Accuracies are in [0, 1], sizes in bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, computed_field, model_validator

from benchmark.core.storage.checksummed_json import sha256
from benchmark.core.strict_model import StrictModel
from benchmark.core.tasks.partition_config import Backend, Precision
from benchmark.core.tasks.task import Track
from benchmark.records.networks import Networks

SCHEMA: Literal[1] = 1
Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]  # forgetting is negative where a class ends at its best
Positive = Annotated[float, Field(ge=0)]
Angle = Annotated[float, Field(ge=0, le=180)]
Count = Annotated[int, Field(ge=0)]
NAME = r"^\w[\w .+-]*$"  # of a file: letters, digits and nothing that means more in a shell or in a table
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _absent(value: Any) -> bool:
    """Fields that only some tracks or methods have are left out of the records of the others."""
    return value is None


class Evaluation(StrictModel):
    """The evaluation after a round.

    Attributes:
        round: The round, counted from 1.
        accuracy: Accuracy of the evaluated models.
        per_class: Accuracy of each class of the test set.
        forgetting: Mean over classes of the best earlier accuracy minus the present one.
        bytes: Tensor data sent so far in both directions.
        clients: On the track personal, accuracy of each client's model on its own label distribution.
        nll: Under protocol 2, mean of -log p of the true class; see `evaluate.negative_log_likelihood`.
        ece: Under protocol 2, expected calibration error over 15 bins; see `evaluate.calibration_error`.
        gradient_diversity: Under protocol 2, where uploads hold whole models: Lambda; see `server.metrics.Drift`.
        weight_divergence: Under protocol 2, where uploads hold whole models: mean norm of the clients' changes.
    """

    round: Count
    accuracy: Share
    per_class: list[Share]
    forgetting: Change
    bytes: Count
    clients: list[Share] | None = Field(default=None, exclude_if=_absent)
    nll: Positive | None = Field(default=None, exclude_if=_absent)
    ece: Share | None = Field(default=None, exclude_if=_absent)
    gradient_diversity: Positive | None = Field(default=None, exclude_if=_absent)
    weight_divergence: Positive | None = Field(default=None, exclude_if=_absent)


class Traffic(StrictModel):
    """Bytes of all messages.

    Attributes:
        up: Tensor data from clients to server.
        down: Tensor data from server to clients.
        up_wire: Encoded messages from clients to server.
        down_wire: Encoded messages from server to clients.
        by_name: [phase, direction, name of the message's entry, tensor data].
        delivery: Under protocol 2, one-off delivery of the task's public images, as they are stored, to every client
            that was fed any; in no sum.
    """

    up: Count
    down: Count
    up_wire: Count
    down_wire: Count
    by_name: list[Annotated[tuple[str, Literal["up", "down"], str, Count], Field(strict=False)]]
    delivery: Count | None = Field(default=None, exclude_if=_absent)

    @model_validator(mode="after")
    def _adds_up(self) -> Traffic:
        for direction, total in (("up", self.up), ("down", self.down)):
            parts = sum(size for _, way, _, size in self.by_name if way == direction)
            if parts != total:
                raise ValueError(f"the parts of {direction} add up to {parts}, not to {total}")
        return self


class Target(StrictModel):
    """When an accuracy was first exceeded.

    Attributes:
        accuracy: The accuracy.
        round: The round; None if it never was.
        bytes: Tensor data sent until then; None if it never was.
    """

    accuracy: Share
    round: Count | None
    bytes: Count | None


class Adapted(StrictModel):
    """What the last phase, in which clients adapt a common model, changed.

    Attributes:
        gain: Mean difference of the clients' accuracies.
        share_gaining: Share of clients with a positive difference.
    """

    gain: Change
    share_gaining: Share


class Representation(StrictModel):
    """The common model's features on the test set.

    Attributes:
        angle_within: Mean angle between two images of one class, in degrees.
        angle_between: Mean angle between images of two classes, in degrees.
        fine_tuned: [share of the labels, accuracy after fine-tuning with them].
    """

    angle_within: Angle
    angle_between: Angle
    fine_tuned: list[Annotated[tuple[Share, Share], Field(strict=False)]]


class PhaseBudget(StrictModel):
    """What a phase used up, as the engine counted it.

    Attributes:
        rounds: Rounds of the phase.
        visits: Clients that took part, summed over rounds.
        steps: Updates of the optimiser at clients; most_steps: in one visit at most.
        images: Images fed to losses at clients, by kind: "private", "public", or "joined", private ones together with
            images that the client was sent. Each view of an image counts, and so does one that a loss leaves aside.
        most_images: Images of all kinds in one visit at most.
        server: Images that the server read, by side: "public", "unlabelled" or "validation". What it generates, and
            what it does before the first round (`beforehand`), is not counted.
    """

    phase: str
    rounds: Count
    visits: Count
    steps: Count
    most_steps: Count
    images: dict[Literal["private", "public", "joined"], Count]
    most_images: Count
    server: dict[Literal["public", "unlabelled", "validation"], Count]


class Result(StrictModel):
    """What was measured.

    Attributes:
        accuracy: Accuracy at the last evaluation.
        accuracy_last5: Mean accuracy of the last five evaluations.
        forgetting: Forgetting at the last evaluation.
        evaluations: All evaluations in the order of time.
        in_local: Mean over clients of the accuracy after local work, weighted by the client's own classes.
        out_local: Mean over clients of the accuracy after local work, weighted by the other classes.
        bytes: Bytes of all messages.
        targets: When the task's target accuracies were exceeded.
        personal: On the track personal, for methods that adapt a common model.
        representation: On the track unsupervised, for methods with a common model.
        reported: Numbers that the method's `report` returned.
        budget: Under protocol 2, what each phase used up.
        networks: Of methods with several networks, or an inference of their own.
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
    budget: list[PhaseBudget] | None = Field(default=None, exclude_if=_absent)
    networks: Networks | None = Field(default=None, exclude_if=_absent)


class Hashes(StrictModel):
    """What the numbers depend on: sha256, hexadecimal.

    Attributes:
        task: Hash of the task's protocol.
        algorithm: Hash of the method's syntax tree.
        data: Fingerprints by dataset and split.
        split: Fingerprint of the partition among clients.
    """

    task: Hash
    algorithm: Hash
    data: dict[str, dict[str, Hash]]
    split: Hash


class Record(StrictModel):
    """One cell: a method on a task with a seed.

    Attributes:
        schema_: Version of this format; `schema` in the file.
        protocol: Version of the rules; records of different protocols are not compared.
        engine: Version of the engine; older records are stale.
        task: Name of the task.
        algorithm: Name of the method.
        seed: The seed.
        track: The task's track.
        status: "ok", "diverged" if a number was not finite, or "failed".
        reason: Why the cell diverged or failed; "" if it did not.
        settings: The method's hyper-parameters.
        departures: What differs from the task, in words; empty in records that count.
        hashes: What the numbers depend on.
        backend: "loop" or "stacked".
        precision: "fp32", "bf16" or "tf32".
        judged: Whether the "common" model or the "clients" models were evaluated.
        rounds: Number of rounds.
        result: What was measured; None unless the status is "ok".
        result_sha256: Hash of `result`; computed if left out.
    """

    schema_: Literal[1] = Field(alias="schema")
    protocol: Count
    engine: Count
    task: Annotated[str, Field(pattern=NAME)]
    algorithm: Annotated[str, Field(pattern=NAME)]
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
        expected = result_sha256(self.result)
        if self.result_sha256 not in ("", expected):
            raise ValueError(f"result_sha256 is {self.result_sha256[:12]}, but the result hashes to {expected[:12]}")
        object.__setattr__(self, "result_sha256", expected)
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def record_sha256(self) -> str:
        """Hash of the record without this line; reading a record checks it."""
        return sha256(self.model_dump(mode="json", by_alias=True, exclude={"record_sha256"}))

    @property
    def path(self) -> Path:
        """Where the record belongs, relative to the folder of results."""
        return Path(self.task, self.algorithm, f"{self.seed}.json")


def result_sha256(result: Result | None) -> str:
    """Hash of the part of a record that must not depend on machine, workers or interruptions.

    Args:
        result: What was measured.

    Returns:
        sha256, hexadecimal.
    """
    return sha256(result)


SEAL = re.compile(rb'^ "record_sha256": "([0-9a-f]{64})",\n', re.MULTILINE)
