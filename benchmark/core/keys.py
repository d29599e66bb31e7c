"""Random numbers by name: a key hashes what a draw is for, so that no draw depends on those before it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Key:
    """The name of a random draw.

    Calling a key appends names: `Key(0)("round", 3)("client", 5)` equals `Key(0)("round", 3, "client", 5)`. The same
    key always gives the same numbers.

    Attributes:
        root: The seed of the experiment.
        names: What the draw is for, from the general to the particular.
    """

    root: int
    names: tuple[str | int, ...] = ()

    def __call__(self, *names: str | int) -> Key:
        return Key(self.root, self.names + names)

    @property
    def seed(self) -> int:
        """A number of 63 bits that depends on root and names alone."""
        text = "\x1f".join([str(self.root), *(f"{type(n).__name__[0]}{n}" for n in self.names)])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    def numpy(self) -> np.random.Generator:
        """A new NumPy generator with this key's seed."""
        return np.random.Generator(np.random.Philox(self.seed))

    def torch(self) -> torch.Generator:
        """A new torch generator on the CPU with this key's seed."""
        import torch

        return torch.Generator().manual_seed(self.seed)

    def reseed(self) -> None:
        """Seed torch's default generator of the CPU alone, a hundred times as fast as `torch.manual_seed`."""
        import torch

        torch.default_generator.manual_seed(self.seed)

    def permutation(self, n: int) -> np.ndarray:
        """A random order.

        Args:
            n: How many numbers.

        Returns:
            The numbers 0 to n - 1, int64 [n].
        """
        return self.numpy().permutation(n)

    def choice(self, n: int, k: int) -> np.ndarray:
        """A random choice without repetition; memory and time grow with k, not with n.

        Args:
            n: The numbers to choose from are 0 to n - 1.
            k: How many to choose, at most n.

        Returns:
            The chosen numbers in ascending order, int64 [k].
        """
        return np.sort(self.numpy().choice(n, size=k, replace=False, shuffle=False))
