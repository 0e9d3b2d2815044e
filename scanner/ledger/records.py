"""Claim records: what the store keeps of each accepted claim for ever, and the ids claims are known by.

A record is big-endian, `at:6 | campaign number:2 | member digest:8 | details digest:8` and then items:

    pool number:1, prize number:1     a prize that was drawn or unlocked, blanks included
    0, 1, amount:6                    the drawn amount of the prize before
    0, 2, pool number:1               a packet was opened for friends
    0, 3                              what follows is the giver's
"""

import struct
from functools import lru_cache
from typing import NamedTuple

import blake3

from scanner.codes.format import crockford

_HEAD = struct.Struct(">HIH8s8s")  # at as 16 + 32 bits
_AMOUNT = struct.Struct(">HI")
AMOUNT, SHARED, GIVERS = 1, 2, 3

REQUEST_BYTES = 16


class Won(NamedTuple):
    """A prize by the numbers of its pool and itself; `amount` in minor units where it was drawn, else 0."""

    pool: int
    prize: int
    amount: int = 0


class Record(NamedTuple):
    """A claim as the store keeps it. ``shared`` is the number of the pool whose packet was opened, or 0."""

    at_ms: int
    campaign_no: int
    member: bytes  # digest
    details: bytes  # digest
    won: tuple[Won, ...] = ()
    shared: int = 0
    givers: tuple[Won, ...] = ()


def parse_record(data: bytes) -> Record:
    """Reads a record. Raises IndexError or struct.error where it is cut short."""
    high, low, campaign_no, member, details = _HEAD.unpack_from(data)
    won: list[Won] = []
    givers: list[Won] = []
    into, shared, at, end = won, 0, _HEAD.size, len(data)
    while at < end:
        first, second = data[at], data[at + 1]
        at += 2
        if first:
            into.append(Won(first, second))
        elif second == AMOUNT:
            amount_high, amount_low = _AMOUNT.unpack_from(data, at)
            into[-1] = into[-1]._replace(amount=amount_high << 32 | amount_low)
            at += 6
        elif second == SHARED:
            shared = data[at]
            at += 1
        else:
            into = givers
    return Record(high << 32 | low, campaign_no, member, details, tuple(won), shared, tuple(givers))


@lru_cache(maxsize=8192)  # whoever scans, scans again
def member_digest(member: str) -> bytes:
    """8 bytes that stand for the member in a claim record: enough to know the same member again."""
    return blake3.blake3(member.encode()).digest(8)


@lru_cache(maxsize=8192)  # most scans of a campaign say the same
def details_digest(*details: str) -> bytes:
    """8 bytes over what else was said, so that a change shows. Their order, by claim:

    scan     role, tier, channel, seller, inviter, loc, trace
    friend   role, tier, channel, "", "", "", trace
    draw     "draw", campaign, pool, member, paid
    grant    "grant", campaign, pool, member
    """
    return blake3.blake3("\0".join(details).encode()).digest(8)


def digest(*parts: str) -> bytes:
    """32 bytes that stand for a request, a friend's claim, or their draws (docs/prizes.md)."""
    return blake3.blake3("\0".join(parts).encode()).digest()


def public_id(digest: bytes) -> str:
    """The 16 characters by which the outside knows what a digest stands for."""
    return crockford(digest[:10])
