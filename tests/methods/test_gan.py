"""FedDF on generated images: where they come from, how they are dealt out, what they cost."""

from __future__ import annotations

import torch

from algorithms._gan import imagine
from algorithms.fedavg import FedAvg
from algorithms.feddf_gan import FedDFGan, Generated
from benchmark.core.keys import Key
from helpers.small_federation import run, small_federation


def test_generated_images_are_dealt_out_once_per_epoch() -> None:
    images = Generated(torch.arange(5.0).reshape(5, 1, 1, 1))
    # 5 images in batches of 2: 2 + 2 + 1 make an epoch, so six batches are two epochs
    batches = list(images.batches(Key(0), 2, 6))
    assert [len(batch.rows) for batch in batches] == [2, 2, 1, 2, 2, 1]
    epochs = [torch.cat([batch.rows for batch in batches[i : i + 3]]).tolist() for i in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 2 and epochs[0] != epochs[1]
    assert all(torch.equal(batch.x.flatten(), batch.rows.float()) for batch in batches)


def test_a_generator_moves_towards_its_images() -> None:
    # all public images alike, all bright or all dark: what the generator draws lies on their side of its start
    federation = small_federation(public=12, validation=12)
    net, labels = federation.hub.network("faug_generator"), torch.zeros(64, dtype=torch.int64)
    shades = []
    for shade in (-0.9, 0.9):
        images, classes = torch.full((12, 1, 4, 4), shade), torch.zeros(12, dtype=torch.int64)
        generator = FedDFGan(gan_steps=60, gan_batch=16).learn(images, classes, federation.hub, Key(0))
        shades.append(float(imagine(net, generator, labels, Key(1)).mean()))
    start = float(imagine(net, net.init(Key(0)("generator")), labels, Key(1)).mean())
    assert shades[0] < start - 0.1 and shades[1] > start + 0.1


def test_the_generator_is_made_once_and_stays_on_the_server() -> None:
    federation = small_federation(public=12, validation=12, rounds=2)
    method = FedDFGan(steps=3, gan_steps=2, images=20)
    start = method.init_server(federation.hub, federation.key("server"))
    outcome, plain = run(method, federation), run(FedAvg(), federation)
    for name, leaf in start["generator"].items():
        assert torch.equal(outcome.server["generator"][name], leaf)
    assert outcome.communication.payload == plain.communication.payload
    before, after = (o.server["models"]["mlp"]["classifier.weight"] for o in (plain, outcome))
    assert not torch.equal(before, after)


def test_images_lie_in_the_range_of_the_public_ones() -> None:
    federation = small_federation(public=12, validation=12)
    public = federation.hub.public
    assert public is not None
    server = FedDFGan(gan_steps=1).init_server(federation.hub, Key(0))
    assert float(server["low"]) == float(public.pixels.min())
    assert torch.isclose(server["low"] + server["span"], public.pixels.max()).all()
