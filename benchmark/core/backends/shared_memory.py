"""Large messages between processes of one machine: in shared memory where Linux has it, else through pipes."""

from __future__ import annotations

import os
import subprocess
import weakref
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmark.core.backends.jobs import ClientJob, ClientResult, Job

MIN_BYTES = 1 << 16  # smaller messages are faster through a pipe
MAX_OPEN = 256  # replies that get a buffer at the same time: each is an open file


class SharedBuffer:
    """Memory that other processes reach by its path; freed by `close`, with this object, or with this process."""

    def __init__(self, data: bytes = b"") -> None:
        number = os.memfd_create("fedrepro")
        self.path = f"/proc/{os.getpid()}/fd/{number}"
        self.close = weakref.finalize(self, os.close, number)
        Path(self.path).write_bytes(data)


class BufferRef:
    """Takes the place of a buffer's bytes: pickled as a path, unpickled as the bytes."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (self.path,)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


@cache
def available() -> bool:
    """Whether this system has such memory and lets another process read it."""
    try:
        buffer = SharedBuffer(b"fedrepro")
        return subprocess.run(["cat", buffer.path], capture_output=True).stdout == b"fedrepro"
    except (AttributeError, OSError):
        return False


class SharedMemoryTransport:
    """Carries the messages of jobs that are submitted together; their buffers live as long as this object."""

    def __init__(self) -> None:
        self.buffers = dict[int, SharedBuffer]()  # by identity of the bytes, which the jobs keep alive
        self.replies = 0

    def share(self, job: Job) -> Job:
        """The job with its payload in a buffer, one for all jobs with the same payload."""
        data = getattr(job, job.PAYLOAD)
        if len(data) < MIN_BYTES or not available():
            return job
        if id(data) not in self.buffers:
            self.buffers[id(data)] = SharedBuffer(data)
        fields: dict[str, Any] = {job.PAYLOAD: BufferRef(self.buffers[id(data)].path)}
        return replace(job, **fields)  # type: ignore[type-var]

    def reserve_reply(self, job: Job) -> SharedBuffer | None:
        """An empty buffer for a client's upload."""
        if not isinstance(job, ClientJob) or not available() or self.replies == MAX_OPEN:
            return None
        self.replies += 1
        return SharedBuffer()


def store_reply(result: Any, path: str | None) -> Any:
    """The result with its upload in the reserved buffer, if there is one and the upload is large."""
    if path is None or not isinstance(result, ClientResult) or len(result.upload.data) < MIN_BYTES:
        return result
    Path(path).write_bytes(result.upload.data)
    reference: Any = BufferRef(path)
    return replace(result, upload=result.upload._replace(data=reference))
