"""FAug: before training, a generator learned on a few uploaded seeds evens out what each client knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from algorithms._gan import Gan, imagine
from benchmark.core.api import Hub, Key, Local, Net, Pass, Phase, Site, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FAug(Gan):
    """Federated augmentation, a mixin in front of the method that trains afterwards.

    Seeds: a client with counts n_l wants its target labels L_t, those with n_l < rare * n / L; it uploads a few images
    of them and of as many redundant labels L_r, drawn from the others to hide L_t. The server draws seeds evenly over
    labels, trains a conditional GAN on them and sends down the generator and which labels it knows. Each client fills
    its target labels up to the mean of its other labels, and trains as many steps as it would have without.
    The paper lets the server enlarge the seeds by an image search; here it only repeats them.
    Each client adds in one byte of how many target labels it sent seeds, so that both leakages can be reported.

    Source: Jeong et al. 2018, section 3; five seeds a label, three target labels and none redundant in table 1.
    """

    seeds: int = hyper(5, low=1)
    redundant: int = hyper(0, "|L_r|", low=0)
    rare: float = hyper(0.5, low=0, high=1)

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        opening = Phase("seeds", 1, everyone=True), Phase("generator", 1, everyone=True)
        return *opening, *super().phases(rounds)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        if phase.name in ("seeds", "generator"):
            return ()
        train = site.train
        steps = train.steps or train.epochs * -(-site.data.size // train.batch)
        return tuple(replace(run, stream="joined", steps=steps) for run in super().passes(phase, site))

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        draw = {"draw": torch.tensor(key.seed)}
        if phase.name == "seeds":
            return draw
        if phase.name == "generator":
            return {**draw, "known": server["known"], **split(server["generator"])}
        return super().download(server, who, phase, key)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        if phase.name in ("seeds", "generator"):
            return Local({})
        local = super().begin(client, message, phase, site)
        return local.having(context={**local.context, "images": client["images"], "labels": client["labels"]})

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        if phase.name not in ("seeds", "generator"):
            return super().finish(client, local, message, phase, site)
        assert message is not None
        key = Key(int(message["draw"]))("client", site.who.id)
        if phase.name == "seeds":
            rows = self.seed_rows(site.data.labels, site.data.counts, key)
            labels = site.data.labels[rows]
            targets = self.targets(site.data.counts)[labels.unique()].sum().to(torch.uint8)
            return client, {"pixels": site.data.pixels[rows], "labels": labels.to(torch.int16), "targets": targets}
        labels = self.missing(site.data.counts, message["known"])
        net = site.network("faug_generator")
        return {**client, "images": picture(net, joined(message), labels, key), "labels": labels}, None

    def targets(self, counts: Tensor) -> Tensor:
        """L_t of a client with so many samples per class, as a mask (C,)."""
        return counts < self.rare * counts.sum() / len(counts)

    def seed_rows(self, labels: Tensor, counts: Tensor, key: Key) -> Tensor:
        """Rows of the images to upload, up to `seeds` of each target and redundant label, in no telling order."""
        targets = self.targets(counts)
        others = torch.nonzero(~targets).flatten()
        redundant = others[torch.from_numpy(key("redundant").permutation(len(others)))][: self.redundant]
        chosen = torch.cat([torch.nonzero(targets).flatten(), redundant])
        order = torch.from_numpy(key("images").permutation(len(labels)))
        return torch.cat([order[:0], *(order[labels[order] == label][: self.seeds] for label in chosen)]).sort().values

    def missing(self, counts: Tensor, known: Tensor) -> Tensor:
        """Labels (m,) to generate: target labels that the generator knows, up to the mean of the other labels."""
        targets = self.targets(counts)
        goal = round(float(counts[~targets].float().mean()))
        wanted = torch.where(targets & known.bool(), goal - counts, 0)
        return torch.repeat_interleave(torch.arange(len(counts)), wanted)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        if phase.name == "generator":
            return {name: part for name, part in server.items() if name not in ("generator", "known")}
        if phase.name != "seeds":
            return {"leakage": server["leakage"], **super().aggregate(server, uploads, phase, hub, key)}
        pixels = torch.cat([upload.message["pixels"] for upload in uploads])
        labels = torch.cat([upload.message["labels"] for upload in uploads]).long()
        known = torch.bincount(labels, minlength=hub.classes) > 0
        generator = self.learn(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1, labels, hub, key)
        sent = [set(upload.message["labels"].tolist()) for upload in uploads]
        leaks = leakage([int(upload.message["targets"]) for upload in uploads], sent)
        means = torch.tensor(leaks, dtype=torch.float64).mean(0)
        return {**server, "generator": generator, "known": known.to(torch.uint8), "leakage": means}

    def report(self, server: Tree) -> dict[str, float]:
        to_server, to_others = server["leakage"].tolist()
        return {"leakage_device_server": to_server, "leakage_inter_device": to_others}


def leakage(targets: Sequence[int], sent: Sequence[set[int]]) -> list[tuple[float, float]]:
    """What uploaded seeds give away of each device's target labels: to the server, and to the other devices.

    targets: |L_t| of each device among the labels that it sent, L_t and L_r together
    |L_t| / (|L_t| + |L_r|) and |L_t| / |union over devices of L_t and L_r|; 0 for a device without target labels.
    """
    union = set[int]().union(*sent)
    return [
        (count / len(own), count / len(union)) if count else (0.0, 0.0)
        for count, own in zip(targets, sent, strict=True)
    ]


def picture(net: Net, generator: Tree, labels: Tensor, key: Key) -> Tensor:
    """Generated images of labels (m,), uint8 (m, height, width, channels)."""
    return ((imagine(net, generator, labels, key) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def split(generator: Tree) -> Tree:
    """The layers, which the paper counts, apart from the table of labels, which it leaves out of its sum."""
    layers = {name: leaf for name, leaf in generator.items() if name != "label.weight"}
    return {"generator": layers, "label": generator["label.weight"]}


def joined(message: Tree) -> Tree:
    """The inverse of `split`."""
    return {**message["generator"], "label.weight": message["label"]}
