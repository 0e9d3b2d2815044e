"""Claims in batches: one call of the store's claim function carries a whole batch, and answers it.

``frames.py`` has what can be asked, ``records.py`` what is kept.
"""

import asyncio
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from redis.exceptions import RedisError, ResponseError

from scanner.errors import ConfigurationError, StoreLostError, StoreUnavailableError
from scanner.ledger.connection import LOST, NO_ANSWER, Store, load_functions
from scanner.ledger.frames import Asked, Places
from scanner.ledger.keys import BUCKET_SERIALS
from scanner.ledger.records import Record, parse_record

_TIME = struct.Struct(">HI")  # ms since 1970 as 16 + 32 bits


class Verdict(IntEnum):
    """The first byte of the store's answer to a claim (``functions/claim.lua``)."""

    ACCEPTED = ord("A")
    REPLAYED = ord("R")
    CLAIMED = ord("C")
    MISMATCH = ord("M")
    BLOCKED = ord("B")
    NOT_ACTIVE = ord("N")
    PAUSED = ord("P")
    NOT_STARTED = ord("S")
    OVER = ord("O")
    NO_ENTRY = ord("F")
    LIMIT_REACHED = ord("L")
    NOTHING_LEFT = ord("E")
    OWN_SHARE = ord("G")
    WAIT = ord("W")
    WRONG_PIN = ord("Z")
    STALE = ord("X")
    OTHER_TIME = ord("T")
    DONE = ord("D")
    NOT_READY = ord("Y")


class Answer(NamedTuple):
    """The store's answer to one claim.

    ``at_ms`` is the claim's time where there is one; else the moment the verdict names: when a limit ends (0:
    never), until when no PIN is judged, or the store's time for which the rules must be judged.
    """

    verdict: Verdict
    at_ms: int = 0
    record: Record | None = None


def parse_answer(data: bytes) -> Answer:
    """Reads one reply of ``functions/claim.lua``. Raises StoreUnavailableError for what is none."""
    try:
        return _parse(data)
    except (LookupError, struct.error) as error:
        raise StoreUnavailableError(f"the store's reply cannot be read: {error!r}") from error


def _parse(data: bytes) -> Answer:
    verdict = _VERDICTS[data[0]]
    if verdict is Verdict.ACCEPTED or verdict is Verdict.REPLAYED:
        try:
            record = parse_record(data[1:])
        except (IndexError, struct.error):  # a record that was damaged must not take the batch with it
            return Answer(Verdict.NOT_READY)
        return Answer(verdict, record.at_ms, record)
    if len(data) > 1:
        high, low = _TIME.unpack_from(data, 1)
        return Answer(verdict, high << 32 | low)
    return Answer(verdict)


_VERDICTS = {int(verdict): verdict for verdict in Verdict}


async def claim_of(store: Store, lot: int, serial: int) -> Record | None:
    """The record of a code that was claimed, by one plain read.

    Raises:
        StoreUnavailableError: no answer, or none that is a record.
    """
    bucket, slot = divmod(serial, BUCKET_SERIALS)
    try:
        data = await store.client.hget(store.keys.claims(lot, bucket), str(slot))
        return parse_record(data) if data is not None else None
    except (*NO_ANSWER, IndexError, TypeError, struct.error) as error:
        raise StoreUnavailableError(f"the claim record cannot be read: {error!r}") from error


class ClaimFunction:
    """Sends batches. A batch whose reply was lost is sent once more: a claim may be repeated safely.

    A wrong PIN in it may count twice then, which errs to the side that keeps codes safe.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sent_again = 0

    async def __call__(self, batch: Sequence[Asked]) -> list[Answer]:
        """The answers, in the batch's order. Raises as ``replies`` does."""
        return [parse_answer(reply) for reply in await self.replies(batch)]

    async def replies(self, batch: Sequence[Asked]) -> list[bytes]:
        """The store's replies, in the batch's order; ``parse_answer`` reads them.

        Raises:
            StoreLostError: no answer after the second try.
            StoreUnavailableError: the store refuses to run the function, for all claims of the batch alike;
                or what it said is no reply to it.
        """
        command = self.command(batch)
        try:
            replies = await self._send(command)
        except (ResponseError, ConfigurationError) as error:
            raise StoreUnavailableError(f"the store answered: {error}") from error
        except RedisError as error:
            raise StoreLostError(f"the store did not answer: {error}") from error
        if type(replies) is not list or len(replies) != len(batch) or set(map(type, replies)) != {bytes}:
            raise StoreUnavailableError(f"the store's reply to {len(batch)} claims is none: {replies!r:.200}")
        return replies

    async def _send(self, command: list[str | bytes | int]) -> Any:
        call = self._store.wire.call
        try:
            return await call(command)
        except LOST:
            self.sent_again += 1
            # A store that is being restarted closes its connections first and listens again a moment later.
            await asyncio.sleep(0.05)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await load_functions(self._store)
        return await call(command)

    def command(self, batch: Sequence[Asked]) -> list[str | bytes | int]:
        """The function call that carries the batch."""
        names = self._store.keys
        places = Places(names.events)
        frames = b"".join([asked.frame(names, places) for asked in batch])
        return [
            "FCALL", self._store.library.function("claim"), len(places), *places, frames, *places.commons
        ]  # fmt: skip
