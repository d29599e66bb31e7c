"""Phases and rounds: sampling, messages, commit, evaluation. A round commits whole or not at all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Phase, Upload
from benchmark.core.backends.base import Backend
from benchmark.core.backends.jobs import ClientJob, ClientResult
from benchmark.core.client import determinism, evaluate
from benchmark.core.client.allowance import check_phases
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError, Diverged, error_context
from benchmark.core.server.communication import CommunicationCounter
from benchmark.core.server.domain_evaluator import DomainsEvaluator
from benchmark.core.server.evaluators import EVALUATORS, PendingEvaluation
from benchmark.core.server.measurements import Measurements
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.storage.checkpoint import Memories
from benchmark.core.tasks.task import Task
from benchmark.core.tree import Tree

CHECKPOINT_SECONDS = 20.0
log = logging.getLogger(__name__)
Observer = Callable[[dict[str, Any]], None]


class Run:
    """One cell from its first round to its last.

    Args:
        federation: The task with its data.
        algorithm: The method.
        backend: Where clients and evaluations run.
        folder: Where checkpoints and clients' memories are kept during the run.
        identity: What the cell is; a checkpoint of another one is refused.
        observer: Called after every round, in the order of the rounds, with what is known of it.
    """

    def __init__(
        self,
        federation: Federation,
        algorithm: Algorithm,
        backend: Backend,
        folder: Path,
        identity: str,
        observer: Observer = lambda event: None,
    ) -> None:
        self.federation, self.algorithm, self.backend = federation, algorithm, backend
        self.folder, self.identity, self.observer = folder, identity, observer
        by_domain = federation.task.track == "personal" and federation.data.test_domains
        kind = DomainsEvaluator if by_domain else EVALUATORS[federation.task.track]
        self.evaluator = kind(federation, algorithm, backend)
        self.phases = _checked(algorithm.phases(federation.task.rounds), federation.task)
        self.total = sum(phase.rounds for phase in self.phases)
        self.file = folder / "checkpoint.safetensors"
        self.server: Tree = {}
        self.done, self.seconds = 0, 0.0
        self.seconds_before = 0.0  # that earlier processes have worked on the rounds before this process's first
        self.communication, self.memories = CommunicationCounter(), Memories(folder)
        self.measurements = Measurements(federation)
        self.evaluations: list[dict[str, Any]] = []
        self.local_accuracies: list[tuple[float, float]] = []
        self.pending: dict[int, PendingEvaluation] = {}  # by round
        self.events: list[
            dict[str, Any]
        ] = []  # not reported yet: of the first round whose evaluation is pending, and on

    @property
    def evaluated_models(self) -> str:
        """Whose models are evaluated: "common" or "clients"."""
        return self.evaluator.evaluated_models(self.server)

    def execute(self) -> dict[str, Any]:
        """Run (or resume) to the end; the result part of a record."""
        with determinism.enabled():  # as in workers: aggregation must have the same bits whichever backend runs clients
            return self._execute()

    def _execute(self) -> dict[str, Any]:
        self._restore()
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        for number, phase, round_ in self._rounds(self.done):
            self._round(number, phase, round_)
            self.done, self.seconds = number, time.monotonic() - started
            self._end_round(number, phase)
            if time.monotonic() - saved > CHECKPOINT_SECONDS and number < self.total:
                self._save()
                saved = time.monotonic()
        self._finish_evaluations(list(self.pending))
        return self._result()

    def _rounds(self, after: int) -> Iterator[tuple[int, Phase, int]]:
        number = 0
        for phase in self.phases:
            for round_ in range(phase.rounds):
                number += 1
                if number > after:
                    yield number, phase, round_

    def _round(self, number: int, phase: Phase, round_: int) -> None:
        clients = self._participants(number, phase)
        key = self.federation.key("phase", phase.name, "round", round_)
        jobs = self._client_jobs(clients, phase, round_, number)
        results = self.backend.submit(jobs)
        due = [evaluated for evaluated, evaluation in self.pending.items() if not evaluation.waiting]
        for evaluated, evaluation in self.pending.items():
            with error_context(f"evaluation after round {evaluated}"):
                evaluation.submit(self.backend, all_jobs=self._is_evaluated(number))
        finished = results()
        uploads = self._collect(phase, jobs, finished)
        where = f"aggregate in phase {phase.name}, round {number}"
        key("aggregate", "dropout").reseed()  # for networks that the server trains
        with error_context(where):
            hub = self.federation.hub
            server = self.backend.aggregate(self.algorithm, self.server, uploads, phase, hub, key("aggregate"))
        self.server = _checked_memory(server, where)
        self.measurements.record(number, jobs, finished, uploads, self._is_evaluated(number))
        self._finish_evaluations(due)

    def _participants(self, number: int, phase: Phase) -> list[int]:
        if phase.everyone:
            return list(range(self.federation.clients))
        return self.federation.cohort(self._sampled_rounds_before(number))

    def _sampled_rounds_before(self, number: int) -> int:
        """Opening phases do not count: cohorts are the same for methods with and without them."""
        before = 0
        for phase in self.phases:
            if number <= phase.rounds:
                return before + number - 1
            number -= phase.rounds
            before += 0 if phase.everyone else phase.rounds
        raise ValueError(number)

    def _client_jobs(self, clients: list[int], phase: Phase, round_: int, number: int) -> list[ClientJob]:
        """A message that several clients receive is encoded once: `encoded` goes by the identity of its tensors."""
        key = self.federation.key("phase", phase.name, "round", round_, "download")
        jobs: list[ClientJob] = []
        encoded: dict[Any, tuple[Any, serialization.EncodedMessage]] = {}  # keeps messages alive, hence ids unique
        for client in clients:
            where = f"download in phase {phase.name}, round {number}, client {client}"
            with error_context(where), torch.no_grad():
                message = self.algorithm.download(self.server, self.federation.who(client), phase, key)
            identity = None
            if message is not None:
                identity = tuple((path, id(leaf)) for path, leaf in serialization.check(message, where))
            if identity not in encoded:
                encoded[identity] = message, serialization.encode(message, where)
            download = encoded[identity][1]
            self.communication.record(phase.name, "down", download)
            memory_in, memory_out = self.memories.current(client), self.memories.path(client, number)
            evaluates = number == self.total and self.evaluator.evaluates_local_work
            jobs.append(ClientJob(client, phase, round_, number, download.data, memory_in, memory_out, evaluates))
        return jobs

    def _collect(self, phase: Phase, jobs: list[ClientJob], results: list[ClientResult]) -> list[Upload]:
        uploads = []
        for job, result in zip(jobs, results, strict=True):
            if result.has_memory:
                self.memories.commit(job.client, job.number)
            if result.accuracies:
                self.local_accuracies.append(result.accuracies)
            self.communication.record(phase.name, "up", result.upload)
            message = serialization.decode(result.upload.data)
            if message is not None:
                uploads.append(Upload(self.federation.who(job.client), message))
        return uploads

    def _is_evaluated(self, number: int) -> bool:
        task = self.federation.task
        last = number > self.total - task.evaluate_last
        return last or number % task.evaluate_every == 0 or number == self.evaluator.extra_round(self.phases)

    def _end_round(self, number: int, phase: Phase) -> None:
        up, down = self.communication.total("up"), self.communication.total("down")
        self.events.append(
            {
                "round": number,
                "rounds": self.total,
                "phase": phase.name,
                "seconds": round(self.seconds, 3),
                "bytes_up": up,
                "bytes_down": down,
            }
        )
        if self._is_evaluated(number):
            with error_context(f"evaluation after round {number}"):
                self.pending[number] = self.evaluator.prepare(self.server, self.memories)
        self._report()

    def _finish_evaluations(self, rounds: list[int]) -> None:
        """Wait for the first pending evaluations, and report the rounds that waited for them."""
        for number in rounds:
            with error_context(f"evaluation after round {number}"):
                scores = self.pending.pop(number).result(self.backend) | self.measurements.scores(number)
            event = self.events[0]
            self.evaluations.append({"round": number, **scores, "bytes": event["bytes_up"] + event["bytes_down"]})
            event["accuracy"] = scores["accuracy"]
            event["forgetting"] = evaluate.forgetting([entry["per_class"] for entry in self.evaluations])
            self._report()

    def _report(self) -> None:
        """Report rounds in their order: one whose evaluation is pending holds back the later ones."""
        while self.events and self.events[0]["round"] not in self.pending:
            self.observer(self.events.pop(0))

    def _result(self) -> dict[str, Any]:
        result = evaluate.summary(self.evaluations, self.federation.task.targets)
        for place, name in enumerate(("in_local", "out_local")):
            values = [pair[place] for pair in self.local_accuracies]
            result[name] = round(sum(values) / len(values), 6) if values else None
        result |= self.evaluator.extras(self.server, self.evaluations, self.phases) | self._method_report()
        result |= self.measurements.result()
        result |= {"networks": networks} if (networks := self.evaluator.networks()) else {}
        count = self.communication
        result["bytes"] = {
            "up": count.total("up"),
            "down": count.total("down"),
            "up_wire": count.total_wire("up"),
            "down_wire": count.total_wire("down"),
            "by_name": count.by_name(),
            **self.measurements.delivery(),
        }
        return result

    def _method_report(self) -> dict[str, Any]:
        """What the method reports, if anything."""
        with error_context("report"):
            values = {name: round(float(value), 6) for name, value in self.algorithm.report(self.server).items()}
        if infinite := [name for name, value in values.items() if not isfinite(value)]:
            raise Diverged(f"{infinite[0]} is not finite", where="report")
        return {"reported": values} if values else {}

    def _save(self) -> None:
        """Pending evaluations are waited for, but not the last round's, which can be repeated."""
        self._finish_evaluations([number for number in self.pending if number < self.done])
        facts = {
            "identity": self.identity,
            "done": self.done,
            "seconds": self.seconds,
            "communication": self.communication.to_json(),
            "memories": self.memories.sync(),
            "evaluations": self.evaluations,
            "measurements": self.measurements.to_json(),
        }
        checkpoint.save(self.file, self.server, facts)
        self.memories.prune()
        log.info("%s: round %d of %d saved", self.file, self.done, self.total)

    def _restore(self) -> None:
        if not self.file.exists():
            hub, key = self.federation.hub, self.federation.key("server")
            with error_context("init_server"):
                server = self.algorithm.init_server(hub, key)
            self.server = _checked_memory(server, "init_server")
            return
        tree, facts = checkpoint.load(self.file)
        if facts.get("identity") != self.identity:
            hint = "choose another folder"
            raise BenchmarkError("the checkpoint belongs to another cell", where=str(self.folder), hint=hint)
        self.server, self.done = tree or {}, facts["done"]
        self.seconds_before = self.seconds = facts["seconds"]
        log.info("%s: resumed after round %d of %d", self.file, self.done, self.total)
        self.communication = CommunicationCounter.from_json(facts["communication"])
        self.memories, self.evaluations = Memories(self.folder, facts["memories"]), facts["evaluations"]
        self.measurements.restore(facts["measurements"])
        if self._is_evaluated(self.done) and self.done not in [entry["round"] for entry in self.evaluations]:
            number, phase, _ = next(self._rounds(self.done - 1))
            self._end_round(number, phase)


def _checked(phases: Sequence[Phase], task: Task) -> Sequence[Phase]:
    names = [phase.name for phase in phases]
    if sum(phase.rounds for phase in phases) < 1:
        raise BenchmarkError("phases: there is no round in them", hint="give at least one phase a round", user=False)
    if len(set(names)) < len(names):
        hint = "randomness is keyed by the phase's name: give every phase its own"
        raise BenchmarkError(f"phases: equal names among {', '.join(names)}", hint=hint, user=False)
    check_phases(phases, task)
    return phases


def _checked_memory(server: Any, where: str) -> Tree:
    """The server's memory, sorted as a checkpoint returns it."""
    server = serialization.ordered(server, f"server memory after {where}")
    if path := trees.finite(server):
        raise Diverged(f"server memory {path} is not finite", where=where)
    return server
