"""Backends: where clients and evaluations run, in this process, in worker processes or on other machines."""

from benchmark.core.backends.base import Backend, Results
from benchmark.core.backends.jobs import (
    ClientJob,
    ClientResult,
    EvaluateJob,
    Job,
    ProbeJob,
    RepresentationJob,
    client_jobs,
)
from benchmark.core.backends.process_pool import ProcessPoolBackend
from benchmark.core.backends.serial import SerialBackend
from benchmark.core.backends.worker import Worker, WorkerConfig

__all__ = [
    "Backend",
    "ClientJob",
    "ClientResult",
    "EvaluateJob",
    "Job",
    "ProbeJob",
    "ProcessPoolBackend",
    "RepresentationJob",
    "Results",
    "SerialBackend",
    "Worker",
    "WorkerConfig",
    "client_jobs",
]
