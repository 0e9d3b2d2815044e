"""The ledger's entries in order: those of the archive, and those of the stream after them.

How many the stream was ever given tells whether all of them were found. Where both have an entry, it must be
the same one. While they are read a keeper may archive more and trim: then the archive is read on.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Any, TypeVar

from redis.exceptions import ResponseError

from scanner.errors import ScannerError
from scanner.ledger.client import Client, Entry
from scanner.ledger.watermark import entry_id, pipeline_of

READ_AT_ONCE = 1000
START = "0-0"

T = TypeVar("T")

Archive = Callable[[str], Iterator[Entry]]
"""Gives the archived entries after an id, in order, as the stream has them."""


class TrimmedError(ScannerError):
    """The stream does not begin at its beginning, and there is no archive of what came before."""


class Entries:
    """``differ`` is told where, and what is wrong. ``given`` counts the entries that were given."""

    def __init__(
        self, client: Client, events: str, archive: Archive | None, differ: Callable[[str, str], None]
    ) -> None:
        self._client, self._events = client, events
        self._archive, self._differ = archive, differ
        self._last = START
        self._missing = self._looked_for = 0
        self._first: str | None = None
        self.given = 0

    async def total(self) -> int:
        """How many entries the stream was given by now."""
        return int((await self._look(START, START, 1))[1]["entries-added"])

    async def after(self, end: str = "+") -> AsyncIterator[Sequence[Entry]]:
        """Those after the last one that was given, up to ``end`` (included), batch by batch.

        Raises:
            TrimmedError: entries are gone, and there is no archive.
        """
        if self._last == START and self._archive is not None:
            async for batch in self._archived(end):
                yield batch
        while True:
            found, info = await self._look(f"({self._last}", end, READ_AT_ONCE)
            gone = int(info["entries-added"]) - int(info["length"])
            if gone > max(self.given, self._looked_for):
                self._check_trimmed(gone, info)
                self._looked_for = gone
                async for batch in self._archived(end):
                    yield batch
                self._check_gap(gone, info)
                continue
            if found:
                yield self._give(found)
            if end == "+" and len(found) < READ_AT_ONCE:
                self._check_count(int(info["entries-added"]) - self.given - self._missing)
            if not found:
                return

    async def _archived(self, end: str) -> AsyncIterator[Sequence[Entry]]:
        rest = self._archive(self._last) if self._archive else iter(())
        if end != "+":
            rest = takewhile(lambda entry: entry_id(entry[0]) <= entry_id(end), rest)
        for batch in batched(rest):
            await self._compare(batch)
            yield self._give(batch)

    async def _compare(self, archived: Sequence[Entry]) -> None:
        """Holds entries of the archive against what the stream still has of them."""
        low, high = self._last, archived[-1][0].decode()
        if self._first is not None and entry_id(high) < entry_id(self._first):
            return
        found, info = await self._look(f"({low}", high, 2 * READ_AT_ONCE)
        self._first = first = _first(info)
        if first is None or entry_id(high) < entry_id(first):
            return
        theirs, ours = dict(found), dict(archived)
        for id in [id for id in ours if entry_id(id) >= entry_id(first)]:
            if id not in theirs:
                self._differ(id.decode(), "this entry is in the archive and not in the stream")
            elif theirs[id] != ours[id]:
                self._differ(id.decode(), "archive and stream disagree about this entry")
        for id in theirs.keys() - ours.keys():
            self._differ(id.decode(), "this entry is in the stream and not in the archive")

    def _give(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        self._last = entries[-1][0].decode()
        self.given += len(entries)
        return entries

    def _check_trimmed(self, gone: int, info: Mapping[str, Any]) -> None:
        first = _first(info)
        was_trimmed = first is None or entry_id(info["max-deleted-entry-id"]) < entry_id(first)
        if self._archive is None and was_trimmed:
            raise TrimmedError(
                f"the stream begins at {first or 'its end'}, and {gone:,} entries before it were trimmed: "
                "they are in the archive of `scanner queue keep`; name its directory: SCANNER_ARCHIVE_DIR"
            )

    def _check_gap(self, gone: int, info: Mapping[str, Any]) -> None:
        """Told at once, because all that follows from it is told after it."""
        first = _first(info)
        if first is not None and entry_id(self._last) < entry_id(first):
            self._check_count(gone - self.given - self._missing)

    def _check_count(self, missing: int) -> None:
        if missing:
            text = f"{missing:,} entries of it are neither in the stream nor in the archive"
            if missing < 0:
                text = f"{-missing:,} entries more were found than the stream was ever given"
            self._differ(self._events, text)
            self._missing += missing

    async def _look(self, low: str, high: str, count: int) -> tuple[list[Entry], Mapping[str, Any]]:
        """Entries, and what the stream says of itself, at one moment."""
        pipe = pipeline_of(self._client, transaction=True)
        pipe.execute_command("XRANGE", self._events, low, high, "COUNT", count)
        pipe.execute_command("XINFO STREAM", self._events)
        found, info = await pipe.execute(raise_on_error=False)
        if isinstance(info, ResponseError) and "no such key" in str(info):
            return [], _NO_STREAM
        for reply in (found, info):
            if isinstance(reply, Exception):
                raise reply
        return found, info


_NO_STREAM: Mapping[str, Any] = {
    "length": 0,
    "entries-added": 0,
    "max-deleted-entry-id": "0-0",
    "first-entry": None,
}


def _first(info: Mapping[str, Any]) -> str | None:
    entry = info["first-entry"]
    return entry[0].decode() if entry and entry[0] else None


def batched(items: Iterable[T], size: int = READ_AT_ONCE) -> Iterator[list[T]]:
    """Lists of at most so many (itertools has it from Python 3.12 on)."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
