"""Messages to nodes and their replies, within a time limit, counted as they are serialised."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from benchmark.core.errors import BenchmarkError
from benchmark.integrations.flower import codec

PATIENCE = 120.0  # seconds in which the nodes must be there
PAUSE = 0.2
AGAIN = "start it again as before, then repeat the command: it resumes"

Replies = dict[int, Any]


class Post:
    """moved: bytes so far, "down" to the nodes and "up" from them.

    limit: seconds that nodes have for their replies; ended: set when nobody is there any more to carry messages
    """

    def __init__(self, grid: Grid, limit: float, ended: threading.Event) -> None:
        self.grid, self.limit, self.ended = grid, limit, ended
        self.moved = Counter({"down": 0, "up": 0})
        self.names: dict[int, str] = {}

    def send(self, what: str, contents: Mapping[int, RecordDict], where: str) -> Callable[[], Replies]:
        """One message per node; calling what is returned waits for the replies' contents by node."""
        messages = [Message(content, node, what, ttl=self.limit, group_id=where) for node, content in contents.items()]
        self.moved["down"] += sum(map(_size, messages))
        ids = list(self.grid.push_messages(messages)) if messages else []
        if len(ids) < len(messages) or None in ids:
            lost = next((node for id_, node in zip(ids, contents, strict=False) if id_ is None), [*contents][-1])
            raise BenchmarkError(f"{self._name(lost)} is not there", where=where, hint=AGAIN, user=False)
        return partial(self._collect, dict(zip(ids, contents, strict=True)), where, time.monotonic() + self.limit)

    def meet(self, content: Callable[[], RecordDict]) -> list[int]:
        """Identities of all nodes in the order of their partitions; waits until they are there."""
        deadline = time.monotonic() + min(self.limit, PATIENCE)
        places: dict[int, dict[str, int]] = {}
        while True:
            fresh = {node: content() for node in self.grid.get_node_ids() if node not in places}
            for node, reply in self.send("query.hello", fresh, "hello")().items():
                if "failure" in reply:
                    failure = codec.error(reply["failure"])
                    raise BenchmarkError(failure.message, where=f"node {node}", hint=failure.hint, user=False)
                places[node] = dict(reply["node"])
            if nodes := _complete(places):
                self.names = {node: f"node {i} of {len(nodes)}" for i, node in enumerate(nodes)}
                return nodes
            if time.monotonic() > deadline:
                raise _incomplete(places)
            time.sleep(PAUSE)

    def _collect(self, waiting: dict[str, int], where: str, deadline: float) -> Replies:
        replies: Replies = {}
        while True:
            for message in self.grid.pull_messages(list(waiting)) if waiting else ():
                node = waiting.pop(message.metadata.reply_to_message_id)
                if message.has_error():
                    raise self._failure(node, message.error, where)
                self.moved["up"] += _size(message)
                replies[node] = message.content
            if not waiting:
                return replies
            late = self._name(min(waiting.values()))
            if time.monotonic() > deadline:
                what, hint = f"no reply from {late} within {self.limit:g} s", "a higher limit gives nodes more time"
                raise BenchmarkError(what, where=where, hint=f"{hint}; the same command resumes", user=False)
            if self.ended.wait(PAUSE):
                raise BenchmarkError(f"Flower ended before {late} replied", where=where, user=False)

    def _failure(self, node: int, error: Any, where: str) -> BenchmarkError:
        if error.code == ErrorCode.NODE_UNAVAILABLE:
            return BenchmarkError(f"{self._name(node)} is lost", where=where, hint=AGAIN, user=False)
        return BenchmarkError(f"{self._name(node)} failed: {error.reason}", where=where, user=False)

    def _name(self, node: int) -> str:
        return self.names.get(node, f"node {node}")


def _size(message: Message) -> int:
    """Bytes of all objects in which Flower moves a message, without HTTP's own."""
    return sum(len(part.deflate()) for part in get_all_nested_objects(message).values())


def _complete(places: Mapping[int, Mapping[str, int]]) -> list[int]:
    """Nodes in the order of their partitions once each partition has one; none before."""
    order = sorted(places, key=lambda node: places[node]["partition-id"])
    wanted = [{"partition-id": i, "num-partitions": len(order)} for i in range(len(order))]
    return order if [places[node] for node in order] == wanted else []


def _incomplete(places: Mapping[int, Mapping[str, int]]) -> BenchmarkError:
    there = ", ".join(f"{place['partition-id']} of {place['num-partitions']}" for place in places.values())
    hint = "start one SuperNode for each, like --node-config 'partition-id=0 num-partitions=2'"
    return BenchmarkError(f"partitions without a node, or with two; there are {there or 'none'}", hint=hint, user=False)
