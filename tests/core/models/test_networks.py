"""Networks: sizes counted by hand, one answer for all, vectorised gradients, repeatable draws."""

from __future__ import annotations

import subprocess
import sys
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmark.core.errors import BenchmarkError
from benchmark.core.models.build import build, names
from benchmark.core.models.fedmd import SamePool
from benchmark.core.models.gan import Discriminator, Generator

CIFAR, MNIST, DIGITS = (3, 32, 32), (1, 28, 28), (1, 8, 8)
SMALL_TIMM = ["mobilenetv3_small_050", "test_vit", "test_resnet", "test_efficientnet", "mnasnet_small", "resnet10t"]
# FedMD's deeper networks halve 8 pixels to 2 before a 3x3 convolution without padding.
TOO_DEEP_FOR_DIGITS = {f"fedmd_{i}" for i in range(5, 10)} | {f"fedmd_cifar_{i}" for i in range(1, 10)}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def fresh(name: str, shape: tuple[int, int, int], classes: int = 10, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build(name, shape, classes)


SIZES = [
    # conv 5x5: 75*32+32 = 2,432 (1 channel: 25*32+32 = 832); 800*64+64 = 51,264; linear 4096*512+512 = 2,097,664
    # (28 pixels: 3136*512+512 = 1,606,144); classifier 512*10+10 = 5,130 (100 classes: 51,300)
    ("cnn_fedntd", CIFAR, 10, 2_432 + 51_264 + 2_097_664 + 5_130),
    ("cnn_fedntd", CIFAR, 100, 2_202_660),
    ("cnn_fedntd", MNIST, 10, 832 + 51_264 + 1_606_144 + 5_130),
    # 27*16+16 = 448; 144*32+32 = 4,640; 32*8*8 = 2,048 -> 128: 262,272; 128*10+10 = 1,290
    ("cnn_lite", CIFAR, 10, 448 + 4_640 + 262_272 + 1_290),
    # 9*16+16 = 160; 32*7*7 = 1,568 -> 128: 200,832
    ("cnn_lite", MNIST, 10, 160 + 4_640 + 200_832 + 1_290),
    # 27*32+32 = 896; 288*64+64 = 18,496; 64*8*8 = 4,096 -> 128: 524,416
    ("cnn_lite_wide", CIFAR, 10, 896 + 18_496 + 524_416 + 1_290),
    # the third convolution is 32 -> 64: 18,496; 64*4*4 = 1,024 -> 128: 131,200
    ("cnn_lite_deep", CIFAR, 10, 448 + 4_640 + 18_496 + 131_200 + 1_290),
    # weights alone: 9*32, 288*64, 64*12*12 = 9,216 -> 128, 128*10
    ("cnn_fd", MNIST, 10, 288 + 18_432 + 1_179_648 + 1_280),
    # conv 9*6+6 = 60, 54*16+16 = 880; BatchNorm 2 * 22 = 44; 28 -> 14 -> 7 pixels: 784*32+32 = 25,120; 32*10+10 = 330
    ("cnn_fedgen", MNIST, 10, 60 + 880 + 44 + 25_120 + 330),
    # 27*16 + 144*32 + 288*64 + 576*128 without biases; BatchNorm 2 * 240; 128 -> 10
    ("cnn_bn", CIFAR, 10, 432 + 4_608 + 18_432 + 73_728 + 480 + 1_290),
    ("mlp_bn", DIGITS, 10, 64 * 128 + 128 + 256 + 128 * 32 + 32 + 64 + 330),
    ("mlp", DIGITS, 10, 64 * 64 + 64 + 64 * 10 + 10),
    ("mlp_wide", DIGITS, 10, 64 * 256 + 256 + 256 * 10 + 10),
    # 9*4+4 = 40; 4*4*4 = 64 -> 16: 1,040; 16*10+10 = 170
    ("golden", DIGITS, 10, 40 + 1_040 + 170),
    # conv 9*128+128 = 1,280, BatchNorm 256; conv 1152*256+256 = 295,168, BatchNorm 512; 28 -> 13 pixels: 43,264 * 16
    ("fedmd_0", MNIST, 16, 1_280 + 256 + 295_168 + 512 + 43_264 * 16),
    # conv 1,280+256; conv 2x2 512*128+128 = 65,664 + 256; conv 3x3 1152*128+128 = 147,584 + 256; 28 -> 14 -> 7 -> 3
    ("fedmd_8", MNIST, 16, 1_536 + 65_920 + 147_840 + 9 * 128 * 16),
    # conv 27*64+64 = 1,792; 2x2 256*64+64 = 16,448; twice 576*64+64 = 36,928; 4 BatchNorms; 32 -> 16 -> 8 -> 3
    ("fedmd_cifar_9", CIFAR, 16, 1_792 + 16_448 + 2 * 36_928 + 4 * 128 + 9 * 64 * 16),
    # stem 27*16+32 = 464; stage of 16: 2*(2,304+32) = 4,672; of 32: 4,608+64 + 9,216+64 + shortcut 512+64 = 14,528;
    # of 64: 18,432+128 + 36,864+128 + 2,048+128 = 57,728; classifier 650
    ("resnet8", CIFAR, 10, 464 + 4_672 + 14_528 + 57_728 + 650),
    # one more block per stage, 4,672 + 2*(9,216+64) = 18,560 + 2*(36,864+128) = 73,984: 97,216 in all
    ("resnet20", CIFAR, 10, 78_042 + 2 * 97_216),
    ("resnet32", CIFAR, 10, 78_042 + 4 * 97_216),
    ("resnet8_gn", CIFAR, 10, 78_042),
    # papers/FedX counts 11,168,832 before the classifier of 512*10+10 = 5,130
    ("resnet18", CIFAR, 10, 11_168_832 + 5_130),
    ("resnet18_gn", CIFAR, 10, 11_173_962),
    # projection 512*256+256 + 256*256+256 = 197,120; prediction 2 * (256*256+256) = 131,584
    ("resnet18+heads", CIFAR, 10, 11_168_832 + 197_120 + 131_584),
    ("resnet18+projection", CIFAR, 10, 11_365_952),
    # (9*before+1)*after for 3-4-8-16-16-32-32-32-32: 112+296+1,168+2,320+4,640+3*9,248; classifier 330
    ("vgg9", CIFAR, 10, 112 + 296 + 1_168 + 2_320 + 4_640 + 27_744 + 330),
]


@pytest.mark.parametrize(("name", "shape", "classes", "expected"), SIZES)
def test_parameter_counts(name: str, shape: tuple[int, int, int], classes: int, expected: int) -> None:
    assert parameters(build(name, shape, classes)) == expected


def test_counts_of_the_papers() -> None:
    assert parameters(build("cnn_fedntd", CIFAR, 10)) == 2_156_490
    assert parameters(build("cnn_fedntd", MNIST, 10)) == 1_663_370
    assert parameters(build("cnn_fd", MNIST, 10)) == 1_199_648
    assert parameters(build("resnet20", CIFAR, 10)) == 272_474
    assert parameters(build("resnet32", CIFAR, 10)) == 466_906
    assert parameters(build("resnet18+heads", CIFAR, 10)) == 11_497_536


def check_answer(net: Any, shape: tuple[int, int, int]) -> None:
    net.eval()
    with torch.no_grad():
        out = net(torch.randn(2, *shape))
        assert out.logits.shape == (2, 7)
        assert out.features.ndim == 2
        assert torch.equal(net.classifier(out.features), out.logits)
    assert out.projection is None and out.prediction is None
    assert not any("num_batches_tracked" in name for name in net.state_dict())


@pytest.mark.parametrize("shape", [CIFAR, MNIST, DIGITS])
@pytest.mark.parametrize("name", names())
def test_every_net_answers_logits_of_its_features(name: str, shape: tuple[int, int, int]) -> None:
    if shape == DIGITS and name in TOO_DEEP_FOR_DIGITS:
        with pytest.raises(BenchmarkError, match=f"{name}.*1x8x8"):
            build(name, shape, 7)
    else:
        check_answer(build(name, shape, 7), shape)


@pytest.mark.parametrize("shape", [CIFAR, MNIST])
@pytest.mark.parametrize("model", SMALL_TIMM)
def test_timm_models_answer_logits_of_their_features(model: str, shape: tuple[int, int, int]) -> None:
    check_answer(build(f"timm:{model}", shape, 7), shape)


def test_timm_stems_fit_small_images() -> None:
    # stride 2 becomes 1; 32 pixels in patches of 4 make 8x8 = 64 patches, and one class token
    assert fresh("timm:test_resnet", CIFAR).body.model.conv1[0].stride == (1, 1)
    assert fresh("timm:test_vit", CIFAR).body.model.pos_embed.shape[1] == 65


def test_heads_follow_the_backbone() -> None:
    net = fresh("cnn_lite+heads", CIFAR)
    out = net(torch.randn(2, *CIFAR))
    assert out.logits is None
    assert out.features.shape == (2, 128)
    assert torch.equal(net.projection(out.features), out.projection)
    assert torch.equal(net.prediction(out.projection), out.prediction)
    assert {name.split(".")[0] for name in net.state_dict()} == {"backbone", "projection", "prediction"}
    assert not any("classifier" in name for name in net.state_dict())
    assert build("cnn_lite+projection", CIFAR, 10)(torch.randn(2, *CIFAR)).prediction is None


@pytest.mark.parametrize("name", ["golden", "resnet8", "fedmd_5", "resnet8_gn+heads", "timm:test_efficientnet"])
def test_a_seed_decides_all(name: str) -> None:
    first, same, other = (fresh(name, CIFAR, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ["resnet8", "resnet8_gn", "cnn_lite", "timm:test_resnet"])
def test_gradients_of_stacked_clients_are_those_of_each(name: str) -> None:
    nets = [fresh(name, (3, 16, 16), seed=seed).double() for seed in (0, 1)]
    x = torch.randn(2, 4, 3, 16, 16, dtype=torch.float64)
    y = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])

    def loss(params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, object]:
        buffers = {key: value.clone() for key, value in buffers.items()}
        out = functional_call(nets[0], (params, buffers), (x,))
        return nn.functional.cross_entropy(out.logits, y), buffers

    gradients, buffers = vmap(grad(loss, has_aux=True))(*stack_module_state(nets), x, y)
    for client, net in enumerate(nets):
        own = torch.autograd.grad(nn.functional.cross_entropy(net(x[client]).logits, y[client]), list(net.parameters()))
        for (key, _), gradient in zip(net.named_parameters(), own, strict=True):
            torch.testing.assert_close(gradients[key][client], gradient)
        for key, value in net.named_buffers():
            torch.testing.assert_close(buffers[key][client], value)


