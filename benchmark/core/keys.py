"""Random numbers from names: every draw has a key that hashes what it is for, never a position in a stream."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Key:
    """A name for a random draw: `Key(0)("round", 3)("client", 5)` equals `Key(0)("round", 3, "client", 5)`."""

    root: int
    names: tuple[str | int, ...] = ()

    def __call__(self, *names: str | int) -> Key:
        return Key(self.root, self.names + names)

    @property
    def seed(self) -> int:
        """63 bits that depend on root and names alone."""
        text = "\x1f".join([str(self.root), *(f"{type(n).__name__[0]}{n}" for n in self.names)])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    def numpy(self) -> np.random.Generator:
        """A NumPy generator of this key alone."""
        return np.random.Generator(np.random.Philox(self.seed))

    def torch(self) -> torch.Generator:
        """A torch CPU generator of this key alone."""
        import torch

        return torch.Generator().manual_seed(self.seed)

    def reseed(self) -> None:
        """Set torch's own CPU generator, as `torch.manual_seed` does for all devices in a hundred times the time."""
        import torch

        torch.default_generator.manual_seed(self.seed)

    def permutation(self, n: int) -> np.ndarray:
        """A permutation of 0..n-1, int64."""
        return self.numpy().permutation(n)

    def choice(self, n: int, k: int) -> np.ndarray:
        """k different numbers below n, ascending, int64; memory and time follow k, not n."""
        return np.sort(self.numpy().choice(n, size=k, replace=False, shuffle=False))
