"""Batches of images: gathered, augmented and normalised a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from benchmark.core.api import Batch, Hub
from benchmark.core.data.augment import Augment
from benchmark.core.keys import Key

GATHERED = 500  # images gathered at once for the next steps if none is augmented: small gathers cost like large ones


class Stream:
    """The images that one side may use; implements `api.Data`.

    Args:
        pixels: Images (n, height, width, channels), uint8, or float32 inputs that are used as they are.
        labels: Labels (n,), int64; -1 where hidden.
        classes: Number of classes.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel.
        augment: Augmentation of training images; None for none.
        order: "shuffled" in each epoch, or "stored".

    Attributes:
        images_read: Images that were made into inputs so far.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        *,
        classes: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        augment: Augment | None = None,
        order: str = "shuffled",
    ) -> None:
        self.pixels, self.labels, self.order = pixels, labels, order
        self.counts = torch.bincount(labels[labels >= 0], minlength=classes)
        self.classes, self.augment = classes, augment or Augment()
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
        self.size = len(labels)
        self.images_read = 0

    def inputs(self, rows: Tensor | None = None) -> Tensor:
        """Normalised images without augmentation, (n, c, h, w) in channels-last memory."""
        self.images_read += self.size if rows is None else len(rows)
        return self.normalise(self.pixels if rows is None else self.pixels.index_select(0, rows))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalised images (n, c, h, w) of stored ones (n, h, w, c), in channels-last memory."""
        planes = images.permute(0, 3, 1, 2)
        if planes.dtype != torch.uint8:
            return planes.contiguous(memory_format=torch.channels_last)
        return self._centred(planes.float().div_(255))

    def _centred(self, planes: Tensor) -> Tensor:
        """(planes - mean) / std in place; whole images at a time, since three channels are a slow inner loop."""
        images = planes.permute(0, 2, 3, 1)
        mean, std = (value.view(-1).expand(images.shape[1:]).contiguous() for value in (self.mean, self.std))
        images.sub_(mean).div_(std)
        return planes

    def restricted(self, rows: Tensor) -> Stream:
        """A stream of some rows of this one, numbered from 0."""
        return self._like(self.pixels.index_select(0, rows), self.labels[rows])

    def joined(self, images: Tensor, labels: Tensor) -> Stream:
        """A stream of these images and further ones (m, h, w, c) with labels (m,)."""
        return self._like(torch.cat([self.pixels, images]), torch.cat([self.labels, labels]))

    def _like(self, pixels: Tensor, labels: Tensor) -> Stream:
        return Stream(
            pixels,
            labels,
            classes=self.classes,
            augment=self.augment,
            order=self.order,
            mean=tuple(self.mean.flatten().tolist()),
            std=tuple(self.std.flatten().tolist()),
        )

    def steps(self, epochs: int, batch: int) -> int:
        """Number of batches in some epochs; the last batch of an epoch may be short."""
        return epochs * -(-self.size // batch)

    def batches(
        self, key: Key, batch: int, steps: int, augment: bool = True, skip_single: bool = False
    ) -> Iterator[Batch]:
        """Some number of batches, reshuffled in each epoch; skip_single leaves out batches of one image."""
        augment = augment and not self.augment.none
        schedule = (part for part in self._schedule(key, batch, steps, augment) if len(part[0]) > 1 or not skip_single)
        together = 1 if augment else max(1, GATHERED // batch)
        while parts := list(islice(schedule, together)):
            rows, lengths = torch.cat([rows for rows, _ in parts]), [len(rows) for rows, _ in parts]
            images = self._views(rows, parts[0][1], augment).split(lengths)
            yield from map(Batch, images, self.labels[rows].split(lengths), rows.split(lengths))

    def view_steps(self, epochs: int, batch: int) -> int:
        """Number of batches of `views` in some epochs; the short rest of an epoch is dropped, as in FedX's code."""
        return epochs * max(1, self.size // (batch // 2))

    def views(self, key: Key, batch: int, steps: int) -> Iterator[Batch]:
        """Two augmented views of batch / 2 images and one of an independent batch / 2 images; labels are all -1."""
        anchors = self._schedule(key, batch // 2, steps, augment=True, whole=True)
        others = self._schedule(key("random"), batch // 2, steps, augment=True, whole=True)
        for (rows, draw), (random, random_draw) in zip(anchors, others, strict=True):
            first, second = (self._views(rows, draw, True) for _ in range(2))
            yield Batch(
                first, torch.full_like(rows, -1), rows, other=second, random=self._views(random, random_draw, True)
            )

    def eval_batches(self, batch: int) -> Iterator[Batch]:
        """Batches of all rows, each once and in order, without augmentation."""
        for rows in torch.arange(self.size).split(batch):
            yield Batch(self.inputs(rows), self.labels[rows], rows)

    def _schedule(
        self, key: Key, batch: int, steps: int, augment: bool, whole: bool = False
    ) -> Iterator[tuple[Tensor, np.random.Generator | None]]:
        """Rows of every step and the generator of their augmentation, None if they have none.

        whole: drop an epoch's short last batch, unless it is the only one
        """
        per_epoch = max(1, self.size // batch) if whole else -(-self.size // batch)
        for step in range(steps):
            epoch, position = divmod(step, per_epoch)
            if position == 0:
                draw = key("epoch", epoch, "augment").numpy() if augment else None
                order = np.arange(self.size)
                if self.order == "shuffled":
                    order = key("epoch", epoch, "shuffle").permutation(self.size)
            yield torch.from_numpy(order[position * batch : (position + 1) * batch]), draw

    def _views(self, rows: Tensor, draw: np.random.Generator | None, augment: bool) -> Tensor:
        if draw is None or not augment or self.augment.none:
            return self.inputs(rows)
        self.images_read += len(rows)
        planes = self.augment.geometry(self.pixels.index_select(0, rows), draw).permute(0, 3, 1, 2).float().div_(255)
        planes = self.augment.colour(planes, draw)
        planes = self.augment.erase(self._centred(planes), draw)
        return planes.contiguous(memory_format=torch.channels_last)  # which broadcasting may have lost


def images_read(hub: Hub) -> dict[str, int]:
    """Images that the server has read so far, by side."""
    sides = {name: getattr(hub, name) for name in ("public", "unlabelled", "validation")}
    return {name: stream.images_read for name, stream in sides.items() if stream is not None}
