"""A digest over entries, however they are stored: what was archived must be what was in the stream."""

import struct
from functools import lru_cache

from blake3 import blake3

from scanner.ledger.client import Entry


class Content:
    """BLAKE3 over each entry as parts: its id, then names and values in their order. Before an entry's parts
    stand their number and the length of each, as 4 bytes, little-endian."""

    def __init__(self) -> None:
        self._digest = blake3()

    def add(self, entry: Entry) -> None:
        id, fields = entry
        parts = [id]
        for pair in fields.items():
            parts += pair
        lengths = _layout(len(parts)).pack(len(parts), *map(len, parts))
        self._digest.update(lengths + b"".join(parts))

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


@lru_cache
def _layout(parts: int) -> struct.Struct:
    return struct.Struct(f"<{parts + 1}I")
