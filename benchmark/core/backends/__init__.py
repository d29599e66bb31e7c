"""Who does the work: in this process one after another, or in worker processes. The results are the same bits."""

from benchmark.core.backends.pool import Pool
from benchmark.core.backends.serial import Serial
from benchmark.core.backends.worker import Backend, Judge, Probe, Setting, Visit, Visited, Worker

__all__ = ["Backend", "Judge", "Pool", "Probe", "Serial", "Setting", "Visit", "Visited", "Worker"]
