"""Networks by name."""

from __future__ import annotations

import difflib

from torch import nn

from benchmark.core import registry
from benchmark.core.errors import BenchmarkError
from benchmark.core.model_output import Output
from benchmark.core.models import cnn, fedmd, gan, mlp, resnet, vgg
from benchmark.core.models.base import Builder, Shape, plain_batchnorm
from benchmark.core.models.heads import Contrastive

__all__ = ["Output", "build", "names"]

_NETS: dict[str, Builder] = {**cnn.NETS, **mlp.NETS, **fedmd.NETS, **resnet.NETS, **vgg.NETS}
_HEADS = ("heads", "projection")


def names() -> list[str]:
    """All classifiers that `build` knows by heart, sorted; every timm model and the head suffixes come on top."""
    return sorted(_NETS)


def build(name: str, shape: Shape, classes: int) -> nn.Module:
    """A fresh network whose forward takes images (n, *shape) and answers an Output, drawn from torch's generator.

    name: one of `names()` or `timm:<model>`; with `+projection` or `+heads` (projection and prediction) appended it
    loses its classifier and gains the heads of unsupervised methods. The parts of FAug's GAN, `faug_generator` and
    `faug_discriminator`, have inputs and answers of their own.
    shape: (channels, height, width) of one image
    Errors: BenchmarkError for an unknown name, with the nearest one, and for images that the network cannot take.
    """
    if name in gan.PARTS:
        return gan.PARTS[name](shape, classes)
    base, plus, heads = name.partition("+")
    if plus and heads not in _HEADS:
        raise BenchmarkError(f"unknown heads {heads!r} in network {name!r}", hint=f"use one of {', '.join(_HEADS)}")
    try:
        net = plain_batchnorm(_builder(base)(shape, classes))
    except (AssertionError, RuntimeError, ValueError) as error:  # what torch and timm raise for a shape
        size = "x".join(map(str, shape))
        raise BenchmarkError(
            f"network {base!r} cannot take {size} images ({error})", hint="choose another network or larger images"
        ) from error
    return Contrastive(net, predicts=heads == "heads") if plus else net


def _builder(base: str) -> Builder:
    if base.startswith("timm:"):
        from benchmark.core.models.timm_models import timm_net  # timm takes seconds to import

        return lambda shape, classes: timm_net(base.removeprefix("timm:"), shape, classes)
    if own := registry.find("network", base):
        return own
    if base not in _NETS:
        near = difflib.get_close_matches(base, _NETS, n=1, cutoff=0.0)[0]
        raise BenchmarkError(f"unknown network {base!r}", hint=f"did you mean {near!r}? Any timm model is timm:<model>")
    return _NETS[base]
