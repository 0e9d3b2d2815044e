"""Archives and keepers to test with: entries of every kind, segments made of them, groups that read them, and
a disk and a store that fail or stop."""

import errno
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scanner import settings
from scanner.ledger.audit import AuditReport, audit
from scanner.ledger.client import Entry
from scanner.ledger.connection import Store
from scanner.queue.archive import disk, read_archive, writing
from scanner.queue.archive.manifest import NAME
from scanner.queue.archive.writing import Draft, open_archive
from scanner.queue.keeper import Keeper, Kept
from tests.brand import Brand

BRAND = "main"
DAY_MS = 86_400_000
NOON_MS = 1_795_348_800_000  # 2026-11-22T12:00:00Z
ODD: list[dict[bytes, bytes]] = [
    {b"type": b"scan.accepted", b"at": b"007", b"lot": b"0", b"serial": b"9" * 18, b"size": b"9" * 19},
    {b"at": b"-1", b"lot": b"1.5", b"serial": b"", b"n": b" 7", b"to": "٣".encode(), b"type": b""},
    {b"type": b"points.moved", b"at": b"5", b"a new field": "ü\n\0".encode(), b"campaign": b"spring"},
    {b"campaign": b"../../etc", b"type": b"x"},
    {b"campaign": b"_", b"names": b"1", b"more": b"2", b"entry_ms": b"3", b"base64": b"4"},
    {b"type": b"x", b"campaign": b"spring", b"member": b"\xff\xfe"},
    {b"\xff": b"x", b"campaign": b"winter"},
    {b"split": b"\xc3", b"in two": b"\xbc"},
    {b"b": b"1", b"type": b"x", b"a": b"2"},
    {b"a": b"2", b"type": b"x", b"b": b"1"},
    {b"": b""},
]
"""Entries that none of our functions writes."""


def entry(n: int, *, ms: int = NOON_MS, **fields: str) -> Entry:
    return b"%d-%d" % (ms + n, n % 3), {name.encode(): value.encode() for name, value in fields.items()}


def scans(count: int, *, ms: int = NOON_MS, campaign: str = "spring") -> list[Entry]:
    return [
        entry(n, ms=ms, type="scan.accepted", at=str(ms + n), campaign=campaign, member=f"m-{n % 5}")
        for n in range(count)
    ]


def write(directory: Path, *segments: Sequence[Entry], brand: str = BRAND) -> None:
    """Archives entries, a segment each."""
    archive = open_archive(directory, brand)
    try:
        archive.settle()
        for entries in segments:
            draft = Draft()
            draft.add(entries)
            archive.commit(draft, (archive.last.added if archive.last else 0) + len(entries))
    finally:
        archive.close()


def read(directory: Path, **options: Any) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
    return exact(read_archive(directory, **options))


def exact(entries: Iterator[Entry] | Sequence[Entry]) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
    """In a form that differs where the order of the fields does."""
    return [(id, list(fields.items())) for id, fields in entries]


async def stream_of(store: Store) -> list[Entry]:
    return await store.client.xrange(store.keys.events, "-", "+", count=1_000_000)


async def audited(brand: Brand, directory: Path, *, with_keys: bool = True) -> AuditReport:
    """The audit of archive and stream."""
    table = brand.keyring.table() if with_keys else None
    return await audit(brand.store, table, archive=lambda after: read_archive(directory, after=after))


async def put(store: Store, fields: dict[bytes, bytes], id: str = "*") -> bytes:
    flat = [part for pair in fields.items() for part in pair]
    return await store.client.execute_command("XADD", store.keys.events, id, *flat)


class Killed(BaseException):
    """As SIGKILL: nothing of ours catches it."""


class Interposed:
    """The calls of ``os`` by which the archive is written, until the ``dies_at``-th; a write is half done.

    With ``full_after`` bytes written the disk is full.
    """

    COUNTED = ("open", "write", "fsync", "replace", "mkdir", "ftruncate")

    def __init__(self, dies_at: int = 0, full_after: int | None = None, fails: str = "") -> None:
        self.calls, self.dies_at, self.full_after = 0, dies_at, full_after
        self.fails = fails
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.COUNTED:
            return real

        def called(*args: Any) -> Any:
            self.calls += 1
            self.names.append(name)
            if name == self.fails:
                raise OSError(errno.EIO, "Input/output error")
            if self.calls == self.dies_at:
                if name == "write":
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
                raise Killed
            if name == "write" and self.full_after is not None:
                return self._write(*args)
            return real(*args)

        return called

    def _write(self, descriptor: int, data: Any) -> int:
        room = min(len(data), self.full_after or 0)
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.full_after = (self.full_after or 0) - room
        return os.write(descriptor, bytes(data)[:room])


