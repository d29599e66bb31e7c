"""The backend whose clients live on Flower's nodes: client i on the node of partition i modulo their number."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flwr.app import RecordDict

from benchmark.core.backends import Backend, ClientJob, ClientResult, Job, Results, SerialBackend, client_jobs
from benchmark.core.client.federation import Federation
from benchmark.core.server.evaluators import EVALUATORS
from benchmark.experiments.cell import Cell, Prepared
from benchmark.integrations.flower import codec
from benchmark.integrations.flower.messaging import Post, Replies


class FlowerBackend(Backend):
    """Clients' jobs go to the nodes, one message per node and round; evaluations run here, on the server.

    A client's memory stays on its node. Where clients' models are evaluated, the server gets a copy, which is counted
    apart. For each memory on a node there is a file of its name in the run's folder here, else empty: nodes delete
    what has none, so that they have what a checkpoint goes back to.
    """

    def __init__(self, post: Post, cell: Cell, ready: Prepared, federation: Federation) -> None:
        self.post, self.cell, self.ready = post, cell, ready
        self.local = SerialBackend(ready.worker_config())
        self.copies = _evaluated_models(ready, federation, self.local) == "clients"
        self.copied, self.wire = 0, Counter({"down": 0, "up": 0})
        self.token, self.remembers = "", False
        self.nodes = post.meet(lambda: RecordDict({"order": codec.order(cell, ready)}))
        self.workers = len(self.nodes)

    def submit(self, jobs: Sequence[Job]) -> Results:
        """Send clients' jobs to the nodes; run others at once."""
        if not (clients := client_jobs(jobs)):
            return self.local.submit(jobs)
        folder = clients[0].memory_out.parent
        self.token = self.token or _token(folder)
        kept: dict[int, list[str]] = defaultdict(list)
        for path in folder.glob("client-*.safetensors"):
            kept[int(path.name.split("-")[1])].append(path.name)
        self.remembers |= bool(kept)
        shares: dict[int, list[ClientJob]] = defaultdict(list)
        for job in clients:
            shares[self._node(job.client)].append(job)
            self.wire["down"] += len(job.message)
        contents = {node: self._content(share, kept) for node, share in shares.items()}
        replies = self.post.send("train", contents, f"round {clients[0].number}")
        return lambda: self._results(clients, replies)

    @property
    def facts(self) -> dict[str, Any]:
        """Bytes since this process began: moved by Flower, copies for evaluation apart, and of the encoded messages."""
        moved = {**self.post.moved, "copies": self.copied}
        moved["up"] -= self.copied
        return {
            "workers": self.workers, "engine": f"flower {version('flwr')}", "moved": moved, "wire": dict(self.wire),
        }  # fmt: skip

    def close(self) -> None:
        """Nothing to end: the nodes serve others as well."""

    def forget(self) -> None:
        """Delete the memories of a run that is over."""
        if self.remembers:
            order = codec.order(self.cell, self.ready, token=self.token)
            self.post.send("query.forget", {node: RecordDict({"order": order}) for node in self.nodes}, "forget")()

    def _node(self, client: int) -> int:
        return self.nodes[client % len(self.nodes)]

    def _content(self, share: Sequence[ClientJob], kept: dict[int, list[str]]) -> RecordDict:
        visits = {str(i): codec.visit(job, kept[job.client]) for i, job in enumerate(share)}
        return RecordDict({"order": codec.order(self.cell, self.ready, self.copies, self.token), **visits})

    def _results(self, jobs: Sequence[ClientJob], replies: Callable[[], Replies]) -> list[ClientResult]:
        """In the order of the jobs; the first of them that failed speaks for all, as it does on one machine."""
        results, taken, answers = [], Counter[int](), replies()
        for job in jobs:
            node = self._node(job.client)
            answer, place = answers[node], str(taken[node])
            if place not in answer:
                raise codec.error(answer["failure"])
            taken[node] += 1
            results.append(codec.result(answer[place]))
            self.wire["up"] += results[-1].upload.wire
            if results[-1].has_memory:
                job.memory_out.write_bytes(answer[place]["memory"])
                self.remembers = True
                self.copied += len(answer[place]["memory"])
        return results


def _token(folder: Path) -> str:
    """Names the run; kept beside its checkpoint, so that it is the same when the run is resumed."""
    file = folder / "token"
    if not file.exists():
        file.write_text(uuid.uuid4().hex, encoding="utf-8")
    return file.read_text(encoding="utf-8")


def _evaluated_models(ready: Prepared, federation: Federation, backend: Backend) -> str:
    """Whose models will be evaluated: "common" or "clients"."""
    evaluator = EVALUATORS[ready.task.track](federation, ready.algorithm, backend)
    return evaluator.evaluated_models(ready.algorithm.init_server(federation.hub, federation.key("server")))
