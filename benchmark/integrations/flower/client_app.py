"""The ClientApp: what a node does. It keeps its clients' memories in a folder of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from benchmark.core import user_paths
from benchmark.core.backends.worker import Worker
from benchmark.core.client import determinism
from benchmark.core.data import cache
from benchmark.core.data.loading import load
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.requirements import datasets
from benchmark.experiments.cell import Cell
from benchmark.integrations.flower import codec

Work = Callable[[Any, Context], RecordDict]


def hello(content: Any, context: Context) -> RecordDict:
    """Which node this is; checks that it has the server's code and the data, byte for byte."""
    config = context.node_config
    ready = codec.cell(content["order"]).prepare()
    if ready.identity != content["order"]["identity"]:
        hint = "install the server's version of fedrepro and of the method there"
        raise BenchmarkError("the node has other code than the server", hint=hint)
    for name in datasets(ready.task):
        load(ready.task.located(name))
    place = {name: int(config.get(name, -1)) for name in ("partition-id", "num-partitions")}
    return RecordDict({"node": ConfigRecord(place)})


def visit(content: Any, context: Context) -> RecordDict:
    """Visits one after another; the first failure ends them."""
    determinism.enable()
    order = content["order"]
    worker, folder = _worker(order["cell"]), _folder(context, order["token"])
    phases = worker.algorithm.phases(worker.federation.task.rounds)
    replies: dict[str, Any] = {}
    try:
        for number in range(len(content) - 1):
            record = content[str(number)]
            job = codec.job(record, phases, folder)
            result = job.run(worker)
            for old in folder.glob(f"client-{job.client}-*.safetensors"):
                if old.name not in (*record["kept"], job.memory_out.name):
                    old.unlink()
            memory = job.memory_out.read_bytes() if order["copies"] and result.has_memory else b""
            replies[str(number)] = codec.visited(result, memory)
    except BenchmarkError as error:
        replies["failure"] = codec.failure(error)
    return RecordDict(replies)


def forget(content: Any, context: Context) -> RecordDict:
    """Delete the memories of a run that is over."""
    shutil.rmtree(_folder(context, content["order"]["token"]), ignore_errors=True)
    return RecordDict()


@lru_cache(maxsize=1)
def _worker(text: str) -> Worker:
    cell: Cell = codec.cell({"cell": text})
    return Worker(cell.prepare().worker_config())


def _folder(context: Context, token: str) -> Path:
    """Of one run's memories; node config may say where they are, as `folder`."""
    config = context.node_config
    node = f"flower/node-{config['partition-id']}-of-{config['num-partitions']}"
    root = user_paths.expanded(str(config["folder"]), "folder") if config.get("folder") else cache.root() / node
    return root / plain_name(token)


def plain_name(token: str) -> str:
    """A server's token, which names a folder and nothing above it."""
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,64}", token):
        raise BenchmarkError(f"the server sent the token {token!r}", hint="a token is letters and digits", user=False)
    return token


def _answered(work: Work) -> Callable[[Message, Context], Message]:
    """A failure is part of the answer, since Flower's own errors say only its class and text."""

    def reply(message: Message, context: Context) -> Message:
        try:
            content = work(message.content, context)
        except BenchmarkError as error:
            content = RecordDict({"failure": codec.failure(error)})
        return Message(content, reply_to=message)

    return reply


app = ClientApp()
app.query("hello")(_answered(hello))
app.train()(_answered(visit))
app.query("forget")(_answered(forget))
