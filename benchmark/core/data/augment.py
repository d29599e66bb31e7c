"""Augmentation of whole batches of stored images; every draw comes from a NumPy generator that the caller keyed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """What happens to a training image.

    crop: padding in pixels before a random crop of the original size; pad: what fills it
    flip: mirror every second image
    cutout: side of a square set to the mean, its centre anywhere
    brightness, contrast: factors drawn from [1 - v, 1 + v]
    grey: share of images turned grey
    """

    crop: int = 0
    pad: Literal["zero", "reflect"] = "zero"
    flip: bool = False
    cutout: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    grey: float = 0.0

    @property
    def none(self) -> bool:
        """True if images pass unchanged."""
        return self == Augment(pad=self.pad)

    def geometry(self, images: Tensor, draw: np.random.Generator) -> Tensor:
        """Crop and flip of stored images (B, h, w, c), before normalisation."""
        count, height, width, _ = images.shape
        if not self.crop and not self.flip:
            return images
        rows = np.broadcast_to(np.arange(height), (count, height))
        cols = np.broadcast_to(np.arange(width), (count, width))
        if self.crop:
            shift = draw.integers(0, 2 * self.crop + 1, size=(2, count, 1))
            rows, cols = rows + shift[0], cols + shift[1]
            images = _pad(images, self.crop, self.pad)
        if self.flip:
            mirrored = draw.random(count) < 0.5
            cols = np.where(mirrored[:, None], cols[:, ::-1], cols)
        down, along = (to_device(torch.from_numpy(places.copy()), images.device) for places in (rows, cols))
        tall, wide, channels = images.shape[1:]
        starts = (torch.arange(count, device=images.device)[:, None] * tall + down) * wide
        pixels = images.reshape(-1, channels).index_select(0, (starts[:, :, None] + along[:, None, :]).flatten())
        return pixels.view(count, height, width, channels)

    def colour(self, x: Tensor, draw: np.random.Generator) -> Tensor:
        """Brightness, contrast and grey of images in [0, 1], (B, c, h, w)."""
        count = len(x)
        if self.brightness:
            x = (x * to_device(_factors(draw, count, self.brightness), x.device)).clamp(0, 1)
        if self.contrast:
            middle = x.mean((1, 2, 3), keepdim=True)
            x = (middle + (x - middle) * to_device(_factors(draw, count, self.contrast), x.device)).clamp(0, 1)
        if self.grey:
            chosen = to_device(torch.from_numpy(draw.random(count) < self.grey), x.device)[:, None, None, None]
            x = torch.where(chosen, x.mean(1, keepdim=True).expand_as(x), x)
        return x

    def erase(self, x: Tensor, draw: np.random.Generator) -> Tensor:
        """Cutout of normalised images (B, c, h, w): zero is the mean pixel."""
        if not self.cutout:
            return x
        count, channels, height, width = x.shape
        centre = draw.integers(0, [[height], [width]], size=(2, count))
        half = self.cutout // 2
        rows = np.abs(2 * (np.arange(height) - centre[0][:, None]) + 1) <= 2 * half
        cols = np.abs(2 * (np.arange(width) - centre[1][:, None]) + 1) <= 2 * half
        # one row of pixels and channels at a time: three channels are too few for a fast inner loop
        hidden = torch.from_numpy(rows[:, :, None] & cols.repeat(channels, axis=1)[:, None, :])
        planes = x.permute(0, 2, 3, 1).reshape(count, height, width * channels)
        planes = planes.masked_fill(to_device(hidden, x.device), 0.0)
        return planes.view(count, height, width, channels).permute(0, 3, 1, 2)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; on its way to a GPU nobody waits for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _pad(images: Tensor, width: int, kind: str) -> Tensor:
    if kind == "zero":
        return F.pad(images, (0, 0, width, width, width, width))
    planes = images.permute(0, 3, 1, 2).float()
    return F.pad(planes, (width,) * 4, mode="reflect").permute(0, 2, 3, 1).to(images.dtype)


def _factors(draw: np.random.Generator, count: int, strength: float) -> Tensor:
    factors = draw.uniform(max(0.0, 1 - strength), 1 + strength, size=(count, 1, 1, 1))
    return torch.from_numpy(factors.astype(np.float32))
