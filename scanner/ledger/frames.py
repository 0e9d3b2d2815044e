"""What is asked of the store's claim function, and the bytes it is asked in (``functions/*.lua``)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from scanner.campaigns import Day, Plan, Standing
from scanner.ledger.keys import BUCKET_SERIALS, Keys
from scanner.ledger.records import REQUEST_BYTES, details_digest, member_digest

_SCAN = struct.Struct(">BHHHBI8s8s16sBBB")
_OTHER = struct.Struct(">BHH8s8s16sBBBB")
_POOL = struct.Struct(">HBHI")  # the 48-bit draw in two parts
_INTERVAL = struct.Struct(">HIHI")
_COUNTS = struct.Struct(">HIHI")
_TWO_KEYS = struct.Struct(">HH")
_KEY = struct.Struct(">H")
_SELLER_IS_LOTS, _PINNED, _HAS_SELLER = 1, 2, 4
_PAID, _REFUSED = 1, 2


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


# The fields of an accepted scan's entry that the frame brings, as names: functions/scan.lua has their order.
_SELLER, _ROLE, _TIER, _CHANNEL, _INVITER, _LOC, _TRACE = map(
    _text, ("seller", "role", "tier", "channel", "inviter", "loc", "trace")
)

Place = Callable[[str], int]
"""The index of a key among the KEYS of the call; a key is added where it is new."""


class Kind(IntEnum):
    """The first byte of a frame."""

    SCAN = 1
    DRAW = 2
    GRANT = 3
    FRIEND = 4
    EXPIRY = 5
    WRONG_PIN = 6


class Asked(Protocol):
    """One claim, of whatever kind."""

    def frame(self, names: Keys, place: Place) -> bytes: ...


class Entered(NamedTuple):
    """A pool that a claim enters, and its draw: two 48-bit numbers, ``v`` where it has lucky amounts."""

    pool: str
    no: int
    u: int
    v: int | None = None


NO_TIME = Standing(0, (1 << 48) - 1, Day(0, 0, 0))


@dataclass(slots=True)  # not frozen: that would cost a call for each field
class Claim:
    """One scan, checked and judged, as it is offered to the store. What is absent is empty."""

    scan_id: str
    lot: int
    serial: int
    plan: Plan
    pools: tuple[Entered, ...]
    member: str
    role: str = ""
    tier: str = ""
    channel: str = ""
    seller: str = ""
    inviter: str = ""
    loc: str = ""
    trace: str = ""
    standing: Standing = NO_TIME
    seller_is_lots: bool = False
    pinned: bool = False

    def frame(self, names: Keys, place: Place) -> bytes:
        bucket, slot = divmod(self.serial, BUCKET_SERIALS)
        member = member_digest(self.member)
        details = details_digest(
            self.role, self.tier, self.channel, self.seller, self.inviter, self.loc, self.trace
        )
        said: list[bytes] = []
        for name, value in (
            (_SELLER, self.seller),
            (_ROLE, self.role),
            (_TIER, self.tier),
            (_CHANNEL, self.channel),
            (_INVITER, self.inviter),
            (_LOC, self.loc),
            (_TRACE, self.trace),
        ):
            if value:
                said += name, _text(value)
        flags = (
            _SELLER_IS_LOTS * self.seller_is_lots | _PINNED * self.pinned | _HAS_SELLER * bool(self.seller)
        )
        parts = [
            _SCAN.pack(
                Kind.SCAN,
                place(names.claims(self.lot, bucket)),
                place(names.campaign(self.plan.id)),
                place(names.lot(self.lot)),
                slot,
                self.serial,
                member,
                details,
                self.plan.version.encode(),
                flags,
                len(self.pools),
                len(said),
            ),
            _text(self.scan_id),
            _text(self.member),
            _text(str(self.serial)),
            *said,
        ]
        if self.pinned:
            parts.append(_tries(self.lot, self.serial, member, names, place))
        if self.plan.has_terms:
            parts.append(_terms(self.plan, self.standing, member, self.scan_id, names, place))
        parts += _entered(self.plan.id, self.pools, names, place)
        return b"".join(parts)


@dataclass(slots=True)
class Request:
    """A draw, a grant or a friend's claim. ``said`` are the names and values of the entry's fields beside
    what the store knows itself, the id's and the member's first; what is absent is left out. One that is
    ``refused`` by the rules is asked all the same, because what was done before is answered for ever."""

    kind: Kind
    key: str
    slot: bytes
    plan: Plan
    standing: Standing
    pools: tuple[Entered, ...]
    id: str
    member: str
    details: bytes
    said: dict[str, str] = field(default_factory=dict)
    scan_id: str = ""
    paid: bool = False
    refused: bool = False

    def frame(self, names: Keys, place: Place) -> bytes:
        member = member_digest(self.member)
        said = {"id": self.id, "member": self.member} | {k: v for k, v in self.said.items() if v}
        parts = [
            _OTHER.pack(
                self.kind,
                place(self.key),
                place(names.campaign(self.plan.id)),
                member,
                self.details,
                self.plan.version.encode(),
                _PAID * self.paid | _REFUSED * self.refused,
                len(self.pools),
                2 * len(said),
                len(self.slot),
            ),
            self.slot,
            *(_text(text) for pair in said.items() for text in pair),
        ]
        if self.plan.has_terms:
            parts.append(_terms(self.plan, self.standing, member, self.scan_id, names, place))
        parts += _entered(self.plan.id, self.pools, names, place)
        return b"".join(parts)


@dataclass(slots=True)
class WrongPin:
    """A PIN that is not the code's: counted for the code and for the member."""

    lot: int
    serial: int
    member: str

    def frame(self, names: Keys, place: Place) -> bytes:
        member = member_digest(self.member)
        return bytes((Kind.WRONG_PIN,)) + _tries(self.lot, self.serial, member, names, place)


