"""Methods whose server trains, an ensemble's student or a generator: numbers by hand and bytes as they were counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms._faug import leakage
from algorithms.fd_faug import FDFAug
from algorithms.fedavg import FedAvg
from algorithms.feddf import FedDF, better, judge
from algorithms.fl_faug import FLFAug
from benchmark.core.api import Upload, Who
from benchmark.core.client.federation import Federation
from benchmark.core.client.federation_data import IndexedImages
from benchmark.core.data.batches import Stream
from benchmark.core.keys import Key
from helpers.small_federation import run, small_federation

# FedDF


def ensemble(federation: Federation) -> list[Upload]:
    models = federation.hub.models
    whos = [Who(i, arch, 8) for i, arch in enumerate(models)]
    return [Upload(who, {"model": models[who.arch].init(Key(who.id))}) for who in whos]


def test_feddf_teacher_is_the_mean_of_all_logits() -> None:
    federation = small_federation(public=12, validation=12, networks=("mlp", "mlp_wide"))
    hub, uploads = federation.hub, ensemble(federation)
    assert hub.unlabelled is not None
    batch = next(hub.unlabelled.batches(Key(0), 4, 1, augment=False))
    _, logits = FedDF()._teacher(uploads, hub, Key(0))(batch)
    one, two = (hub.models[u.who.arch].frozen(u.message["model"], batch.x).logits for u in uploads)
    torch.testing.assert_close(logits, (one + two) / 2)


def test_feddf_gradient() -> None:
    # d KL(p || softmax(z)) / dz = softmax(z) - p, so the classifier's bias has the batch mean of q - p
    federation = small_federation(public=12, validation=12)
    model, x = federation.hub.models["mlp"], torch.ones(2, 1, 4, 4)
    params, teacher = model.init(Key(0)), torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
    gradients, _ = FedDF(clip=1e9).gradient(params, model, x, teacher)
    q = model.frozen(params, x).logits.softmax(-1)
    torch.testing.assert_close(gradients["classifier.bias"], (q - teacher.softmax(-1)).mean(0))
    clipped, _ = FedDF(clip=0.01).gradient(params, model, x, teacher)
    assert sum(float(g.square().sum()) for g in clipped.values()) ** 0.5 == pytest.approx(0.01, rel=1e-3)


def test_feddf_drops_teachers_near_chance() -> None:
    # a model that always answers class 0 is right on a third: below 1.2 / 3
    federation = small_federation(public=12, validation=12)
    model, hub = federation.hub.models["mlp"], federation.hub
    always = model.init(Key(0))
    always["classifier.bias"] += torch.tensor([1e3, 0, 0])
    candidates = [model.init(Key(seed)) for seed in range(20)]
    good = max(candidates, key=lambda params: judge(model, params, hub.validation))
    assert judge(model, always, hub.validation) == pytest.approx(1 / 3)
    bad, fine = (Upload(Who(i, "mlp", 8), {"model": params}) for i, params in enumerate((always, good)))
    assert better([bad, fine], hub) == [fine]
    assert better([bad], hub) == [bad]


def test_feddf_distils_every_architecture_at_no_extra_bytes() -> None:
    federation = small_federation(public=12, validation=12, networks=("mlp", "mlp_wide"), track="heterogeneous")
    plain, distilled = run(FedAvg(), federation), run(FedDF(steps=3), federation)
    assert plain.communication.payload == distilled.communication.payload
    for arch, average in plain.server["models"].items():
        assert not torch.equal(average["classifier.weight"], distilled.server["models"][arch]["classifier.weight"])


# FAug


def test_leakages() -> None:
    # device 0: {1} of {1, 2}: 1/2 to the server; devices: union {1, 2, 3}: 1/3. Device 1: 2/2 and 2/3. Device 2: none
    assert leakage([1, 2, 0], [{1, 2}, {2, 3}, set()]) == [(1 / 2, 1 / 3), (1.0, 2 / 3), (0.0, 0.0)]


def test_faug_reports_the_mean_leakages() -> None:
    # rare * n / L = 0.5 * 12 / 3 = 2: client 0 has 1, 1, 10, targets 0 and 1, hidden behind 2: 2/3 of what it sends.
    # Client 1 has 1, 5, 6: target 0 and one of the others: 1/2. Client 2 has 4 of each: no target, so 0.
    # All three labels are out: 2/3, 1/3 and 0 between the devices.
    labels = np.repeat([0, 1, 2] * 3, [1, 1, 10, 1, 5, 6, 4, 4, 4])
    federation = small_federation(sizes=(12, 12, 12), cohort=1, rounds=2)
    federation.data = replace(federation.data, private=replace(federation.data.private, labels=labels))
    for method in (FDFAug(redundant=1, gan_steps=1), FLFAug(redundant=1, gan_steps=1)):
        assert run(method, federation).result["reported"] == {
            "leakage_device_server": round((2 / 3 + 1 / 2) / 3, 6),
            "leakage_inter_device": round((2 / 3 + 1 / 3) / 3, 6),
        }
    assert "reported" not in run(FedAvg(), federation).result


def test_faug_targets_and_what_is_missing() -> None:
    # 5 + 20 + 0 + 31 = 56 samples of 4 labels, 14 a label: fewer than 7 makes a target; the others average 25.5 -> 26
    counts = torch.tensor([5, 20, 0, 31])
    assert FDFAug().targets(counts).tolist() == [True, False, True, False]
    assert torch.bincount(FDFAug().missing(counts, torch.ones(4)), minlength=4).tolist() == [21, 0, 26, 0]
    assert torch.bincount(FDFAug().missing(counts, torch.tensor([1, 1, 0, 1])), minlength=4).tolist() == [21, 0, 0, 0]


def test_faug_hides_targets_among_redundant_labels() -> None:
    labels = torch.tensor([0] * 5 + [1] * 20 + [2] * 20)
    for redundant, expected in ((0, {0}), (2, {0, 1, 2})):
        rows = FDFAug(seeds=3, redundant=redundant).seed_rows(labels, torch.bincount(labels), Key(0))
        assert set(labels[rows].tolist()) == expected and len(rows) == 3 * len(expected)
    assert len(FDFAug().seed_rows(labels[:5], torch.tensor([5]), Key(0))) == 0


def test_faug_costs_what_the_paper_says_and_fills_the_gaps() -> None:
    # table 1: 47,989,120 bits = 16 rounds of FD, 15 seeds of 784 bytes, a generator of 1,493,520 floats;
    # labels (2 bytes a seed), the number of targets, the label table, the mask of known labels and the seeds of draws
    # come on top
    labels = np.repeat(np.arange(10), [5] * 3 + [20] * 7)
    images = Key(0)("pixels").numpy().integers(0, 256, (len(labels), 28, 28, 1), dtype=np.uint8)
    federation = small_federation(sizes=(len(labels),), cohort=1, rounds=16, classes=10, shape=(1, 28, 28), batch=50,
                                  evaluate_every=18)  # fmt: skip
    federation.data = replace(federation.data, private=IndexedImages(images, labels, np.arange(len(labels))))
    outcome = run(FDFAug(gan_steps=1), federation)
    paper = {("seeds", "up", "pixels"), ("generator", "down", "generator"), ("train", "up", "means"),
             ("train", "down", "teacher")}  # fmt: skip
    assert 8 * sum(size for row, size in outcome.communication.payload.items() if row in paper) == 47_989_120
    extras = {row: size for row, size in outcome.communication.payload.items() if row not in paper}
    assert extras == {
        ("seeds", "down", "draw"): 8, ("seeds", "up", "labels"): 30, ("seeds", "up", "targets"): 1,
        ("generator", "down", "draw"): 8, ("generator", "down", "known"): 10, ("generator", "down", "label"): 4000,
    }  # fmt: skip
    # three targets of 5 samples filled up to the others' 20
    assert torch.bincount(outcome.memories[0]["labels"], minlength=10).tolist() == [15] * 3 + [0] * 7
    assert outcome.memories[0]["images"].shape == (45, 28, 28, 1)


def test_joined_streams_follow_each_other() -> None:
    stream = Stream(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]), classes=3, mean=(0.0,), std=(1.0,))
    both = stream.joined(torch.ones(1, 1, 1, 1), torch.tensor([2]))
    assert both.labels.tolist() == [0, 1, 2] and both.pixels.flatten().tolist() == [0, 0, 1]
    assert both.counts.tolist() == [1, 1, 1] and both.size == 3
