"""Who does the work: in this process one after another, or in worker processes. The results are the same bits."""

from benchmark.core.backends.base import Backend, Judge, Probe, Setting, Visit, Visited
from benchmark.core.backends.process_pool import Pool
from benchmark.core.backends.serial import Serial
from benchmark.core.backends.worker import Worker

__all__ = ["Backend", "Judge", "Pool", "Probe", "Serial", "Setting", "Visit", "Visited", "Worker"]
