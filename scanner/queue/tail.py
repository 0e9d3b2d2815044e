"""Reading the stream without a group: nothing is acknowledged, nobody is waited for."""

import re
from collections.abc import AsyncIterator

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scanner.errors import ScannerError, StoreUnavailableError
from scanner.ledger.client import Client, Entry
from scanner.queue.events import Event, read_event

_READ_AT_ONCE = 500
_ENTRY_ID = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")


def is_place(text: str) -> bool:
    """Whether it names a place in a stream: an entry's id, or the ms of one alone."""
    return bool(_ENTRY_ID.fullmatch(text)) and all(int(part) < 1 << 64 for part in text.split("-"))


async def entries(
    client: Client, stream: str, *, start: str = "0", follow: bool = False
) -> AsyncIterator[Entry]:
    """The entries after ``start`` (an entry's id, or ms since 1970) as they stand, in order; with ``follow``,
    without end.

    Raises:
        ScannerError: ``start`` is no entry id.
        StoreUnavailableError: the store did not answer.
    """
    if not is_place(start):
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
        read = found[0][1] if found else []
        for entry in read:
            last = entry[0].decode()
            yield entry
        if not read and not follow:
            return


async def tail(
    client: Client, stream: str, *, start: str = "0", follow: bool = False
) -> AsyncIterator[Event]:
    """The same, read. Raises as ``entries``, and UnreadableError where one is not what its type promises."""
    async for id, raw in entries(client, stream, start=start, follow=follow):
        yield read_event(id, raw)
