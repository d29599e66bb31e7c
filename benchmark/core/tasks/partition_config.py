"""The fields `only` of a task, which chooses classes, and `split`, which divides the images among clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from benchmark.core.strict_model import StrictModel

Precision = Literal["fp32", "bf16", "tf32"]
Backend = Literal["loop", "stacked"]
Positive = Annotated[int, Field(ge=1)]
Numbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)]


class Only(StrictModel):
    """The classes of a dataset to use; they are numbered from 0 in this order, for `split` as well.

    Attributes:
        classes: Numbers of classes.
        superclasses: Numbers of superclasses, which become the labels.
    """

    classes: Numbers = ()
    superclasses: Numbers = ()

    @model_validator(mode="after")
    def _fits(self) -> Only:
        if bool(self.classes) == bool(self.superclasses):
            raise ValueError("name either classes or superclasses")
        chosen = self.classes or self.superclasses
        if len(set(chosen)) < len(chosen):
            raise ValueError("a number is given twice")
        return self


class Iid(StrictModel):
    """Equal random parts.

    Attributes:
        kind: "iid".
    """

    kind: Literal["iid"]


class Shards(StrictModel):
    """FedNTD's shards of one class each.

    Attributes:
        kind: "shards".
        shards: Shards of each client, s.
        draws: "keyed" draws their classes by the seed, "published" as FedNTD's code does.
    """

    kind: Literal["shards"]
    shards: Positive
    draws: Literal["keyed", "published"] = "keyed"


class Dirichlet(StrictModel):
    """Proportions of every class by Dir(alpha); sizes of clients differ.

    Attributes:
        kind: "dirichlet".
        alpha: Concentration; smaller values are more skewed.
        minimum: Images that the smallest client must have.
        capped: Whether a client with its even share of all images gets none of further classes.
    """

    kind: Literal["dirichlet"]
    alpha: Annotated[float, Field(gt=0)]
    minimum: Positive = 10
    capped: bool = True


class DirichletEqual(StrictModel):
    """FedDF's partition: Dir(alpha) within groups of ten clients, cut again into equal sizes.

    Attributes:
        kind: "dirichlet_equal".
        alpha: Concentration; smaller values are more skewed.
    """

    kind: Literal["dirichlet_equal"]
    alpha: Annotated[float, Field(gt=0)]


class DirichletSampled(StrictModel):
    """FedGen's partition: equally many images of every class, divided by Dir(alpha).

    Attributes:
        kind: "dirichlet_sampled".
        alpha: Concentration; smaller values are more skewed.
        most: Images of each class that are used, and the size from which a client gets none of further classes.
        minimum: Images that the smallest client must have.
    """

    kind: Literal["dirichlet_sampled"]
    alpha: Annotated[float, Field(gt=0)]
    most: Positive
    minimum: Positive = 10


class LabelsRemoved(StrictModel):
    """FAug's partition: clients draw images and lose most of those of their target labels.

    Attributes:
        kind: "labels_removed".
        per_client: Images that each client draws.
        targets: Number of target labels of each client.
        keep: Images of each target label that a client keeps.
    """

    kind: Literal["labels_removed"]
    per_client: Positive
    targets: Positive
    keep: Positive = 5


class Superclass(StrictModel):
    """FedMD's skewed partition: each client has one class of each superclass.

    Attributes:
        kind: "superclass".
        per_class: Images of each class that a client has.
        superclasses: Numbers of the superclasses to use.
    """

    kind: Literal["superclass"]
    per_class: Positive
    superclasses: tuple[int, ...] = Field(strict=False)


class FewPerClass(StrictModel):
    """FedMD's even partition: all clients have images of the same few classes.

    Attributes:
        kind: "few_per_class".
        per_class: Images of each class that a client has.
        classes: Numbers of the classes to use.
    """

    kind: Literal["few_per_class"]
    per_class: Positive
    classes: tuple[int, ...] = Field(strict=False)


class Drawn(StrictModel):
    """Every client draws its own images, which clients may share; lazy, for very many clients.

    Attributes:
        kind: "drawn".
        per_client: Images of each client.
    """

    kind: Literal["drawn"]
    per_client: Positive


class Natural(StrictModel):
    """Every client is an owner that the dataset names; the clients are drawn among the owners.

    Attributes:
        kind: "natural".
        minimum: Images that an owner must have to be a client.
    """

    kind: Literal["natural"]
    minimum: Positive = 1


class ByDomain(StrictModel):
    """Client i has images of domain i mod the number of domains, which is divided among its clients.

    On the track personal, every client's model is judged on the test images of its domain alone.

    Attributes:
        kind: "domain".
        alpha: Proportions of every class within a domain by Dir(alpha); without it, equal random parts.
        minimum: Images that the smallest client must have, where alpha is given.
    """

    kind: Literal["domain"]
    alpha: Annotated[float, Field(gt=0)] | None = None
    minimum: Positive = 10


class Flwr(StrictModel):
    """A partition by the library flwr-datasets.

    Attributes:
        kind: "flwr".
        partitioner: Name of its class, such as DirichletPartitioner.
        options: Its arguments, such as alpha. The number of clients and a seed are given; rows are partitioned by
            `label` unless `partition_by` names `owner` or `domain`.
    """

    kind: Literal["flwr"]
    partitioner: str
    options: dict[str, Any] = Field(default={})


class Registered(StrictModel):
    """A partition by a registered function.

    Attributes:
        kind: "registered".
        name: Name of the function, see `benchmark.core.registry.partition`.
        options: Further arguments of the function.
    """

    kind: Literal["registered"]
    name: str
    options: dict[str, Any] = Field(default={})


KINDS = (
    Iid,
    Shards,
    Dirichlet,
    DirichletEqual,
    DirichletSampled,
    LabelsRemoved,
    Superclass,
    FewPerClass,
    Drawn,
    Natural,
    ByDomain,
    Flwr,
    Registered,
)
Split = Annotated[
    Iid
    | Shards
    | Dirichlet
    | DirichletEqual
    | DirichletSampled
    | LabelsRemoved
    | Superclass
    | FewPerClass
    | Drawn
    | Natural
    | ByDomain
    | Flwr
    | Registered,
    Field(discriminator="kind"),
]