def test_dropout_differs_between_stacked_clients() -> None:
    net = fresh("fedmd_5", MNIST)
    params = dict(net.named_parameters())
    x = torch.randn(1, 2, *MNIST).expand(2, -1, -1, -1, -1)

    def logits(x: Tensor) -> Tensor:
        answer: Tensor = functional_call(net, params, (x,)).logits
        return answer

    net.eval()  # shared running statistics must not change, dropout must
    for layer in net.modules():
        if isinstance(layer, nn.Dropout):
            layer.train()
    first, second = vmap(logits, randomness="different")(x)
    assert not torch.equal(first, second)


def test_same_pool_averages_without_padding() -> None:
    # [[1, 2], [3, 4]]: 1+2+3+4 over 4; right column 2+4 over 2; bottom row 3+4 over 2; corner 4
    pooled = SamePool()(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert pooled.tolist() == [[[[2.5, 3.0], [3.5, 4.0]]]]


def test_batchnorm_keeps_a_tenth_of_the_batch() -> None:
    # Running mean starts at 0; after one batch of mean m it is 0.1 m.
    net = fresh("resnet8", CIFAR)
    x = torch.randn(8, *CIFAR)
    net(x)
    torch.testing.assert_close(net.norm.running_mean, 0.1 * net.conv(x).mean((0, 2, 3)))


def test_feddf_draws_he_normal_convolutions() -> None:
    # 64 -> 64 channels, 3x3: standard deviation sqrt(2 / (9 * 64)) = 0.0589; torch's default would give 0.0241
    weights = fresh("resnet20", CIFAR).stage_3[1].conv_1.weight
    assert weights.std().item() == pytest.approx(0.0589, abs=0.001)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("name", "pools"), [("cnn_lite", 2), ("cnn_fd", 1), ("golden", 1), ("cnn_bn", 3), ("vgg9", 5)])
