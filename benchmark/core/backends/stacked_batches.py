"""Batches for many clients at once: image for image those that each client would see alone.

Which images a batch has and how they are augmented is drawn by the streams themselves, with each client's keys. The
images lie on the device as they are stored, and are gathered and augmented there for all clients together.
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
from benchmark.core.client.local_training import LocalTrainer
from benchmark.core.data.augment import sent
from benchmark.core.data.batches import Stream
from benchmark.core.tree import Tree

ROOM = 4e9  # bytes of images that stay on the device
PASSING = "rows for client"  # begins the name of images that will not come again


class Draws:
    """The generators of several clients as one: each draws the part of its own samples."""

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


class Picture(NamedTuple):
    """Images to be: rows of a stream, and what draws their augmentation."""

    rows: Tensor
    draw: np.random.Generator | None

    def split(self, lengths: list[int]) -> list[Picture]:
        """The same images in parts."""
        return [Picture(rows, self.draw) for rows in self.rows.split(lengths)]


class Script(Stream):
    """A stream whose batches have a Picture where images would be."""

    def __init__(self, stream: Stream) -> None:
        self.__dict__.update(stream.__dict__)

    def inputs(self, rows: Tensor | None = None) -> Any:
        return Picture(torch.arange(self.size) if rows is None else rows, None)

    def _views(self, rows: Tensor, draw: np.random.Generator | None, augment: bool) -> Any:
        return Picture(rows, draw if augment and not self.augment.none else None)


def placed(stream: Stream, pixels: Tensor) -> Stream:
    """The stream with other pixels, and its arithmetic where they are."""
    moved = copy.copy(stream)
    moved.pixels = pixels
    moved.mean, moved.std = stream.mean.to(pixels.device), stream.std.to(pixels.device)
    return moved


class Shelf:
    """Images on the device, as they are stored; a client's own and the public ones stay there between rounds."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kept: dict[str, Tensor] = {}

    def place(self, names: Sequence[str], streams: Sequence[Stream]) -> tuple[Tensor, list[Tensor]]:
        """Pixels on the device, those of one name once, and the positions of each stream's rows among them."""
        parts = dict(zip(names, streams, strict=True))
        starts = dict(zip(parts, accumulate((part.size for part in parts.values()), initial=0), strict=False))
        pixels = [self._kept(name, part.pixels) for name, part in parts.items()]
        places = [starts[name] + torch.arange(parts[name].size) for name in names]
        return pixels[0] if len(pixels) == 1 else torch.cat(pixels), places

    def _kept(self, name: str, pixels: Tensor) -> Tensor:
        if self.device.type == "cpu" or name.startswith(PASSING):
            return pixels.to(self.device)
        if name not in self.kept:
            self.kept[name] = pixels.to(self.device)
            while len(self.kept) > 1 and sum(part.nbytes for part in self.kept.values()) > ROOM:
                del self.kept[next(iter(self.kept))]
        return self.kept[name]


class Mouthful(NamedTuple):
    """What a chunk takes in one step.

    batch: fields of a Batch, each with a first axis over the chunk; a mask only where samples are padding
    active: which clients take this step (chunk,), bool; the others get zeros
    """

    batch: Tree
    active: Tensor


class Feed:
    """One pass of a chunk, step by step.

    size: clients of the chunk; places beyond the given clients never become active
    padded: batches of different lengths are filled up and masked; otherwise they go in a step for each length
    """

    def __init__(
        self, sweeps: Sequence[LocalTrainer], locals_: Sequence[Local], shelf: Shelf, size: int, padded: bool
    ) -> None:
        streams = [sweep.stream(local) for sweep, local in zip(sweeps, locals_, strict=True)]
        pixels, self.places = shelf.place([_name(sweep) for sweep in sweeps], streams)
        self.images, self.device = placed(streams[0], pixels), shelf.device
        self.scripts = [sweep.batches(Script(stream)) for sweep, stream in zip(sweeps, streams, strict=True)]
        self.size, self.padded = size, padded

    def __iter__(self) -> Iterator[Mouthful]:
        while True:
            batches = [next(script, None) for script in self.scripts]
            present = {client: batch for client, batch in enumerate(batches) if batch is not None}
            if not present:
                return
            lengths = sorted({len(batch.rows) for batch in present.values()}, reverse=True)
            if self.padded:
                yield self._mouthful(present, lengths[0])
                continue
            for length in lengths:
                yield self._mouthful({c: b for c, b in present.items() if len(b.rows) == length}, length)

    def _mouthful(self, batches: dict[int, Batch], length: int) -> Mouthful:
        active = torch.zeros(self.size, dtype=torch.bool)
        active[list(batches)] = True
        batch = {
            "y": self._laid({c: b.y for c, b in batches.items()}, length),
            "rows": self._laid({c: b.rows for c, b in batches.items()}, length),
        }
        if any(len(b.rows) < length for b in batches.values()):
            batch["mask"] = self._laid({c: torch.ones(len(b.rows)) for c, b in batches.items()}, length)
        for field in ("x", "other", "random"):
            pictures = {c: getattr(b, field) for c, b in batches.items()}
            if next(iter(pictures.values())) is not None:
                batch[field] = self._developed(pictures)
        return Mouthful(batch, self.move(active))

    def _laid(self, parts: dict[int, Tensor], length: int) -> Tensor:
        table = torch.zeros(self.size, length, dtype=next(iter(parts.values())).dtype)
        for client, part in parts.items():
            table[client, : len(part)] = part
        return self.move(table)

    def _developed(self, pictures: dict[int, Picture]) -> Tensor:
        """Images (chunk, length, channels, height, width); zeros where there is no sample."""
        length = max(len(picture.rows) for picture in pictures.values())
        index = self.move(torch.cat([self.places[client][picture.rows] for client, picture in pictures.items()]))
        parts = [(picture.draw, len(picture.rows)) for picture in pictures.values()]
        drawn: Any = Draws([(draw, count) for draw, count in parts if draw is not None])
        views = self.images._views(index, drawn, augment=bool(drawn.parts))
        if len(views) < self.size * length:
            spots = [client * length + torch.arange(len(picture.rows)) for client, picture in pictures.items()]
            empty = views.new_zeros(self.size * length, *views.shape[1:])
            views = empty.index_copy_(0, self.move(torch.cat(spots)), views)
        return views.reshape(self.size, length, *views.shape[1:])

    def move(self, tensor: Tensor) -> Tensor:
        """To the device."""
        return sent(tensor, self.device)


def _name(sweep: LocalTrainer) -> str:
    """Which images a pass reads."""
    kind, client = sweep.run_.stream, sweep.site.who.id
    if sweep.run_.rows is not None or kind not in ("private", "views", "public"):
        return f"{PASSING} {client}"
    return "public" if kind == "public" else f"client {client}"
