"""Phases and rounds: sampling, messages, commit, evaluation. A round commits whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Phase, Upload
from benchmark.core.backends.base import Backend, ClientJob, ClientResult
from benchmark.core.client import determinism, evaluate
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError, Diverged, blamed
from benchmark.core.server.communication import CommunicationCounter
from benchmark.core.server.evaluators import EVALUATORS, PendingEvaluation
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.storage.checkpoint import Memories
from benchmark.core.tree import Tree

CHECKPOINT_SECONDS = 20.0
Observer = Callable[[dict[str, Any]], None]


class Run:
    """One cell from its first round to its last.

    folder: where checkpoints and clients' memories live while it runs
    identity: what the cell is; a checkpoint of another one is refused
    """

    def __init__(
        self, federation: Federation, algorithm: Algorithm, backend: Backend, folder: Path, identity: str,
        observer: Observer = lambda event: None,
    ) -> None:  # fmt: skip
        self.federation, self.algorithm, self.backend = federation, algorithm, backend
        self.folder, self.identity, self.observer = folder, identity, observer
        self.judge = EVALUATORS[federation.task.track](federation, algorithm, backend)
        self.phases = _checked(algorithm.phases(federation.task.rounds))
        self.total = sum(phase.rounds for phase in self.phases)
        self.file = folder / "checkpoint.safetensors"
        self.server: Tree = {}
        self.done, self.seconds = 0, 0.0
        self.before = 0.0  # seconds that earlier processes have worked on what this one goes on with
        self.ledger, self.memories = CommunicationCounter(), Memories(folder)
        self.evaluations: list[dict[str, Any]] = []
        self.locals: list[tuple[float, float]] = []
        self.judgements: dict[int, PendingEvaluation] = {}  # by round, on their way
        self.held: list[dict[str, Any]] = []  # reports of the first round that is being judged and of those after it

    def execute(self) -> dict[str, Any]:
        """Run (or resume) to the end; the result part of a record."""
        with determinism.fixed():  # as workers do: aggregation must have the same bits whoever visits the clients
            return self._execute()

    def _execute(self) -> dict[str, Any]:
        self._restore()
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        for number, phase, round_ in self._rounds(self.done):
            self._round(number, phase, round_)
            self.done, self.seconds = number, time.monotonic() - started
            self._report(number, phase)
            if time.monotonic() - saved > CHECKPOINT_SECONDS and number < self.total:
                self._save()
                saved = time.monotonic()
        self._settle(list(self.judgements))
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
        self.ledger.open_round()
        jobs = self._visits(clients, phase, round_, number)
        visits = self.backend.submit("visit", jobs)
        overtaken = [judged for judged, judgement in self.judgements.items() if not judgement.waiting]
        for judged, judgement in self.judgements.items():
            with blamed(f"judging after round {judged}"):
                judgement.advance(self.backend, rest=self._judged(number))
        uploads = self._collect(phase, jobs, visits())
        where = f"aggregate in phase {phase.name}, round {number}"
        key("aggregate", "dropout").reseed()  # for networks that the server trains
        with blamed(where):
            server = self.algorithm.aggregate(self.server, uploads, phase, self.federation.hub, key("aggregate"))
        self.server = _memory(server, where)
        self._settle(overtaken)

    def _participants(self, number: int, phase: Phase) -> list[int]:
        if phase.everyone:
            return list(range(self.federation.clients))
        return self.federation.cohort(self._sampled(number))

    def _sampled(self, number: int) -> int:
        """Sampled rounds before this one: cohorts are the same for methods with and without opening phases."""
        before = 0
        for phase in self.phases:
            if number <= phase.rounds:
                return before + number - 1
            number -= phase.rounds
            before += 0 if phase.everyone else phase.rounds
        raise ValueError(number)

    def _visits(self, clients: list[int], phase: Phase, round_: int, number: int) -> list[ClientJob]:
        key = self.federation.key("phase", phase.name, "round", round_, "download")
        jobs: list[ClientJob] = []
        known: dict[
            tuple[Any, ...] | None, tuple[Any, serialization.EncodedMessage]
        ] = {}  # messages stay alive: ids must not be reused
        for client in clients:
            where = f"download in phase {phase.name}, round {number}, client {client}"
            with blamed(where):
                message = self.algorithm.download(self.server, self.federation.who(client), phase, key)
            marks = (
                None
                if message is None
                else tuple((path, id(leaf)) for path, leaf in serialization.check(message, where))
            )
            if marks not in known:
                known[marks] = message, serialization.encode(message, where)
            parcel = known[marks][1]
            self.ledger.enter(phase.name, "down", parcel)
            jobs.append(
                ClientJob(
                    client, phase, round_, number, parcel.data, self.memories.current(client),
                    self.memories.path(client, number), judged=number == self.total and self.judge.after_work,
                )
            )  # fmt: skip
        return jobs

    def _collect(self, phase: Phase, jobs: list[ClientJob], visited: list[ClientResult]) -> list[Upload]:
        uploads = []
        for job, result in zip(jobs, visited, strict=True):
            if result.remembers:
                self.memories.commit(job.client, job.number)
            if result.accuracies:
                self.locals.append(result.accuracies)
            self.ledger.enter(phase.name, "up", result.upload)
            message = serialization.decode(result.upload.data)
            if message is not None:
                uploads.append(Upload(self.federation.who(job.client), message))
        return uploads

    def _judged(self, number: int) -> bool:
        return number % self.federation.task.evaluate_every == 0 or number in (self.judge.turn(self.phases), self.total)

    def _settle(self, rounds: list[int]) -> None:
        """Wait for the judgements of the first judged rounds, and report what waited for them."""
        for number in rounds:
            with blamed(f"judging after round {number}"):
                scores = self.judgements.pop(number).settle(self.backend)
            event = self.held[0]
            self.evaluations.append({"round": number, **scores, "bytes": event["bytes_up"] + event["bytes_down"]})
            event["accuracy"] = scores["accuracy"]
            event["forgetting"] = evaluate.forgetting([entry["per_class"] for entry in self.evaluations])
            self._publish()

    def _publish(self) -> None:
        """Reports come in the order of the rounds; those that wait for a judgement hold up the later ones."""
        while self.held and self.held[0]["round"] not in self.judgements:
            self.observer(self.held.pop(0))

    @property
    def judged(self) -> str:
        """Whose models are judged: "common" or "clients"."""
        return self.judge.whose(self.server)

    def _report(self, number: int, phase: Phase) -> None:
        self.held.append({
            "round": number, "rounds": self.total, "phase": phase.name, "seconds": round(self.seconds, 3),
            "bytes_up": self.ledger.total("up"), "bytes_down": self.ledger.total("down"),
        })  # fmt: skip
        if self._judged(number):
            with blamed(f"judging after round {number}"):
                self.judgements[number] = self.judge.judgement(self.server, self.memories)
        self._publish()

    def _result(self) -> dict[str, Any]:
        result = evaluate.summary(self.evaluations, self.federation.task.targets)
        for place, name in enumerate(("in_local", "out_local")):
            values = [pair[place] for pair in self.locals]
            result[name] = round(sum(values) / len(values), 6) if values else None
        result |= self.judge.extras(self.server, self.evaluations, self.phases) | self._told()
        account = self.ledger.to_json()
        wires = {way: sum(size for _, w, size in account["wire"] if w == way) for way in ("up", "down")}
        result["bytes"] = {
            "up": self.ledger.total("up"), "down": self.ledger.total("down"),
            "up_wire": wires["up"], "down_wire": wires["down"], "by_name": account["payload"],
        }  # fmt: skip
        return result

    def _told(self) -> dict[str, Any]:
        """What the method reports, if anything."""
        with blamed("report"):
            told = {name: round(float(value), 6) for name, value in self.algorithm.report(self.server).items()}
        if wild := [name for name, value in told.items() if not isfinite(value)]:
            raise Diverged(f"{wild[0]} is not finite", where="report")
        return {"reported": told} if told else {}

    def _save(self) -> None:
        """Judgements on their way are waited for, but not the last round's, which can be repeated."""
        self._settle([number for number in self.judgements if number < self.done])
        facts = {
            "identity": self.identity, "done": self.done, "seconds": self.seconds, "ledger": self.ledger.to_json(),
            "memories": self.memories.settle(), "evaluations": self.evaluations,
        }  # fmt: skip
        checkpoint.save(self.file, self.server, facts)
        self.memories.prune()

    def _restore(self) -> None:
        if not self.file.exists():
            hub, key = self.federation.hub, self.federation.key("server")
            with blamed("init_server"):
                server = self.algorithm.init_server(hub, key)
            self.server = _memory(server, "init_server")
            return
        tree, facts = checkpoint.load(self.file)
        if facts.get("identity") != self.identity:
            raise BenchmarkError(
                "the checkpoint belongs to another cell", where=str(self.folder), hint="choose another folder"
            )
        self.server, self.done = tree or {}, facts["done"]
        self.before = self.seconds = facts["seconds"]
        self.ledger, self.evaluations = CommunicationCounter.from_json(facts["ledger"]), facts["evaluations"]
        self.memories = Memories(self.folder, facts["memories"])
        if self._judged(self.done) and self.done not in [entry["round"] for entry in self.evaluations]:
            number, phase, _ = next(self._rounds(self.done - 1))
            self._report(number, phase)


def _checked(phases: Sequence[Phase]) -> Sequence[Phase]:
    names = [phase.name for phase in phases]
    if sum(phase.rounds for phase in phases) < 1:
        raise BenchmarkError("phases: there is no round in them", hint="give at least one phase a round", user=False)
    if len(set(names)) < len(names):
        hint = "randomness is keyed by the phase's name: give every phase its own"
        raise BenchmarkError(f"phases: equal names among {', '.join(names)}", hint=hint, user=False)
    return phases


def _memory(server: Any, where: str) -> Tree:
    """The server's memory, which a checkpoint must be able to hold."""
    serialization.check(server, f"server memory after {where}")
    if path := trees.finite(server):
        raise Diverged(f"server memory {path} is not finite", where=where)
    return server
