"""A ledger of yesterday: real scans, exported, moved back in time, and restored into their own store.

What comes out is whole: the claims are those of the entries, and `scanner audit` finds nothing. Only the
campaign's own dates stay where they are.
"""

from pathlib import Path

import orjson
from blake3 import blake3

from scanner.ledger.restore import export
from tests.brand import Brand
from tests.ledger.restoring import restore_into

DAY_MS = 86_400_000


async def move_back(brand: Brand, room: Path, *, by_ms: int = DAY_MS) -> int:
    """Makes every entry, and what it says, so much older; how many there are. No group is left."""
    now, then = room / "now.jsonl", room / "then.jsonl"
    exported = await export(brand.store, now)
    then.write_bytes(moved(now.read_bytes(), by_ms))
    restored = await restore_into(brand.store, [then], may_discard=lambda surplus: True)
    assert restored.entries == exported.entries
    return restored.entries


def moved(data: bytes, by_ms: int) -> bytes:
    """An export whose entries are so much older."""
    head, *entries, end = [orjson.loads(line) for line in data.splitlines()]
    lines = [head]
    for line in entries:
        fields = line["fields"]
        at = {"at": str(int(fields["at"]) - by_ms)} if "at" in fields else {}
        lines.append({"entry": older(line["entry"], by_ms), "fields": fields | at})
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    end |= {"last": older(end["last"], by_ms), "blake3": blake3(body).hexdigest()}
    return body + orjson.dumps(end) + b"\n"


def older(entry: str, by_ms: int) -> str:
    ms, _, sequence = entry.partition("-")
    return f"{int(ms) - by_ms}-{sequence}"
