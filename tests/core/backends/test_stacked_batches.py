"""The batches of the stacked backend are those of the loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import chain

import numpy as np
import pytest
import torch

from benchmark.core.api import Algorithm, Batch, Local, Pass, Phase
from benchmark.core.backends.stacked_batches import DeviceImageCache, StackedBatches
from benchmark.core.client.local_trainer import LocalTrainer
from benchmark.core.data.augment import Augment
from benchmark.core.data.batches import Stream
from benchmark.core.keys import Key
from helpers.small_federation import small_federation

CPU = torch.device("cpu")


def batches(stream: Stream, how: str, number: int) -> Iterator[Batch]:
    """What the loop would feed."""
    return stream.views(Key(number), 4, 3) if how == "views" else stream.batches(Key(number), 3, 5)


@pytest.mark.parametrize("how", ["private", "views"])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(
    "augment", [Augment(), Augment(crop=1, flip=True, cutout=2, brightness=0.4, contrast=0.4, grey=0.5)]
)
def test_batches_are_those_of_the_loop_to_the_bit(how: str, padded: bool, augment: Augment) -> None:
    federation = small_federation(sizes=(7, 4, 6), shape=(3, 6, 6))
    site = federation.site(0, Phase("train", 1), 0)
    trainers, streams = [], []
    for number, size in enumerate((7, 4, 6)):
        pixels = torch.from_numpy(np.random.default_rng(number).integers(0, 256, (size, 6, 6, 3), np.uint8))
        stream = Stream(pixels, torch.arange(size), classes=7, mean=(0.5,) * 3, std=(0.2,) * 3, augment=augment)
        run_ = Pass(how, steps=3 if how == "views" else 5, batch=4 if how == "views" else 3)
        own = dataclasses.replace(site, data=stream, who=site.who._replace(id=number))
        trainers.append(LocalTrainer(Algorithm(), own, run_, Key(number), "fp32", ""))
        streams.append(stream)
    expected = [list(batches(stream, how, number)) for number, stream in enumerate(streams)]
    found: list[list[Batch]] = [[], [], []]
    for fields, active in StackedBatches(trainers, [Local({})] * 3, DeviceImageCache(CPU), 4, padded):
        assert padded or "mask" not in fields
        for client in active.nonzero().flatten().tolist():
            chosen = fields["mask"][client].bool() if "mask" in fields else slice(None)
            parts = {name: part[client][chosen] for name, part in fields.items() if name != "mask"}
            found[client].append(Batch(**parts))
    assert [len(own) for own in found] == [len(own) for own in expected]
    for one, two in zip(chain(*expected), chain(*found), strict=True):
        for name in ("x", "y", "rows", "other", "random"):
            a, b = getattr(one, name), getattr(two, name)
            assert (a is None and b is None) or torch.equal(a, b)
