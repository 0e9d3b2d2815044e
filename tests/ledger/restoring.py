"""Restoring, to test with: everything a store holds, in a form to compare, and a restore that asks nobody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from blake3 import blake3
from redis.exceptions import ConnectionError as RedisConnectionError

from scanner.codes import KeyTable
from scanner.ledger.client import Entry
from scanner.ledger.connection import Store
from scanner.ledger.restore import Exports, Restored, Surplus, restore
from scanner.ledger.restore.files import FORMAT, KIND, START, Archive
from scanner.ledger.watermark import entry_id
from tests.brand import Brand
from tests.queue.archives import stream_of
from tests.queue.story import play


async def everything(store: Store) -> dict[str, Any]:
    """All keys of the brand by their names, with when they expire; but for wrong PINs."""
    prefix, client = store.keys.prefix, store.client
    held = {}
    for raw in await client.execute_command("KEYS", f"{prefix}*"):
        name = raw.decode().removeprefix(prefix)
        if not name.startswith("tries:"):
            held[name] = (await _value(client, raw), await client.execute_command("PEXPIRETIME", raw))
    return held


async def _value(client: Any, key: bytes) -> Any:
    match await client.execute_command("TYPE", key):
        case b"hash":
            return await client.hgetall(key)
        case b"zset":
            return await client.execute_command("ZRANGE", key, 0, -1, "WITHSCORES")
        case b"stream":
            return await client.xrange(key, "-", "+", count=1_000_000)
    return await client.execute_command("GET", key)


async def empty(brand: Brand) -> None:
    """As a store on an empty disk; the functions and the test's time are there."""
    names = await brand.store.client.execute_command("KEYS", f"{brand.store.keys.prefix}*")
    if names:
        await brand.store.client.execute_command("DEL", *names)


async def restore_into(
    store: Store,
    files: Sequence[Path],
    table: KeyTable | None = None,
    *,
    archive: Archive | None = None,
    stream_from: str = START,
    may_discard: Callable[[Surplus], bool] = lambda surplus: False,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Restored:
    exports = Exports(files, store.keys.brand, archive, stream_from=stream_from)
    return await restore(store, exports, table, may_discard=may_discard, progress=progress)


def write_export(path: Path, entries: Sequence[Entry], after: str = START) -> Path:
    """A file as the export writes it."""
    head = {"scanner": KIND, "format": FORMAT, "brand": "main", "made": "", "after": after}
    lines: list[object] = [head]
    for id, raw in entries:
        lines.append({"entry": id.decode(), "fields": {name.decode(): raw[name].decode() for name in raw}})
    data = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    last = entries[-1][0].decode() if entries else after
    tail = {"entries": len(entries), "last": last, "blake3": blake3(data).hexdigest()}
    path.write_bytes(data + orjson.dumps(tail) + b"\n")
    return path


COUNTED = (
    "length",
    "entries-added",
    "max-deleted-entry-id",
    "last-generated-id",
    "first-entry",
    "last-entry",
)


def at(entries: Sequence[Entry], place: int) -> str:
    return entries[place][0].decode()


def archive_of(entries: Sequence[Entry]) -> Archive:
    """One that is never on a disk."""
    return lambda after: (one for one in entries if entry_id(one[0]) > entry_id(after))


async def counted(store: Store) -> dict[str, Any]:
    """What the stream says of itself."""
    info = await store.client.execute_command("XINFO STREAM", store.keys.events)
    return {name: info[name] for name in COUNTED}


async def but_the_stream(store: Store) -> dict[str, Any]:
    """Everything else of the ledger; what the keeper keeps in the store is none of it."""
    held = await everything(store)
    return {name: value for name, value in held.items() if name not in ("events", "keeper", "resting")}


@dataclass
class Ledger:
    """A story that was told: the brand's stream, whole, and the state that it has led to."""

    brand: Brand
    told: list[Entry]

    @property
    def store(self) -> Store:
        return self.brand.store

    async def restore(self, archived: int, stream_from: str, room: Path, **values: Any) -> Restored:
        """From an archive of so many entries and an export of the rest."""
        after = at(self.told, archived - 1) if archived else START
        rest = write_export(room / "rest.jsonl", self.told[archived:], after)
        parts = {"archive": archive_of(self.told[:archived]), "stream_from": stream_from}
        return await restore_into(self.store, [rest], **{**parts, **values})

    @classmethod
    async def played(cls, brand: Brand) -> "Ledger":
        await play(brand)
        return cls(brand, await stream_of(brand.store))


class DifferenceError(AssertionError):
    """The restored store is not what it should be."""


class Dying:
    """A store's client that dies at its n-th call, in the middle of what it was about to send."""

    def __init__(self, client: Any, calls: int) -> None:
        self._client, self.calls_left = client, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pipeline(self, *, transaction: bool) -> Any:
        pipe, dying = self._client.pipeline(transaction=transaction), self
        whole = pipe.execute

        async def execute(raise_on_error: bool = True) -> Any:
            if dying.calls_left == 1 and not transaction:
                del pipe.command_stack[len(pipe.command_stack) // 2 :]
                await whole(raise_on_error=raise_on_error)
            dying.count()
            return await whole(raise_on_error=raise_on_error)

        pipe.execute = execute
        return pipe

    async def execute_command(self, *args: Any) -> Any:
        self.count()
        return await self._client.execute_command(*args)

    async def scan(self, cursor: int, **options: Any) -> Any:
        self.count()
        return await self._client.scan(cursor, **options)

    def count(self) -> None:
        self.calls_left -= 1
        if self.calls_left <= 0:
            raise RedisConnectionError("killed")