@contextmanager
def interposed(calls: Interposed) -> Iterator[Interposed]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (disk, writing, settings):
            patch.setattr(module, "os", calls)
        yield calls


AGE = {"keep_s": 0.0}
"""Nothing is too young."""


async def keep(brand: Brand, directory: Path, **values: Any) -> Kept:
    """One run of a keeper."""
    keeper = Keeper(brand.store, directory, **{**AGE, **values})
    try:
        return await keeper.keep()
    finally:
        keeper.close()


async def fill(brand: Brand, count: int, first: int = 0) -> list[Entry]:
    """Adds entries that are older than anything that may be kept, and returns the whole stream."""
    for n in range(first, first + count):
        await put(
            brand.store, {b"type": b"x", b"at": b"%d" % n, b"campaign": b"c%d" % (n % 2)}, f"{n + 1}-{n % 3}"
        )
    return await stream_of(brand.store)


async def groups(store: Store) -> dict[str, tuple[str, int]]:
    found = await store.client.execute_command("XINFO GROUPS", store.keys.events)
    return {one["name"].decode(): (one["last-delivered-id"].decode(), one["entries-read"]) for one in found}


async def command(brand: Brand, *args: Any) -> Any:
    return await brand.store.client.execute_command(args[0], brand.store.keys.events, *args[1:])


async def make_group(brand: Brand, name: str, start: str) -> None:
    await brand.store.client.execute_command("XGROUP", "CREATE", brand.store.keys.events, name, start)


async def drop_group(brand: Brand, name: str) -> None:
    await brand.store.client.execute_command("XGROUP", "DESTROY", brand.store.keys.events, name)


async def take(brand: Brand, name: str, count: int) -> list[str]:
    taken = await brand.store.client.execute_command(
        *("XREADGROUP", "GROUP", name, "one", "COUNT", count, "STREAMS", brand.store.keys.events, ">")
    )
    return [id.decode() for id, _ in taken[0][1]]


async def first_of(brand: Brand) -> str:
    return (await stream_of(brand.store))[0][0].decode()


def parquet_in(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.parquet"))


async def empty_stream(brand: Brand) -> None:
    keys = brand.store.keys
    await brand.store.client.execute_command("DEL", keys.events, keys.keeper, keys.resting)


class Dying:
    """The store's client, which dies at its n-th call: before it is sent, or before its reply is read."""

    def __init__(
        self, client: Any, dies_at: int = 0, *, late: bool = False, error: type[BaseException] = Killed
    ):
        self._client, self.dies_at, self.late, self.error = client, dies_at, late, error
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def _counted(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.calls += 1
        if self.calls == self.dies_at:
            if self.late:
                await call()
            raise self.error("killed")
        return await call()

    async def execute_command(self, *args: Any) -> Any:
        return await self._counted(lambda: self._client.execute_command(*args))

    async def xrange(self, *args: Any, **options: Any) -> Any:
        return await self._counted(lambda: self._client.xrange(*args, **options))

    def pipeline(self, *, transaction: bool) -> Any:
        pipe = self._client.pipeline(transaction=transaction)
        whole = pipe.execute
        pipe.execute = lambda raise_on_error=True: self._counted(lambda: whole(raise_on_error=raise_on_error))
        return pipe


async def is_whole(brand: Brand, directory: Path, told: Sequence[Entry]) -> bool:
    """The rule: archive and stream together have every entry, in order, each as it was."""
    archived = read(directory) if (directory / NAME).exists() else []
    rest = exact(await stream_of(brand.store))
    after = [one for one in rest if not archived or _id(one[0]) > _id(archived[-1][0])]
    return [*archived, *after] == exact(told) and all(one in exact(told) for one in rest)


def _id(id: bytes) -> tuple[int, ...]:
    return tuple(map(int, id.split(b"-")))
