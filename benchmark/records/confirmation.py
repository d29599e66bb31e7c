"""Confirmations: results/<task>/<method>/confirmation.json says that somebody else has re-run a row, and is signed.

Signatures are ed25519. The public keys that count are in results/keys.json, by name; nothing else confirms a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from benchmark.core.errors import BenchmarkError, not_installed
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.core.strict_model import StrictModel
from benchmark.records.record import Hash, Record

NAME = "confirmation.json"
KEYS = "keys.json"
PublicKey = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ConfirmedSeed(StrictModel):
    """One of a row's records.

    Attributes:
        seed: Its seed.
        result_sha256: Its result.
        how: How an audited re-run compares with it.
    """

    seed: int
    result_sha256: Hash
    how: Literal["to the bit", "within tolerance"]


class SealedRuns(StrictModel):
    """Audited runs on sealed seeds, see `records.sealed`.

    Attributes:
        commitment: SHA-256 of the secret that the seeds follow from.
        count: Number of seeds.
        accuracy: Mean final accuracy on them.
        gap: How much it lies above that of the row's records.
        allowed: How far it may lie below: three standard deviations of the difference.
    """

    commitment: Hash
    count: Annotated[int, Field(ge=1)]
    accuracy: Annotated[float, Field(ge=0, le=1)]
    gap: Annotated[float, Field(ge=-1, le=1)]
    allowed: Annotated[float, Field(ge=0)]


class Confirmation(StrictModel):
    """What was re-run, by whom.

    Attributes:
        task: Name of the task.
        algorithm: Name of the method.
        task_sha256: Hash of the task.
        algorithm_sha256: Fingerprint of the method.
        engine: Version of the engine.
        seeds: The row's records.
        sealed: Runs on sealed seeds; None if there were none.
        environment: The machine.
        date: The day.
        not_enforced: What the audit could not enforce on it.
        key: Public key, hexadecimal.
        signature: Signature of the other fields, hexadecimal.
    """

    task: str
    algorithm: str
    task_sha256: Hash
    algorithm_sha256: Hash
    engine: int
    seeds: Annotated[tuple[ConfirmedSeed, ...], Field(min_length=1, strict=False)]
    sealed: SealedRuns | None
    environment: dict[str, Any]
    date: str
    not_enforced: list[str]
    key: PublicKey = "0" * 64
    signature: Annotated[str, Field(pattern="^[0-9a-f]*$")] = ""

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is of."""
        return canonical_json(self.model_dump(mode="json", exclude={"signature"})).encode()


def _ed25519() -> Any:
    """The kept library of signatures; BenchmarkError where it is not installed."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise not_installed("cryptography", "confirm") from None
    return ed25519


def new_key(path: Path) -> str:
    """Write a new private key that its owner alone may read; the public key, hexadecimal."""
    key = _ed25519().Ed25519PrivateKey.generate()
    if path.exists():
        raise BenchmarkError("is there already", where=str(path), hint="choose another file")
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(f"{key.private_bytes_raw().hex()}\n", encoding="utf-8")
    return key.public_key().public_bytes_raw().hex()


def sign(confirmation: Confirmation, private_key: str) -> Confirmation:
    """The confirmation with key and signature; private_key: hexadecimal, as `new_key` writes it."""
    try:
        key = _ed25519().Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private_key.strip()))
    except ValueError:
        hint = "`fedrepro confirm --new-key FILE` makes one"
        raise BenchmarkError("not a private key: 64 hexadecimal digits", hint=hint) from None
    signed = confirmation.model_copy(update={"key": key.public_key().public_bytes_raw().hex()})
    return signed.model_copy(update={"signature": key.sign(signed.signed_bytes).hex()})


def write(confirmation: Confirmation, results: Path) -> Path:
    """Write a confirmation beside the records that it is of; its path."""
    path = results / confirmation.task / confirmation.algorithm / NAME
    write_atomic(path, canonical_json(confirmation))
    return path


def read(path: Path, keys: Iterable[str]) -> Confirmation:
    """A confirmation with a signature of one of these public keys; ValueError says what is wrong with it."""
    ed25519 = _ed25519()
    try:
        confirmation = Confirmation.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise ValueError(f"not a confirmation ({str(error).splitlines()[0]})") from None
    if confirmation.key not in keys:
        raise ValueError(f"its key {confirmation.key[:12]} is not in results/{KEYS}")
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(confirmation.key))
        key.verify(bytes.fromhex(confirmation.signature), confirmation.signed_bytes)
    except Exception:  # of the library's own, or of text that is no key
        raise ValueError("its signature does not hold") from None
    if (confirmation.task, confirmation.algorithm) != path.parts[-3:-1]:
        raise ValueError(f"it belongs to {confirmation.algorithm} on {confirmation.task}")
    return confirmation


def public_keys(results: Path) -> list[str]:
    """The public keys that count; [] without a file of them."""
    path = results / KEYS
    if not path.exists():
        return []
    try:
        keys = json.loads(path.read_bytes())
        if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
            raise ValueError("not names with a public key each")
    except (ValueError, RecursionError) as error:
        hint = 'write {"name": "public key"}'
        raise BenchmarkError(f"not a list of keys ({error})", where=str(path), hint=hint, user=False) from None
    return list(keys.values())


def confirmed(results: Path, records: Iterable[Record]) -> int:
    """How many records of one row a valid confirmation is of."""
    known = {(record.seed, record.result_sha256): record for record in records}
    if not known:
        return 0
    record = next(iter(known.values()))
    path = results / record.task / record.algorithm / NAME
    if not path.exists():
        return 0
    try:
        confirmation = read(path, public_keys(results))
    except ValueError:
        return 0
    hashes = (confirmation.task_sha256, confirmation.algorithm_sha256, confirmation.engine)
    if hashes != (record.hashes.task, record.hashes.algorithm, record.engine):
        return 0
    return sum((entry.seed, entry.result_sha256) in known for entry in confirmation.seeds)


def findings(results: Path) -> list[str]:
    """What is wrong with the confirmations in a folder of results, in sentences."""
    keys = public_keys(results)
    sentences = []
    for path in sorted(results.glob(f"*/*/{NAME}")):
        try:
            read(path, keys)
        except ValueError as error:
            sentences.append(f"results/{path.relative_to(results).as_posix()}: {error}; delete it, or confirm anew")
    return sentences
