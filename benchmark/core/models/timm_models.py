"""Any classifier of timm, fitted to images of 28 to 32 pixels and never with downloaded weights."""

from __future__ import annotations

import difflib
from typing import Any

import timm
from torch import Tensor, nn

from benchmark.core.errors import BenchmarkError
from benchmark.core.models.base import Net, Shape


class TimmBody(nn.Module):
    """A timm model up to the vector that its classifier reads."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.model.forward_head(self.model.forward_features(x), pre_logits=True)
        return features


def timm_net(model: str, shape: Shape, classes: int) -> Net:
    """A timm model as a network of `body` and `classifier`, initialised as timm does.

    Raises BenchmarkError for an unknown model and one without a single linear classifier.
    """
    if not timm.is_model(model):
        near = difflib.get_close_matches(model, timm.list_models(), n=3, cutoff=0.0)
        raise BenchmarkError(f"timm has no model {model!r}", hint=f"the nearest names are {', '.join(near)}")
    created = _create(model, shape, classes)
    head = created.get_classifier()
    if not isinstance(head, nn.Linear):
        raise BenchmarkError(f"timm model {model!r} has no single linear classifier", hint="choose another model")
    name = next(name for name, layer in created.named_modules() if layer is head)
    created.set_submodule(name, nn.Identity())
    net = Net({"body": TimmBody(created)}, shape, classes)
    net.classifier = head
    return net


def _create(model: str, shape: Shape, classes: int) -> Any:
    """A model for small images: with smaller patches if it has patches, else with half the first stride."""
    options: dict[str, Any] = {"pretrained": False, "in_chans": shape[0], "num_classes": classes}
    try:
        return timm.create_model(model, img_size=shape[1:], patch_size=_patch(shape), **options)
    except TypeError:  # a model that knows neither image nor patch size
        created = timm.create_model(model, **options)
    for stem in _stem(created):
        stem.stride = (max(1, stem.stride[0] // 2), max(1, stem.stride[1] // 2))
    return created


def _stem(model: Any) -> list[nn.Conv2d]:
    """The convolutions that read the image, which timm names since it adapts them to other numbers of channels."""
    names = model.pretrained_cfg.get("first_conv") or ()
    layers = [model.get_submodule(name) for name in ([names] if isinstance(names, str) else names)]
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)]


def _patch(shape: Shape) -> int:
    """The largest patch that divides the image and leaves at least seven patches per side; 1 if there is none."""
    height, width = shape[1:]
    fitting = [size for size in range(1, min(height, width) // 7 + 1) if height % size == width % size == 0]
    return max(fitting, default=1)
