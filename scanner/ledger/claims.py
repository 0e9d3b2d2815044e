"""Claims in batches: what a scan asks of the store, and what the store answers.

One call carries a whole batch; ``functions/claim.lua`` holds the frame's and the record's layout.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import blake3
from redis.exceptions import RedisError, ResponseError

from scanner.errors import ConfigurationError, StoreLostError, StoreUnavailableError
from scanner.ledger.connection import LOST, Store, load_functions
from scanner.ledger.keys import BUCKET_SERIALS

_HEAD = struct.Struct(">HHHBI8s8s16sB")
_POOL = struct.Struct(">HBHI")  # the 48-bit draw in two parts
_RECORD = struct.Struct(">HIH8s8s")  # at as 16 + 32 bits
_AT = struct.Struct(">HI")


class Verdict(IntEnum):
    """The first byte of the store's answer to a claim."""

    ACCEPTED = ord("A")
    REPLAYED = ord("R")
    CLAIMED = ord("C")
    BLOCKED = ord("B")
    NOT_ACTIVE = ord("N")
    NOT_STARTED = ord("S")
    OVER = ord("O")
    STALE = ord("X")
    NOT_READY = ord("Y")


class Entered(NamedTuple):
    """A pool that the scan enters, and its draw, a number in [0, 2^48)."""

    pool: str
    no: int
    draw: int


@dataclass(slots=True)  # not frozen: that would cost a call for each field
class Claim:
    """One scan, checked and judged, as it is offered to the store. What is absent is empty."""

    scan_id: str
    lot: int
    serial: int
    campaign: str
    rules: str  # version of the campaign file by which the pools were chosen
    pools: tuple[Entered, ...]
    member: str
    role: str = ""
    tier: str = ""
    channel: str = ""
    seller: str = ""
    inviter: str = ""
    loc: str = ""
    trace: str = ""


class Record(NamedTuple):
    """A claim as the store keeps it for ever."""

    at_ms: int
    campaign_no: int
    member: bytes  # digest
    details: bytes  # digest
    drawn: tuple[tuple[int, int], ...]  # (pool number, prize number)


class Answer(NamedTuple):
    """The store's answer to one claim. ``at_ms`` is the first scan's time where the code was claimed."""

    verdict: Verdict
    at_ms: int = 0
    record: Record | None = None


@lru_cache(maxsize=8192)  # whoever scans, scans again
def member_digest(member: str) -> bytes:
    """8 bytes that stand for the member in a claim record: enough to know the same member again."""
    return blake3.blake3(member.encode()).digest(8)


@lru_cache(maxsize=8192)  # most scans of a campaign say the same
def details_digest(
    role: str, tier: str, channel: str, seller: str, inviter: str, loc: str, trace: str
) -> bytes:
    """8 bytes over what an entry of the stream says beside the claim itself, so that a change shows."""
    return blake3.blake3("\0".join((role, tier, channel, seller, inviter, loc, trace)).encode()).digest(8)


def parse_record(data: bytes) -> Record:
    """Reads a claim record of ``functions/claim.lua``."""
    high, low, campaign_no, member, details = _RECORD.unpack_from(data)
    pairs = data[_RECORD.size :]
    return Record(
        high << 32 | low, campaign_no, member, details, tuple(zip(pairs[::2], pairs[1::2], strict=True))
    )


def parse_answer(data: bytes) -> Answer:
    """Reads one reply of ``functions/claim.lua``."""
    verdict = _VERDICTS[data[0]]
    if verdict is Verdict.ACCEPTED or verdict is Verdict.REPLAYED:
        record = parse_record(data[1:])
        return Answer(verdict, record.at_ms, record)
    if verdict is Verdict.CLAIMED:
        high, low = _AT.unpack_from(data, 1)
        return Answer(verdict, high << 32 | low)
    return Answer(verdict)


_VERDICTS = {int(verdict): verdict for verdict in Verdict}


class ClaimFunction:
    """Sends batches. A batch whose reply was lost is sent once more: a claim may be repeated safely."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sent_again = 0

    async def __call__(self, batch: Sequence[Claim]) -> list[Answer]:
        """The answers, in the batch's order.

        Raises:
            StoreLostError: no answer after the second try.
            StoreUnavailableError: the store refuses to run the function, for all claims of the batch alike.
        """
        command = self._command(batch)
        try:
            replies = await self._send(command)
        except (ResponseError, ConfigurationError) as error:
            raise StoreUnavailableError(f"the store answered: {error}") from error
        except RedisError as error:
            raise StoreLostError(f"the store did not answer: {error}") from error
        return [parse_answer(reply) for reply in replies]

    async def _send(self, command: list[str | bytes | int]) -> list[bytes]:
        client = self._store.client
        try:
            return await client.execute_command(*command)  # type: ignore[no-any-return]
        except LOST:
            self.sent_again += 1
            # A store that is being restarted closes its connections first and listens again a moment later.
            await asyncio.sleep(0.05)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await load_functions(self._store)
        return await client.execute_command(*command)  # type: ignore[no-any-return]

    def _command(self, batch: Sequence[Claim]) -> list[str | bytes | int]:
        names = self._store.keys
        places: dict[str, int] = {names.events: 1}

        def place(key: str) -> int:
            return places.setdefault(key, len(places) + 1)

        frames = [self._frame(claim, place) for claim in batch]
        return ["FCALL", self._store.library.function("claim"), len(places), *places, *frames]

    def _frame(self, claim: Claim, place: Callable[[str], int]) -> bytes:
        names = self._store.keys
        bucket, slot = divmod(claim.serial, BUCKET_SERIALS)
        parts = [
            _HEAD.pack(
                place(names.lot(claim.lot)),
                place(names.claims(claim.lot, bucket)),
                place(names.campaign(claim.campaign)),
                slot,
                claim.serial,
                member_digest(claim.member),
                details_digest(
                    claim.role, claim.tier, claim.channel, claim.seller, claim.inviter, claim.loc, claim.trace
                ),
                claim.rules.encode(),
                len(claim.pools),
            )
        ]
        for pool, no, draw in claim.pools:
            parts.append(
                _POOL.pack(place(names.pool(claim.campaign, pool)), no, draw >> 32, draw & 0xFFFFFFFF)
            )
        for text in (
            claim.scan_id,
            claim.member,
            claim.role,
            claim.tier,
            claim.channel,
            claim.seller,
            claim.inviter,
            claim.loc,
            claim.trace,
        ):
            if text:
                data = text.encode()
                parts += len(data).to_bytes(2, "big"), data
            else:
                parts.append(b"\0\0")
        return b"".join(parts)
