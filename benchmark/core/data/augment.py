"""Augmentation of whole batches of stored images. All random numbers come from the caller's generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RATIO = float(np.log(4 / 3))  # of the sides of a resized crop, at most
JITTERED = 0.8  # share of images whose colours SimCLR changes


@dataclass(frozen=True)
class Augment:
    """Augmentation of training images.

    Attributes:
        crop: Padding in pixels before a random crop of the original size.
        pad: What fills the padding: "zero" or "reflect".
        flip: Whether to mirror half of the images.
        cutout: Side in pixels of a square that is set to the mean; its centre may be anywhere.
        brightness: Factors are drawn from [1 - v, 1 + v].
        contrast: Factors are drawn from [1 - v, 1 + v].
        grey: Share of images that are turned grey.
        resized_crop: Least share of the area in a random resized crop; 0 for none. SimCLR's is 0.08.
        jitter: Strength of SimCLR's colour jitter; 0 for none.
    """

    crop: int = 0
    pad: Literal["zero", "reflect"] = "zero"
    flip: bool = False
    cutout: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    grey: float = 0.0
    resized_crop: float = 0.0
    jitter: float = 0.0

    @property
    def none(self) -> bool:
        """True if images pass unchanged."""
        return self == Augment(pad=self.pad)

    def geometry(self, images: Tensor, draw: np.random.Generator) -> Tensor:
        """Crop and flip of stored images (B, h, w, c), before normalisation."""
        if self.resized_crop:
            images = _resized_crop(images, self.resized_crop, draw)
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
        """Brightness, contrast, jitter and grey of images in [0, 1], (B, c, h, w)."""
        count = len(x)
        if self.brightness:
            x = (x * to_device(_factors(draw, count, self.brightness), x.device)).clamp(0, 1)
        if self.contrast:
            middle = x.mean((1, 2, 3), keepdim=True)
            x = (middle + (x - middle) * to_device(_factors(draw, count, self.contrast), x.device)).clamp(0, 1)
        if self.jitter:
            x = _jittered(x, self.jitter, draw)
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
    """The tensor on a device; copies to a GPU do not block."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _pad(images: Tensor, width: int, kind: str) -> Tensor:
    if kind == "zero":
        return F.pad(images, (0, 0, width, width, width, width))
    planes = images.permute(0, 3, 1, 2).float()
    return F.pad(planes, (width,) * 4, mode="reflect").permute(0, 2, 3, 1).to(images.dtype)


def _resized_crop(images: Tensor, least: float, draw: np.random.Generator) -> Tensor:
    """A box of each image (B, h, w, c), its area a share in [least, 1], resized bilinearly to the image's size.

    The box's sides have a ratio in [3/4, 4/3], log-uniform; one longer than the image is cut to it, where torchvision
    draws again. Source: Szegedy et al. 2015, as SimCLR uses it.
    """
    count = len(images)
    area = draw.uniform(least, 1.0, size=(count, 1))
    ratio = np.exp(draw.uniform(-RATIO, RATIO, size=(count, 1)))
    sides = np.minimum(1.0, np.sqrt(np.concatenate([area * ratio, area / ratio], axis=1)))  # shares of width and height
    starts = draw.uniform(0.0, 1.0, size=(count, 2)) * (1 - sides)
    places = [
        2 * (starts[:, axis, None] + sides[:, axis, None] * (np.arange(length) + 0.5) / length) - 1
        for axis, length in enumerate((images.shape[2], images.shape[1]))
    ]  # of the new pixels' middles in the old image, which reaches from -1 to 1
    x, y = (to_device(torch.from_numpy(place.astype(np.float32)), images.device) for place in places)
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)
    planes = images.permute(0, 3, 1, 2).float()
    boxes = F.grid_sample(planes, grid, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)
    return boxes if images.is_floating_point() else boxes.round().to(images.dtype)


def _jittered(x: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """Colour jitter of four images in five in [0, 1], (B, c, h, w); s is its strength.

    Factors of brightness, contrast and saturation from [1 - 0.8 s, 1 + 0.8 s] and a turn of the hue by up to 0.2 s of a
    circle, in this order; saturation and hue where there are three channels. SimCLR draws the order as well.
    Source: Chen et al. 2020 (SimCLR), appendix A.
    """
    count, colours = len(x), x.shape[1] == 3
    chosen = to_device(torch.from_numpy(draw.random(count) < JITTERED), x.device)[:, None, None, None]
    factors = [to_device(_factors(draw, count, 0.8 * strength), x.device) for _ in range(3)]
    turn = draw.uniform(-0.2 * strength, 0.2 * strength, size=(count, 1, 1, 1)).astype(np.float32)
    moved = (x * factors[0]).clamp(0, 1)
    moved = moved.mean((1, 2, 3), keepdim=True).lerp(moved, factors[1]).clamp(0, 1)
    if colours:
        moved = moved.mean(1, keepdim=True).lerp(moved, factors[2]).clamp(0, 1)
        moved = _turned(moved, to_device(torch.from_numpy(turn), x.device))
    return torch.where(chosen, moved, x)


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """RGB images in [0, 1], (B, 3, h, w), with their hue turned by a share of a circle (B, 1, 1, 1), in HSV space."""
    value, brightest = x.max(1, keepdim=True)
    chroma = value - x.min(1, keepdim=True).values
    ahead, behind = (x.gather(1, (brightest + step) % 3) for step in (1, 2))
    hue = (2 * brightest + (ahead - behind) / chroma.clamp(min=1e-8) + 6 * turn) % 6  # in sixths of a circle, red at 0
    away = (hue - torch.tensor([0.0, 2.0, 4.0], device=x.device)[:, None, None]).abs()  # from red, green and blue
    return value - chroma + chroma * (2 - torch.minimum(away, 6 - away)).clamp(0, 1)


def _factors(draw: np.random.Generator, count: int, strength: float) -> Tensor:
    factors = draw.uniform(max(0.0, 1 - strength), 1 + strength, size=(count, 1, 1, 1))
    return torch.from_numpy(factors.astype(np.float32))
