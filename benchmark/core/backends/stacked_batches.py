"""Batches for many clients at once: image for image those that each client would see alone.

Which images a batch has and how they are augmented is drawn by the streams themselves, with each client's keys. The
images are on the device as they are stored, and are gathered and augmented there for all clients together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmark.core.api import Batch, Local
from benchmark.core.client.local_trainer import LocalTrainer
from benchmark.core.data.augment import to_device
from benchmark.core.data.batches import Stream
from benchmark.core.tree import Tree

CACHE_BYTES = 4e9  # of images that stay on the device between rounds
EPHEMERAL = "rows for client"  # begins the name of images that will not be used again


class GroupedGenerator:
    """The random generators of several clients as one: each draws the part of its own samples."""

    def __init__(self, parts: Sequence[tuple[np.random.Generator, int]]) -> None:
        self.parts = parts

    def integers(self, low: Any, high: Any, size: tuple[int, ...]) -> np.ndarray:
        """Samples along the second axis."""
        parts = [draw.integers(low, high, size=(size[0], count, *size[2:])) for draw, count in self.parts]
        return np.concatenate(parts, axis=1)

    def random(self, size: int) -> np.ndarray:
        """One number per sample."""
        return np.concatenate([draw.random(count) for draw, count in self.parts])

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        """Samples along the first axis."""
        return np.concatenate([draw.uniform(low, high, size=(count, *size[1:])) for draw, count in self.parts])


class LazyImages(NamedTuple):
    """Rows of a stream, and the generator that draws their augmentation, None for the stored images."""

    rows: Tensor
    generator: np.random.Generator | None

    def split(self, lengths: list[int]) -> list[LazyImages]:
        """The same images in parts."""
        return [LazyImages(rows, self.generator) for rows in self.rows.split(lengths)]


class LazyStream(Stream):
    """A stream whose batches have LazyImages in place of images."""

    def __init__(self, stream: Stream) -> None:
        self.__dict__.update(stream.__dict__)

    def inputs(self, rows: Tensor | None = None) -> Any:
        return LazyImages(torch.arange(self.size) if rows is None else rows, None)

    def _views(self, rows: Tensor, draw: np.random.Generator | None, augment: bool) -> Any:
        return LazyImages(rows, draw if augment and not self.augment.none else None)


def on_device(stream: Stream, pixels: Tensor) -> Stream:
    """The stream with other pixels; its arithmetic happens on their device."""
    moved = copy.copy(stream)
    moved.pixels = pixels
    moved.mean, moved.std = stream.mean.to(pixels.device), stream.std.to(pixels.device)
    return moved


class DeviceImageCache:
    """Stored images on the device; clients' own and public ones stay there between rounds."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.images: dict[str, Tensor] = {}

    def place(self, names: Sequence[str], streams: Sequence[Stream]) -> tuple[Tensor, list[Tensor]]:
        """Pixels on the device, those of one name once, and the positions of each stream's rows among them."""
        parts = dict(zip(names, streams, strict=True))
        starts = dict(zip(parts, accumulate((part.size for part in parts.values()), initial=0), strict=False))
        pixels = [self._cached(name, part.pixels) for name, part in parts.items()]
        positions = [starts[name] + torch.arange(parts[name].size) for name in names]
        return pixels[0] if len(pixels) == 1 else torch.cat(pixels), positions

    def _cached(self, name: str, pixels: Tensor) -> Tensor:
        if self.device.type == "cpu" or name.startswith(EPHEMERAL):
            return pixels.to(self.device)
        if name not in self.images:
            self.images[name] = pixels.to(self.device)
            while len(self.images) > 1 and sum(part.nbytes for part in self.images.values()) > CACHE_BYTES:
                del self.images[next(iter(self.images))]
        return self.images[name]


class StackedBatch(NamedTuple):
    """What a chunk of clients takes in one step.

    Attributes:
        batch: Fields of a `Batch`, each with a first axis over the chunk; a mask only where samples are padding.
        active: Which clients take this step (chunk,), bool; the others get zeros.
    """

    batch: Tree
    active: Tensor


