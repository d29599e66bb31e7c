"""One pass of a client over a stream of images."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import torch
from torch import Tensor

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Local, Pass, Site
from benchmark.core.client.allowance import allowed_updates, check_gradients, settings_of
from benchmark.core.client.teacher_cache import TeacherCache
from benchmark.core.data.batches import Stream
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.keys import Key
from benchmark.core.models.functional import EvalModeModel, Model, TrainModeModel, autocast
from benchmark.core.tree import Tree

EVAL_BATCH = 500  # images per batch of a pass without updates


class LocalTrainer:
    """Runs one pass of a client.

    Attributes:
        updates: Updates of the optimiser so far.
        images: Images fed so far.
        allowed: Updates that the pass may take; 0 before its stream is known.
    """

    def __init__(self, algorithm: Algorithm, site: Site, run: Pass, key: Key, precision: str, where: str) -> None:
        self.run_, self.key, self.precision, self.where = run, key, precision, where
        self.model: Model = site.model  # type: ignore[assignment]
        self.loss, self.step = getattr(algorithm, run.loss), getattr(algorithm, run.step)
        self.after_step = algorithm.after_step
        self.site = site
        self.optim = run.optim or site.train.optim
        self.lr = run.optim.lr if run.optim else site.lr
        self.moments = self.optim.start()
        self.updates = self.images = self.allowed = self.gradients = 0
        self.settings = None if algorithm.pooled else settings_of(algorithm)

    def run(self, local: Local) -> Local:
        """The client's state after all batches of the pass."""
        stream = self.stream(local)
        if not self.run_.update:
            return self._evaluate(local, self.batches(stream))
        self.teachers = self._teachers(stream)
        for number, batch in enumerate(self.batches(stream)):
            if self.model.random:
                self.key("dropout", number).reseed()
            self.gradients = 0
            local, extras = self.step(local, batch, self._gradient, self._update)
            check_gradients(self.gradients, self.where)
            local = self.after_step(local, extras, batch)
        return local

    def stream(self, local: Local) -> Stream:
        """The images of the pass."""
        source = self.site.public if self.run_.stream == "public" else self.site.data
        if source is None:
            raise BenchmarkError("the task has no public data", where=self.where, hint="choose a task with `public:`")
        assert isinstance(source, Stream)
        if self.run_.stream == "joined":
            source = source.joined(local.context["images"], local.context["labels"])
        if self.run_.rows is not None:
            source = source.restricted(local.context[self.run_.rows])
        if self.settings is not None and self.run_.update:
            self.allowed = allowed_updates(self.run_, source.size, self.site.train, self.settings)
        return source

    def batches(self, stream: Stream) -> Iterator[Batch]:
        """The batches of the pass, in order; counting restarts."""
        self.images = 0
        for batch in self._batches(stream):
            self.images += len(batch.rows) * sum(part is not None for part in (batch.x, batch.other, batch.random))
            yield batch

    def _batches(self, stream: Stream) -> Iterator[Batch]:
        if not self.run_.update:
            return stream.eval_batches(EVAL_BATCH)
        batch, steps = self.length(stream)
        if self.run_.stream == "views":
            return stream.views(self.key, batch, steps)
        skip_single = bool(self.model.buffers)  # BatchNorm has no variance over a single sample
        if skip_single and min(batch, stream.size) == 1:
            message = "batches of one image teach a network with BatchNorm nothing: no step would be taken"
            raise BenchmarkError(message, where=self.where, hint="choose batches and images of two or more")
        return stream.batches(self.key, batch, steps, self.run_.augment, skip_single)

    def length(self, stream: Stream) -> tuple[int, int]:
        """Images of a full batch, and number of batches of a pass with updates."""
        train, steps = self.site.train, self.run_.steps
        batch = self.run_.batch or train.batch
        if steps is None:
            count = stream.view_steps if self.run_.stream == "views" else stream.steps
            whole = self.run_.epochs is None and train.steps
            steps = whole or count(self.run_.epochs or train.epochs, batch)
        return batch, steps

    def _teachers(self, stream: Stream) -> TeacherCache | None:
        """None where images change from epoch to epoch."""
        augmented = self.run_.augment and not stream.augment.none
        if augmented or self.run_.stream == "views":
            return None
        return TeacherCache(self.model, stream.size, self.run_.batch or self.site.train.batch)

    def _evaluate(self, local: Local, batches: Iterator[Batch]) -> Local:
        for batch in batches:
            with torch.no_grad(), autocast(self.precision):
                _, extras = self.loss(local.params, local, batch, EvalModeModel(self.model))
            local = self.after_step(local, trees.map(_plain, extras), batch)
        return local

    def _gradient(self, local: Local, batch: Batch) -> tuple[Tree, Tree]:
        self.gradients += 1
        model = TrainModeModel(self.model, self.teachers.bind(batch) if self.teachers else None)
        leaves = {
            name: leaf.detach().requires_grad_()
            for name, leaf in local.params.items()
            if name not in self.model.buffers and name.startswith(self.run_.only)
        }
        with autocast(self.precision):
            value, extras = self.loss({**local.params, **leaves}, local, batch, model)
        if not isfinite(number := value.item()):
            raise Diverged(f"the loss is {number} at step {local.steps + 1}", where=self.where)
        gradients = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        for name, buffer in model.updated_buffers.items():
            local.params[name].copy_(buffer)
        pairs = zip(leaves.items(), gradients, strict=True)
        return {n: torch.zeros_like(leaf) if g is None else g for (n, leaf), g in pairs}, trees.map(_plain, extras)

    def _update(self, local: Local, gradients: Tree) -> Local:
        trained = {name: local.params[name] for name in gradients}
        self.moments = self.optim.apply(trained, gradients, self.moments, self.lr)
        self.updates += 1
        return local.having(steps=local.steps + 1)


def _plain(leaf: Tensor) -> Tensor:
    return leaf.detach().float() if leaf.is_floating_point() else leaf.detach()
