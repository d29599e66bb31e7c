"""Which of a dataset's classes a task has, its field `only`, and how they are divided among clients, `split`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Precision = Literal["fp32", "bf16", "tf32"]
Backend = Literal["loop", "stacked"]
Positive = Annotated[int, Field(ge=1)]
Numbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)]


class Strict(BaseModel):
    """Unknown fields and implicit conversions are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Only(Strict):
    """Of the dataset these classes alone, or these superclasses as labels: numbered anew, for the split as well."""

    classes: Numbers = ()
    superclasses: Numbers = ()

    @model_validator(mode="after")
    def _fits(self) -> Only:
        if bool(self.classes) == bool(self.superclasses):
            raise ValueError("name either classes or superclasses")
        chosen = self.classes or self.superclasses
        if len(set(chosen)) < len(chosen):
            raise ValueError("a number stands twice")
        return self


class Iid(Strict):
    """Equal random parts."""

    kind: Literal["iid"]


class Shards(Strict):
    """s one-class shards per client; `published` draws the classes as FedNTD's code does."""

    kind: Literal["shards"]
    shards: Positive  # s
    draws: Literal["keyed", "published"] = "keyed"


class Dirichlet(Strict):
    """Per class Dir(alpha) over clients; sizes differ. capped: none of further classes beyond an even share of rows."""

    kind: Literal["dirichlet"]
    alpha: Annotated[float, Field(gt=0)]
    minimum: Positive = 10
    capped: bool = True


class DirichletEqual(Strict):
    """FedDF's draw in groups of ten clients, re-cut into equal sizes."""

    kind: Literal["dirichlet_equal"]
    alpha: Annotated[float, Field(gt=0)]


class LabelsRemoved(Strict):
    """FAug's setting: each client draws `per_client` samples and keeps `keep` of each of its `targets` labels."""

    kind: Literal["labels_removed"]
    per_client: Positive
    targets: Positive
    keep: Positive = 5


class Superclass(Strict):
    """FedMD's non-IID setting: one class of each superclass per client."""

    kind: Literal["superclass"]
    per_class: Positive
    superclasses: tuple[int, ...] = Field(strict=False)


class FewPerClass(Strict):
    """FedMD's IID setting: the same few classes for everyone, k samples of each per client."""

    kind: Literal["few_per_class"]
    per_class: Positive
    classes: tuple[int, ...] = Field(strict=False)


class Drawn(Strict):
    """Every client draws its own `per_client` samples, which clients may share: lazy, for very many clients."""

    kind: Literal["drawn"]
    per_client: Positive


class Registered(Strict):
    """A partition of one's own: the function registered under `name`, called with `options`; see core/parts.py."""

    kind: Literal["registered"]
    name: str
    options: dict[str, Any] = {}


KINDS = (Iid, Shards, Dirichlet, DirichletEqual, LabelsRemoved, Superclass, FewPerClass, Drawn, Registered)
Split = Annotated[
    Iid | Shards | Dirichlet | DirichletEqual | LabelsRemoved | Superclass | FewPerClass | Drawn | Registered,
    Field(discriminator="kind"),
]
