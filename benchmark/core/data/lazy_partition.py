"""A partition without memory, for very many clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key


class Drawn(Sequence[np.ndarray]):
    """A lazy partition in which every client draws its own rows: clients may share rows.

    It needs no memory however many clients there are. A client's rows depend on its number and the key alone.

    Args:
        rows: Row numbers to draw from, int64.
        clients: Number of clients.
        per_client: Rows that each client draws.
        key: What the draws depend on.

    Raises:
        BenchmarkError: If there are fewer rows than a client is to draw.
    """

    def __init__(self, rows: np.ndarray, clients: int, per_client: int, key: Key) -> None:
        if per_client > len(rows):
            message = f"{per_client} samples per client of {len(rows)}"
            raise BenchmarkError(message, hint="ask for fewer samples per client")
        self.rows, self.clients, self.per_client, self.key = rows, clients, per_client, key("drawn")

    def __len__(self) -> int:
        return self.clients

    def __getitem__(self, client: Any) -> Any:
        if isinstance(client, slice):
            return [self[i] for i in range(*client.indices(self.clients))]
        if not 0 <= client < self.clients:
            raise IndexError(client)
        return self.rows[self.key(client).choice(len(self.rows), self.per_client)]