def test_pooling_before_relu_is_the_papers_pooling_after_it(name: str, pools: int, form: torch.memory_format) -> None:
    net = fresh(name, CIFAR)
    layers = list(net.children())[:-1]
    places = [place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    assert len(places) == pools
    for place in places:
        assert isinstance(layers[place + 1], nn.ReLU)
        layers[place : place + 2] = layers[place + 1], layers[place]
    papers = nn.Sequential(*layers, net.classifier)
    x = torch.randn(6, *CIFAR)
    x[:, :, :16] = 0.5  # flat areas: the largest of four is not one of them alone
    x, net, papers = x.to(memory_format=form), net.to(memory_format=form), papers.to(memory_format=form)
    weights = list(net.parameters())
    ours, theirs = net(x).logits, papers(x)
    assert torch.equal(ours, theirs)
    losses = ours.logsumexp(1).sum(), theirs.logsumexp(1).sum()
    assert all(map(torch.equal, *(torch.autograd.grad(loss, weights) for loss in losses)))


def test_faug_generator() -> None:
    generator = Generator(MNIST, 10).eval()
    numbers = sum(value.numel() for value in generator.state_dict().values())
    # 100*256+256 = 25,856; 256*512+512 = 131,584; 512*1024+1024 = 525,312; 1024*784+784 = 803,600; BatchNorm 4*1,792
    assert numbers - 10 * 100 == 25_856 + 131_584 + 525_312 + 803_600 + 4 * 1_792 == 1_493_520
    labels = torch.tensor([3, 4])
    images = generator(torch.ones(2, 100), labels)
    assert images.shape == (2, *MNIST)
    assert images.abs().max() <= 1
    assert not torch.equal(images[0], images[1])
    assert Discriminator(MNIST, 10)(images, labels).shape == (2,)
    assert Generator(CIFAR, 10)(torch.randn(2, 100), labels)[0].numel() == prod(CIFAR)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cnn_lit", "cnn_lite"),
        ("resnet9+heads", "resnet"),
        ("cnn_lite+haeds", "heads, projection"),
        ("timm:test_vitt", "test_vit"),
        ("timm:deit_tiny_distilled_patch16_224", "no single linear classifier"),
        ("timm:mixer_s32_224", "cannot take 3x32x32"),
    ],
)
def test_wrong_names_are_answered_with_a_way_out(name: str, words: str) -> None:
    with pytest.raises(BenchmarkError, match=words) as caught:
        build(name, CIFAR, 10)
    assert caught.value.user
    assert caught.value.hint


def test_timm_waits_until_it_is_asked_for() -> None:
    code = "import sys, benchmark.core.models.build; sys.exit('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
