"""Clients with 1-bit weights: scales and gradients by hand, bytes as they were counted, packing there and back."""

from __future__ import annotations

import pytest
import torch

from algorithms._binary import binarised, binary_names, pack, packed, scales, straight_through, unpack, unpacked
from algorithms.fedavg import FedAvg
from algorithms.fedavg_1bit import FedAvg1Bit
from algorithms.feddf_1bit import FedDF1Bit
from benchmark.core.api import Algorithm, Batch, Local, Phase
from benchmark.core.keys import Key
from helpers.small_federation import run, small_federation


def test_scale_of_a_channel_is_its_mean_magnitude() -> None:
    # (1 + 3) / 2 = 2 and (0 + 5) / 2 = 2.5; zero counts as positive
    weight = torch.tensor([[1.0, -3.0], [0.0, -5.0]])
    assert scales(weight).tolist() == [2.0, 2.5]
    assert binarised(weight).tolist() == [[2.0, -2.0], [2.5, -2.5]]
    # a kernel: (1 + 2 + 3 + 4) / 4 = 2.5 over all places of the one output channel
    kernel = torch.tensor([[1.0, -2.0], [3.0, -4.0]]).reshape(1, 1, 2, 2)
    assert binarised(kernel).flatten().tolist() == [2.5, -2.5, 2.5, -2.5]


def test_the_gradient_goes_straight_through() -> None:
    # d (a . b(w)) / dw = a as if b were the identity: the scale's own slope does not count
    weight, slope = torch.tensor([[0.3, -0.7]], requires_grad=True), torch.tensor([[2.0, 5.0]])
    value = straight_through(weight)
    assert torch.equal(value, binarised(weight))
    assert torch.autograd.grad((value * slope).sum(), weight)[0].tolist() == [[2.0, 5.0]]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 1001])
def test_signs_survive_packing(count: int) -> None:
    bits = torch.rand(count, generator=Key(count).torch()) < 0.5
    assert len(pack(bits)) == (count + 7) // 8
    assert torch.equal(unpack(pack(bits), count), bits)


def test_bits_of_a_byte_begin_with_the_lowest() -> None:
    # 1 + 4 + 128 = 133, and the ninth bit opens a second byte
    bits = torch.tensor([1, 0, 1, 0, 0, 0, 0, 1, 1], dtype=torch.bool)
    assert pack(bits).tolist() == [133, 1]


def test_a_model_arrives_as_its_binary_self() -> None:
    net = small_federation(networks=("resnet8",), shape=(3, 8, 8)).hub.models["resnet8"]
    model = net.init(Key(0))
    names = binary_names(model, 3)
    # two convolutions in each of three blocks and two shortcuts; stem and classifier stay
    assert len(names) == 8 and "conv.weight" not in names and "classifier.weight" not in names
    arrived = unpacked(packed(model, 3), net.init(Key(1)))
    assert arrived.keys() == model.keys()
    for name, leaf in model.items():
        assert torch.equal(arrived[name], binarised(leaf) if name in names else leaf)


@pytest.mark.parametrize("method", [FedAvg1Bit(), FedDF1Bit(steps=2)])
def test_signs_cost_a_bit_and_the_server_answers_in_full(method: Algorithm) -> None:
    # mlp on 16 pixels, 3 classes: linear_1 64 x 16 + 64, classifier 3 x 64 + 3. Two clients in each of three rounds.
    # Up: 1024 / 8 = 128 bytes of signs, 64 scales of 4, and (64 + 192 + 3) * 4 = 1036 of the rest
    outcome = run(method, small_federation(public=12, validation=12))
    assert outcome.communication.payload == {
        ("train", "up", "signs"): 6 * 128, ("train", "up", "scales"): 6 * 256, ("train", "up", "rest"): 6 * 1036,
        ("train", "down", "model"): 6 * 4 * (1024 + 64 + 192 + 3),
    }  # fmt: skip


def test_fedavg_1bit_averages_what_travelled() -> None:
    # one client: the mean is its upload, so every channel holds a single magnitude
    outcome = run(FedAvg1Bit(), small_federation(sizes=(8,), cohort=1, rounds=1))
    weight = outcome.server["models"]["mlp"]["linear_1.weight"]
    assert torch.equal(weight.abs(), weight[:, :1].abs().expand_as(weight)) and weight.unique(dim=1).shape[1] > 1


def test_clients_learn_through_their_binary_selves() -> None:
    federation = small_federation(networks=("resnet8",), shape=(1, 8, 8))
    net, data = federation.model("resnet8"), federation.private(0)
    model, batch = net.init(Key(0)), Batch(data.inputs(), data.labels, torch.arange(data.size))
    binary = {name: binarised(model[name]) for name in binary_names(model, 1)}
    ours, theirs, full = (
        float(method.loss(params, Local(params), batch, net)[0])
        for method, params in ((FedAvg1Bit(), model), (FedAvg(), {**model, **binary}), (FedAvg(), model))
    )
    assert ours == theirs != full


def test_what_reads_the_image_travels_as_it_is() -> None:
    # images of one channel and 8 x 8 pixels: the stem is the convolution that reads one channel
    site = small_federation(networks=("resnet8",), shape=(1, 8, 8)).site(0, Phase("train", 1), 0)
    model = site.model.init(Key(0))
    _, message = FedAvg1Bit().finish({}, Local(model), None, Phase("train", 1), site)
    assert message is not None
    assert sorted(message["signs"]) == sorted(message["scales"]) == binary_names(model, 1)
    assert torch.equal(message["rest"]["conv.weight"], model["conv.weight"])
