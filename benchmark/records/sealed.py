"""Sealed seeds: seeds that nobody can fit a method to, since they follow from a secret of the maintainer.

The secret's hash may be published beforehand, as a commitment; once a secret is given away, anybody can make its seeds
and repeat the runs, and the next seeds need another one.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.task import Task

LEAST_BYTES = 16  # of a secret: fewer could be tried out


def read_secret(path: Path) -> bytes:
    """The secret in a file, without white space around it; BenchmarkError for one that could be guessed."""
    hint = 'make one: python -c "import secrets; print(secrets.token_hex(32))"'
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise BenchmarkError(f"cannot be read ({error.strerror})", where=str(path), hint=hint) from None
    if len(secret) < LEAST_BYTES:
        raise BenchmarkError(f"a secret of {len(secret)} bytes can be guessed", where=str(path), hint=hint)
    return secret


def commitment(secret: bytes) -> str:
    """What may be published of a secret beforehand: its SHA-256, hexadecimal."""
    return hashlib.sha256(secret).hexdigest()


def sealed_seeds(secret: bytes, task: Task, count: int) -> tuple[int, ...]:
    """Seeds of a task, as HMAC-SHA256 of the secret gives them: 62 bits, none of the task's own.

    Args:
        secret: The secret.
        task: The task; tasks that differ in their rules have different seeds.
        count: How many seeds; the first ones are the same whatever their number.
    """
    seeds: list[int] = []
    number = 0
    while len(seeds) < count:
        text = f"{task.name}\n{task.sha256}\n{number}".encode()
        seed = int.from_bytes(hmac.digest(secret, text, "sha256")[:8], "big") >> 2
        number += 1
        if seed not in task.seeds and seed not in seeds:
            seeds.append(seed)
    return tuple(seeds)
