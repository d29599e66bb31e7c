"""Compressed updates: clients send a short form of w_k - w, and the server adds the mean of what it restores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tensor, Tree, Upload, torch


@dataclass(frozen=True)
class CompressedUpdate(Algorithm):
    """Clients send `compress` of their update as one vector, names in sorted order; running statistics go whole."""

    def compress(self, client: Tree, update: Tensor) -> tuple[Tree, Tree]:
        """The client's new memory, and the message that encodes its update (n,)."""
        raise NotImplementedError

    def restore(self, message: Tree, size: int) -> Tensor:
        """The update (size,) that a message encodes."""
        raise NotImplementedError

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        assert message is not None
        received = site.model.weights(message["model"])
        update = torch.cat([(local.params[name] - received[name]).flatten() for name in sorted(received)])
        memory, sent = self.compress(client, update)
        buffers = {name: leaf for name, leaf in local.params.items() if name not in received}
        return memory, {"update": sent, **({"buffers": buffers} if buffers else {})}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        models = dict(server["models"])
        for arch, model in server["models"].items():
            sent = [upload for upload in uploads if upload.who.arch == arch]
            if sent:
                models[arch] = {**model, **self._moved(hub.models[arch].weights(model), sent), **_buffers(sent)}
        return {**server, "models": models}

    def _moved(self, weights: Tree, uploads: Sequence[Upload]) -> Tree:
        sizes = {name: weights[name].numel() for name in sorted(weights)}
        updates = [self.restore(upload.message["update"], sum(sizes.values())) for upload in uploads]
        parts = ops.mean_of(updates, [upload.who.size for upload in uploads]).split(list(sizes.values()))
        return {name: weights[name] + part.view_as(weights[name]) for name, part in zip(sizes, parts, strict=True)}


def _buffers(uploads: Sequence[Upload]) -> Tree:
    """Mean of the clients' running statistics, weighted by n_k."""
    sent = [upload.message.get("buffers", {}) for upload in uploads]
    return trees.mean(sent, [upload.who.size for upload in uploads]) if sent[0] else {}
