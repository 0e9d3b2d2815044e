"""The stream's entries as other services see them: flat fields, an id that orders, a type that says what.

A field is never renamed or reused; new fields and new types may come, and a reader leaves alone what it does
not know.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scanner.errors import ScannerError, StoreUnavailableError

_READ_AT_ONCE = 500
_ENTRY_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")
_NUMBERS = ("at", "lot", "serial")
_JSON = ("awards", "blanks", "loc")


class StreamReader(Protocol):
    """The one command that reading takes, as redis-py has it where replies are not decoded."""

    async def xread(
        self, streams: Mapping[str, str], *, count: int, block: int | None
    ) -> list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]: ...


@dataclass(frozen=True, slots=True)
class Event:
    """One entry. ``fields`` are as they stand in the stream: text, absent ones left out."""

    entry: str
    fields: Mapping[str, str]

    @property
    def type(self) -> str:
        return self.fields.get("type", "")

    @property
    def campaign(self) -> str:
        return self.fields.get("campaign", "")

    def data(self) -> dict[str, Any]:
        """The fields with numbers and JSON read; ``entry`` is the stream's id."""
        data: dict[str, Any] = {"entry": self.entry}
        for name, value in self.fields.items():
            if name in _NUMBERS and value.isdecimal():
                data[name] = int(value)
            elif name in _JSON:
                data[name] = orjson.loads(value)
            else:
                data[name] = value
        return data


async def tail(
    client: StreamReader, stream: str, *, start: str = "0", follow: bool = False
) -> AsyncIterator[Event]:
    """The entries after ``start`` (an entry's id, or ms since 1970), in order; with ``follow``, without end.

    Raises:
        ScannerError: ``start`` is no entry id.
        StoreUnavailableError: the store did not answer.
    """
    if not _ENTRY_ID.fullmatch(start) or any(int(part) >= 1 << 64 for part in start.split("-")):
        raise ScannerError(f"expected an entry's id such as 1767225600000-0, or ms since 1970; got {start!r}")
    last = start
    while True:
        try:
            # Shorter than the connection's time-out, so that waiting is not taken for a dead store.
            block = 200 if follow else None
            found = await client.xread({stream: last}, count=_READ_AT_ONCE, block=block)
        except RedisTimeoutError:
            continue
        except RedisError as error:
            raise StoreUnavailableError(f"the store did not answer: {error}") from error
        entries = found[0][1] if found else []
        for id, raw in entries:
            last = id.decode()
            yield Event(last, {name.decode(): value.decode() for name, value in raw.items()})
        if not entries and not follow:
            return