@dataclass(slots=True)
class Expiry:
    """A locked packet that may have expired. ``name`` is its member among the expiries."""

    plan: Plan
    name: str

    def frame(self, names: Keys, place: Place) -> bytes:
        _, pool_id, grant, member = self.name.split("/")
        pool = self.plan.by_id[pool_id]
        keys = (
            place(names.wallet(self.plan.id, bytes.fromhex(member))),
            place(names.campaign(self.plan.id)),
            place(names.pool(self.plan.id, pool_id)),
            place(names.budget(self.plan.id)) if self.plan.budgeted else 0,
            place(names.expiries),
        )
        texts = (f"{pool.no}:{grant}".encode(), self.name.encode())
        return struct.pack(">B5HB", Kind.EXPIRY, *keys, pool.no) + b"".join(
            len(text).to_bytes(2, "big") + text for text in texts
        )


def request_field(digest: bytes) -> bytes:
    """The field of a request's record."""
    return digest[:REQUEST_BYTES]


def _tries(lot: int, serial: int, member: bytes, names: Keys, place: Place) -> bytes:
    return _TWO_KEYS.pack(place(names.code_tries(lot, serial)), place(names.member_tries(member)))


def _entered(campaign: str, pools: tuple[Entered, ...], names: Keys, place: Place) -> list[bytes]:
    """``functions/prizes.lua``."""
    parts = [
        _POOL.pack(place(names.pool(campaign, pool)), no, u >> 32, u & 0xFFFFFFFF) for pool, no, u, _ in pools
    ]
    return parts + [v.to_bytes(6, "big") for _, _, _, v in pools if v is not None]


def _terms(plan: Plan, standing: Standing, member: bytes, scan_id: str, names: Keys, place: Place) -> bytes:
    """``functions/terms.lua``."""
    data = b""
    if plan.timed:
        from_ms, until_ms = standing.from_ms, standing.until_ms
        data += _INTERVAL.pack(from_ms >> 32, from_ms & 0xFFFFFFFF, until_ms >> 32, until_ms & 0xFFFFFFFF)
    if plan.limited:
        day = standing.day
        until_ms = day.until_ms
        data += _COUNTS.pack(
            place(names.counts(plan.id, member)), day.number, until_ms >> 32, until_ms & 0xFFFFFFFF
        )
    if plan.kept:
        data += _TWO_KEYS.pack(place(names.wallet(plan.id, member)), place(names.expiries))
    if plan.shared:
        data += _KEY.pack(place(names.share(scan_id)))
    if plan.budgeted:
        data += _KEY.pack(place(names.budget(plan.id)))
    return data
