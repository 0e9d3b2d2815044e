"""What is asked of the store's claim function, and the bytes it is asked in (``functions/*.lua``)."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from scanner.campaigns import Day, Plan, Standing
from scanner.ledger.keys import BUCKET_SERIALS, Keys
from scanner.ledger.records import REQUEST_BYTES, details_digest, member_digest

_HEAD = struct.Struct(">BHH")
_COMMON = struct.Struct(">HHHHB16sH")
_ENTERED = struct.Struct(">HB")
_SCAN = struct.Struct(">HI8s8sH")
_OTHER = struct.Struct(">H8s8sBB")
_DRAW = struct.Struct(">HI")  # 48 bits in two parts
_INTERVAL = struct.Struct(">HIHI")
_COUNTS = struct.Struct(">HIHI")
_TWO_KEYS = struct.Struct(">HH")
_KEY = struct.Struct(">H")
SELLER_IS_LOTS, PINNED = 1, 2
_PAID, _REFUSED = 1, 2


def _name(name: str) -> bytes:
    """A string of MessagePack with at most 31 bytes."""
    return bytes((0xA0 | len(name),)) + name.encode()


def _value(text: str) -> bytes:
    """A string of MessagePack, with its length in two bytes."""
    data = text.encode()
    return b"\xda" + len(data).to_bytes(2, "big") + data


# The fields of an accepted scan's entry that the frame brings, as names.
_SCAN_SAID = "member", "id", "serial", "seller", "role", "tier", "channel", "inviter", "loc", "trace"
_SCAN_NAMES = tuple(map(_name, _SCAN_SAID))


class Places(dict[str, int]):
    """The KEYS of a call, each with its index. Called with a key, it gives its index, adding what is new.

    ``commons`` are what several claims have in common (``functions/common.lua``), each once, and
    ``common_places`` their indices by what they are made of.
    """

    def __init__(self, events: str) -> None:
        super().__init__({events: 1})
        self.commons: list[bytes] = []
        self.common_places: dict[tuple[object, ...], int] = {}

    def __call__(self, key: str) -> int:
        return self.setdefault(key, len(self) + 1)


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

    def frame(self, names: Keys, place: Places) -> bytes: ...


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

    def frame(self, names: Keys, place: Places) -> bytes:
        member = member_digest(self.member)
        details = details_digest(
            self.role, self.tier, self.channel, self.seller, self.inviter, self.loc, self.trace
        )
        values = self.member, self.scan_id, str(self.serial), self.seller, self.role, self.tier, self.channel
        said = _said(_SCAN_NAMES, (*values, self.inviter, self.loc, self.trace))
        judged_for_lots = self.seller_is_lots or not self.seller
        common = common_of(
            self.plan,
            self.pools,
            names,
            place,
            lot=self.lot,
            flags=SELLER_IS_LOTS * judged_for_lots | PINNED * self.pinned,
            seller=self.seller if judged_for_lots else "",
        )
        parts = [
            _SCAN.pack(
                place(names.claims(self.lot, self.serial // BUCKET_SERIALS)),
                self.serial,
                member,
                details,
                len(said),
            ),
            said,
        ]
        if self.pinned:
            parts.append(_tries(self.lot, self.serial, member, names, place))
        if self.plan.has_terms:
            parts.append(_terms(self.plan, self.standing, member, self.scan_id, names, place))
        parts.append(_draws(self.pools))
        return _framed(Kind.SCAN, common, b"".join(parts))


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

    def frame(self, names: Keys, place: Places) -> bytes:
        member = member_digest(self.member)
        fields = {"id": self.id, "member": self.member} | self.said
        said = _said(map(_name, fields), fields.values())
        parts = [
            _OTHER.pack(
                place(self.key),
                member,
                self.details,
                _PAID * self.paid | _REFUSED * self.refused,
                len(self.slot),
            ),
            self.slot,
            _KEY.pack(len(said)),
            said,
        ]
        if self.plan.has_terms:
            parts.append(_terms(self.plan, self.standing, member, self.scan_id, names, place))
        parts.append(_draws(self.pools))
        return _framed(self.kind, common_of(self.plan, self.pools, names, place), b"".join(parts))


@dataclass(slots=True)
class WrongPin:
    """A PIN that is not the code's: counted for the code and for the member."""

    lot: int
    serial: int
    member: str

    def frame(self, names: Keys, place: Places) -> bytes:
        member = member_digest(self.member)
        return _framed(Kind.WRONG_PIN, 0, _tries(self.lot, self.serial, member, names, place))


@dataclass(slots=True)
class Expiry:
    """A locked packet that may have expired. ``name`` is its member among the expiries."""

    plan: Plan
    name: str

    def frame(self, names: Keys, place: Places) -> bytes:
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
        data = struct.pack(">5HB", *keys, pool.no)
        return _framed(Kind.EXPIRY, 0, data + b"".join(len(text).to_bytes(2, "big") + text for text in texts))


def request_field(digest: bytes) -> bytes:
    """The field of a request's record."""
    return digest[:REQUEST_BYTES]


def _framed(kind: Kind, common: int, data: bytes) -> bytes:
    """``functions/claim.lua``."""
    return _HEAD.pack(kind, common, len(data)) + data


def _said(names: Iterable[bytes], values: Iterable[str]) -> bytes:
    """The fields of an entry; what is absent is left out."""
    return b"".join([name + _value(value) for name, value in zip(names, values, strict=True) if value])


def _tries(lot: int, serial: int, member: bytes, names: Keys, place: Places) -> bytes:
    return _TWO_KEYS.pack(place(names.code_tries(lot, serial)), place(names.member_tries(member)))


def common_key(
    plan: Plan, pools: Iterable[Entered], lot: int = 0, flags: int = 0, seller: str = ""
) -> tuple[object, ...]:
    """What a common is known by in its batch."""
    return plan.id, plan.version, lot, flags, seller, *(pool.no for pool in pools)


def common_of(
    plan: Plan,
    pools: tuple[Entered, ...],
    names: Keys,
    place: Places,
    lot: int = 0,
    flags: int = 0,
    seller: str = "",
) -> int:
    """``functions/common.lua``: what is the same for many claims of the batch is written and sent once."""
    made_of = common_key(plan, pools, lot, flags, seller)
    known = place.common_places.get(made_of)
    if known is not None:
        return known
    name = seller.encode()
    parts = [
        _COMMON.pack(
            place(names.campaign(plan.id)),
            place(names.lot(lot)) if lot else 0,
            place(names.budget(plan.id)) if plan.budgeted else 0,
            place(names.expiries) if plan.kept else 0,
            flags,
            plan.version.encode(),
            len(name),
        ),
        name,
        *(_ENTERED.pack(place(names.pool(plan.id, pool.pool)), pool.no) for pool in pools),
    ]
    place.commons.append(b"".join(parts))
    place.common_places[made_of] = len(place.commons)
    return len(place.commons)


def _draws(pools: tuple[Entered, ...]) -> bytes:
    """``functions/prizes.lua``."""
    data = b""
    for _, _, u, v in pools:
        data += _DRAW.pack(u >> 32, u & 0xFFFFFFFF)
        if v is not None:
            data += _DRAW.pack(v >> 32, v & 0xFFFFFFFF)
    return data


def _terms(plan: Plan, standing: Standing, member: bytes, scan_id: str, names: Keys, place: Places) -> bytes:
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
        data += _KEY.pack(place(names.wallet(plan.id, member)))
    if plan.shared:
        data += _KEY.pack(place(names.share(scan_id)))
    return data
