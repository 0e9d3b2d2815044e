"""The two sides of an audit: the ledger as it is folded, and the store as it is read."""

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

from scanner.codes import KeyTable
from scanner.ledger.audit.entries import READ_AT_ONCE, Archive, Entries, batched
from scanner.ledger.audit.replay import Difference, Expected, Replay
from scanner.ledger.client import Pipeline
from scanner.ledger.connection import Store
from scanner.ledger.records import Record, parse_record

__all__ = ["Command", "Ledger", "batched", "text_of"]

Command = tuple[str | bytes | int, ...]


class Ledger:
    """Folds the archive and the stream into ``replay``, and reads the store."""

    def __init__(
        self,
        store: Store,
        table: KeyTable | None,
        progress: Callable[[int, int], None],
        archive: Archive | None = None,
    ) -> None:
        self._client = store.client
        self._progress = progress
        self._entries = Entries(
            store.client, store.keys.events, archive, lambda where, text: self.differ(where, "", text)
        )
        self._total = 0
        self.keys = store.keys
        self.replay = Replay(store.keys, table)
        self.model = self.replay.model
        self.claims = 0

    async def start(self) -> None:
        """Folds all there is by now."""
        self._total = await self._entries.total()
        await self.fold()

    def differ(self, where: str, campaign: str, text: str) -> None:
        self.replay.differences.append(Difference(where, campaign, text))

    async def fold(self, end: str = "+") -> None:
        """Folds the entries after the last one that was folded, up to ``end`` (included)."""
        async for entries in self._entries.after(end):
            expected: list[Expected] = []
            for id, raw in entries:
                fields = {text_of(name): text_of(value) for name, value in raw.items()}
                expected += self.replay.fold(id.decode(), fields)
            await self._compare_left(expected)
            self._progress(self.replay.entries, max(self._total, self.replay.entries))

    async def read(self, commands: Iterable[Command]) -> list[Any]:
        """The replies, in order; an error is a reply too."""
        pipe = cast(_Pipeline, self._client.pipeline(transaction=False))
        for command in commands:
            pipe.execute_command(*command)
        return await pipe.execute(raise_on_error=False)

    async def read_at_one_moment(self, commands: Iterable[Command]) -> list[Any]:
        """The replies, all of one moment, up to which the stream is folded then: what the model says after
        this is what must have been read."""
        pipe = cast(_Pipeline, self._client.pipeline(transaction=True))
        pipe.execute_command("XREVRANGE", self.keys.events, "+", "-", "COUNT", 1)
        for command in commands:
            pipe.execute_command(*command)
        last, *replies = await pipe.execute(raise_on_error=False)
        if last:
            await self.fold(last[0][0].decode())
        return replies

    async def names(self) -> AsyncIterator[list[str]]:
        """The brand's keys without what they all begin with, batch by batch; one may come twice."""
        prefix = self.keys.prefix
        cursor = 0
        while True:
            cursor, found = await self._client.scan(cursor, match=f"{prefix}*", count=READ_AT_ONCE)
            yield [text_of(name).removeprefix(prefix) for name in found]
            if not cursor:
                return

    async def expiries(self) -> AsyncIterator[list[str]]:
        """The members of the sorted set of expiries, batch by batch; one may come twice."""
        cursor = 0
        while True:
            cursor, found = await self._client.execute_command(
                "ZSCAN", self.keys.expiries, cursor, "COUNT", READ_AT_ONCE
            )
            yield [text_of(name) for name, _ in found]
            if not cursor:
                return

    async def _compare_left(self, expected: Sequence[Expected]) -> None:
        """Holds what the entries must have left against the store."""
        replies = await self.read(("HGET", left.key, left.field) for left in expected)
        for left, data in zip(expected, replies, strict=True):
            self.claims += isinstance(left.value, Record)
            for text in _unlike(left, data):
                self.differ(left.entry, left.campaign, f"{left.name}: {text}")


class _Pipeline(Pipeline, Protocol):
    """With commands as they are sent."""

    def execute_command(self, *args: str | bytes | int) -> Any: ...


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _unlike(left: Expected, data: Any) -> Iterator[str]:
    if data is None:
        yield "the claim is missing in the store"
        return
    if isinstance(left.value, bytes):
        if data != left.value:
            yield f"entry and store disagree about {text_of(left.field)}"
        return
    try:
        record = parse_record(data)
    except (TypeError, ValueError, LookupError, struct.error):
        yield "the claim record cannot be read"
        return
    for name, got, wanted in zip(Record._fields, record, left.value, strict=True):
        if got != wanted:
            yield f"entry and claim disagree about {_MEANING[name]}"


_MEANING = {
    "at_ms": "the time",
    "campaign_no": "the campaign",
    "member": "the member",
    "details": "role, tier, channel, seller, inviter, place, trace, or what was asked for",
    "won": "what was drawn",
    "shared": "the packet for friends",
    "givers": "what the giver drew",
}
