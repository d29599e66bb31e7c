"""FAug and FedDF on generated images: what the generator learns from, and what becomes of its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms import feddf_gan
from algorithms._faug import FAug, picture
from algorithms._gan import Gan
from algorithms.fd_faug import FDFAug
from algorithms.feddf import FedDF
from algorithms.feddf_gan import FedDFGan
from algorithms.fl_faug import FLFAug
from benchmark.core.api import Hub, Phase, Tree, Upload, Who
from benchmark.core.keys import Key
from benchmark.core.tasks.task import Optimiser, Train
from helpers.small_federation import small_federation

TRAIN = Phase("train", 1)


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Images and labels that a generator is asked to learn; it learns nothing."""
    seen: list[tuple[Tensor, Tensor]] = []

    def learn(self: Gan, images: Tensor, labels: Tensor, hub: Hub, key: Key) -> Tree:
        seen.append((images, labels))
        return {}

    monkeypatch.setattr(Gan, "learn", learn)
    yield seen


@pytest.mark.parametrize("method", [FDFAug(), FLFAug()])
@pytest.mark.parametrize(("train", "steps"), [({"epochs": 3}, 9), ({"steps": 5}, 5)])
def test_faug_trains_on_private_and_generated_images_for_as_long_as_without(
    method: FAug, train: dict[str, int], steps: int
) -> None:
    # three epochs over the 10 private images are 3 * 3 batches of 4, however many were generated
    prescribed = Train(batch=4, optimiser=Optimiser(lr=0.1), **train)
    site = small_federation(sizes=(10,), cohort=1, train=prescribed).site(0, TRAIN, 0)
    (only,) = method.passes(TRAIN, site)
    assert (only.stream, only.steps) == ("joined", steps)


def test_a_label_with_exactly_the_share_that_counts_as_rare_is_no_target() -> None:
    # half of 12 / 3 is 2
    assert FDFAug().targets(torch.tensor([2, 4, 6])).tolist() == [False, False, False]
    assert FDFAug().targets(torch.tensor([1, 5, 6])).tolist() == [True, False, False]


def test_faug_learns_seeds_between_minus_one_and_one_and_knows_their_labels(
    taught: list[tuple[Tensor, Tensor]],
) -> None:
    hub = small_federation().hub
    messages = [
        {"pixels": torch.full((1, 4, 4, 1), shade, dtype=torch.uint8), "labels": torch.tensor([label]), "targets": one}
        for shade, label, one in ((0, 2, torch.tensor(1)), (255, 0, torch.tensor(1)))
    ]
    uploads = [Upload(Who(i, "mlp", 8), message) for i, message in enumerate(messages)]
    server = FLFAug().aggregate({"models": {}}, uploads, Phase("seeds", 1), hub, Key(0))
    ((images, labels),) = taught
    assert images.shape == (2, 1, 4, 4) and images[:, 0, 0, 0].tolist() == [-1, 1]
    assert labels.tolist() == [2, 0] and server["known"].tolist() == [1, 0, 1]


def test_a_picture_has_all_shades_of_a_byte() -> None:
    # -1, 0 and 1 in three channels: 0, 127.5 and 255, rounded to even
    class Painter:
        def frozen(self, params: Tree, x: Any) -> Tensor:
            return torch.tensor([-1.0, 0, 1])[None, :, None, None].expand(len(x[0]), 3, 4, 5)

    images = picture(Painter(), {"label.weight": torch.zeros(2, 7)}, torch.tensor([0, 1]), Key(0))  # type: ignore[arg-type]
    assert images.dtype == torch.uint8 and images.shape == (2, 4, 5, 3)
    assert images[1, 2, 3].tolist() == [0, 128, 255]


def test_a_generator_sees_all_labels_equally_often() -> None:
    hub, seen = small_federation().hub, list[Tensor]()

    class InstrumentedAlgorithm:
        def __init__(self, net: Any) -> None:
            self.init, self.weights, self.net = net.init, net.weights, net

        def train(self, params: Tree, x: tuple[Tensor, Tensor]) -> Any:
            seen.append(x[1])
            return self.net.train(params, x)

    def network(name: str) -> Any:
        return InstrumentedAlgorithm(hub.network(name)) if name == "faug_generator" else hub.network(name)

    labels = torch.tensor([0] * 9 + [1])
    FLFAug(gan_steps=20).learn(torch.zeros(10, 1, 4, 4), labels, replace(hub, network=network), Key(0))
    # 20 * 64 fair draws: their mean is known to 1 / (2 sqrt(1280)); image by image it would be 1 / 10
    assert float(torch.cat(seen).float().mean()) == pytest.approx(0.5, abs=5 / (2 * 1280**0.5))


def test_generated_images_span_what_the_public_ones_do(
    taught: list[tuple[Tensor, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, shown = small_federation(public=12, validation=12).hub, list[Tensor]()
    assert hub.public is not None
    low, high = float(hub.public.pixels.min()), float(hub.public.pixels.max())
    server = FedDFGan().init_server(hub, Key(0))
    ((learnt, _),) = taught
    assert (float(learnt.min()), float(learnt.max())) == pytest.approx((-1, 1), abs=1e-6)

    def aggregate(self: FedDF, server: Tree, uploads: Any, phase: Phase, hub: Hub, key: Key) -> Tree:
        assert hub.unlabelled is not None
        shown.append(hub.unlabelled.inputs())
        return {}

    monkeypatch.setattr(FedDF, "aggregate", aggregate)
    shades = torch.tensor([-1.0, 0, 1]).reshape(3, 1, 1, 1)
    monkeypatch.setattr(feddf_gan, "imagine", lambda *_: shades)
    FedDFGan().aggregate(server, [], TRAIN, hub, Key(0))
    assert shown[0].flatten().tolist() == pytest.approx([low, (low + high) / 2, high], abs=1e-6)