class StackedBatches:
    """The batches of one pass of a chunk, step by step.

    Args:
        trainers: The clients' passes.
        locals_: The clients' states, where rows or images of the pass may come from.
        cache: Images on the device.
        size: Clients of the chunk; places beyond the given clients never become active.
        padded: Batches of different lengths are filled up and masked; otherwise there is a step for each length.
    """

    def __init__(
        self,
        trainers: Sequence[LocalTrainer],
        locals_: Sequence[Local],
        cache: DeviceImageCache,
        size: int,
        padded: bool,
    ) -> None:
        streams = [trainer.stream(local) for trainer, local in zip(trainers, locals_, strict=True)]
        pixels, self.positions = cache.place([_image_name(trainer) for trainer in trainers], streams)
        self.images, self.device = on_device(streams[0], pixels), cache.device
        self.lazy = [trainer.batches(LazyStream(stream)) for trainer, stream in zip(trainers, streams, strict=True)]
        self.size, self.padded = size, padded

    def __iter__(self) -> Iterator[StackedBatch]:
        while True:
            batches = [next(lazy, None) for lazy in self.lazy]
            present = {client: batch for client, batch in enumerate(batches) if batch is not None}
            if not present:
                return
            lengths = sorted({len(batch.rows) for batch in present.values()}, reverse=True)
            if self.padded:
                yield self._stacked(present, lengths[0])
                continue
            for length in lengths:
                yield self._stacked({c: b for c, b in present.items() if len(b.rows) == length}, length)

    def _stacked(self, batches: dict[int, Batch], length: int) -> StackedBatch:
        active = torch.zeros(self.size, dtype=torch.bool)
        active[list(batches)] = True
        batch = {
            "y": self._padded({c: b.y for c, b in batches.items()}, length),
            "rows": self._padded({c: b.rows for c, b in batches.items()}, length),
        }
        if any(len(b.rows) < length for b in batches.values()):
            batch["mask"] = self._padded({c: torch.ones(len(b.rows)) for c, b in batches.items()}, length)
        for field in ("x", "other", "random"):
            images = {c: getattr(b, field) for c, b in batches.items()}
            if next(iter(images.values())) is not None:
                batch[field] = self._gathered(images)
        return StackedBatch(batch, to_device(active, self.device))

    def _padded(self, parts: dict[int, Tensor], length: int) -> Tensor:
        table = torch.zeros(self.size, length, dtype=next(iter(parts.values())).dtype)
        for client, part in parts.items():
            table[client, : len(part)] = part
        return to_device(table, self.device)

    def _gathered(self, images: dict[int, LazyImages]) -> Tensor:
        """Augmented images (chunk, length, channels, height, width); zeros where there is no sample."""
        length = max(len(lazy.rows) for lazy in images.values())
        index = to_device(
            torch.cat([self.positions[client][lazy.rows] for client, lazy in images.items()]), self.device
        )
        parts = [(lazy.generator, len(lazy.rows)) for lazy in images.values()]
        generator: Any = GroupedGenerator([(draw, count) for draw, count in parts if draw is not None])
        views = self.images._views(index, generator, augment=bool(generator.parts))
        if len(views) < self.size * length:
            places = [client * length + torch.arange(len(lazy.rows)) for client, lazy in images.items()]
            empty = views.new_zeros(self.size * length, *views.shape[1:])
            views = empty.index_copy_(0, to_device(torch.cat(places), self.device), views)
        return views.reshape(self.size, length, *views.shape[1:])


def _image_name(trainer: LocalTrainer) -> str:
    """Which images a pass reads."""
    kind, client = trainer.run_.stream, trainer.site.who.id
    if trainer.run_.rows is not None or kind not in ("private", "views", "public"):
        return f"{EPHEMERAL} {client}"
    return "public" if kind == "public" else f"client {client}"
