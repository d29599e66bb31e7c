"""Who does the work: in this process one after another, or in worker processes. The results are the same bits."""

from benchmark.core.backends.base import Backend, ClientJob, ClientResult, EvaluateJob, ProbeJob, WorkerConfig
from benchmark.core.backends.process_pool import ProcessPoolBackend
from benchmark.core.backends.serial import SerialBackend
from benchmark.core.backends.worker import Worker

__all__ = [
    "Backend",
    "ClientJob",
    "ClientResult",
    "EvaluateJob",
    "ProbeJob",
    "ProcessPoolBackend",
    "SerialBackend",
    "Worker",
    "WorkerConfig",
]
