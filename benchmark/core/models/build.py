"""Networks by name."""

from __future__ import annotations

import difflib

from torch import nn

from benchmark.core import registry
from benchmark.core.errors import BenchmarkError, not_installed
from benchmark.core.model_output import Output
from benchmark.core.models import cnn, fedmd, gan, mlp, resnet, vgg
from benchmark.core.models.base import Builder, Shape, plain_batchnorm
from benchmark.core.models.heads import Contrastive

__all__ = ["Output", "build", "names"]

_NETS: dict[str, Builder] = {**cnn.NETS, **mlp.NETS, **fedmd.NETS, **resnet.NETS, **vgg.NETS}
_HEADS = ("heads", "projection")


def names() -> list[str]:
    """Names of the classifiers of this package, sorted; `build` also knows every timm model and the head suffixes."""
    return sorted(_NETS)


def build(name: str, shape: Shape, classes: int) -> nn.Module:
    """Build a network with initial weights drawn from torch's default generator.

    Args:
        name: One of `names()`, or `timm:<model>`. With `+projection` or `+heads` (projection and prediction) appended,
            the network has these heads in place of the classifier. The parts of FAug's GAN are `faug_generator` and
            `faug_discriminator`.
        shape: (channels, height, width) of an image.
        classes: Number of classes.

    Returns:
        A module that takes images (n, *shape) and answers an `Output`; the parts of the GAN have their own inputs.

    Raises:
        BenchmarkError: If there is no such network, or it cannot take such images.
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
        try:
            from benchmark.core.models.timm_models import timm_net  # timm takes seconds to import
        except ModuleNotFoundError:
            raise not_installed("timm", "timm") from None

        return lambda shape, classes: timm_net(base.removeprefix("timm:"), shape, classes)
    if registered := registry.find("network", base):
        return registered
    if base not in _NETS:
        near = difflib.get_close_matches(base, _NETS, n=1, cutoff=0.0)[0]
        raise BenchmarkError(f"unknown network {base!r}", hint=f"did you mean {near!r}? Any timm model is timm:<model>")
    return _NETS[base]
