"""The brand's state in plain Python, as the model builds it: lots, campaigns, pools, what members keep.

Money is in minor units, times are ms since 1970; None is no limit. A member is its 8 bytes of digest.
What the store keeps in a layout of its own (keys.py) can be written in it, to be held against the store.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from scanner.campaigns import CampaignFile, Plan, PlanPool, PlanPrize, day_at
from scanner.campaigns.prizes import Cash, Spread
from scanner.ledger.model.sheets import Given, PrizeSheet, Tally

Stock = dict[str, int | None]
WHOLE = "*"
"""The campaign's own budget, among those of its pools."""


@dataclass(slots=True)
class LotState:
    """A lot. ``active`` holds inclusive ranges of serials, ``claimed`` one bit a serial."""

    kid: int
    size: int
    product: str
    campaign: str
    pin: bool
    blocked: bool = False
    seller: str = ""
    active: list[tuple[int, int]] = field(default_factory=list)
    claimed: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.claimed = self.claimed or bytearray((self.size + 7) // 8)

    def is_claimed(self, serial: int) -> bool:
        return bool(self.claimed[serial >> 3] >> (serial & 7) & 1)

    def claim(self, serial: int) -> None:
        self.claimed[serial >> 3] |= 1 << (serial & 7)

    def is_active(self, serial: int) -> bool:
        return any(first <= serial <= last for first, last in self.active)

    def activate(self, first: int, last: int) -> None:
        """Adds a range, and keeps them sorted with no two that touch."""
        self.active.append((first, last))
        merged: list[tuple[int, int]] = []
        for low, high in sorted(self.active):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        self.active = merged


@dataclass(slots=True)
class PoolState:
    """What is in a pool and what came out of it, by prize id: ``put_in = given + locked + left``.

    Pieces of every prize; and the money of those with lucky amounts. ``withheld`` counts draws that gave
    nothing because a budget was short.
    """

    put_in: Stock
    left: Stock
    given: dict[str, int]
    locked: dict[str, int]
    withheld: dict[str, int]
    money_put_in: dict[str, int]
    money_left: dict[str, int]
    money_given: dict[str, int]
    money_locked: dict[str, int]

    @classmethod
    def filled(cls, pool: PlanPool) -> "PoolState":
        """A new pool with what its file puts in."""
        state = cls({}, {}, {}, {}, {}, {}, {}, {}, {})
        state.refill(None, pool)
        return state

    def refill(self, before: PlanPool | None, pool: PlanPool) -> None:
        """Puts in what a new version of the file adds to the one before; top-ups in between stay on top."""
        files = {prize.id: prize.stock for prize in before.prizes} if before else {}
        for prize in pool.prizes:
            id = prize.id
            if id not in files:
                self.put_in[id] = self.left[id] = prize.stock
                self.given[id] = self.locked[id] = self.withheld[id] = 0
                if prize.max:
                    self.money_put_in[id] = self.money_left[id] = prize.sum
                    self.money_given[id] = self.money_locked[id] = 0
            elif prize.stock is None or files[id] is None:
                self.put_in[id] = self.left[id] = None
            else:
                self.add(id, prize.stock - (files[id] or 0))

    def add(self, prize: str, pieces: int) -> None:
        """Puts pieces of a prize in that can run out."""
        self.put_in[prize] = (self.put_in[prize] or 0) + pieces
        self.left[prize] = (self.left[prize] or 0) + pieces


@dataclass(slots=True)
class Budget:
    put_in: int
    left: int

    @property
    def spent(self) -> int:
        return self.put_in - self.left

    def add(self, money: int) -> None:
        self.put_in += money
        self.left += money


class Packet(NamedTuple):
    """A locked packet: until when it can be unlocked (not at that moment any more), the prize's number, its
    amount where it was drawn, else 0, and the member's id."""

    at_ms: int
    expires_ms: int
    prize: int
    amount: int
    member: str

    def pack(self) -> bytes:
        return (
            self.at_ms.to_bytes(6)
            + self.expires_ms.to_bytes(6)
            + self.prize.to_bytes(1)
            + self.amount.to_bytes(6)
            + self.member.encode()
        )


@dataclass(slots=True)
class Wallet:
    """What a member keeps in a campaign: draws by the number of their pool, packets by pool and grant id."""

    chances: dict[int, int] = field(default_factory=dict)
    packets: dict[int, dict[str, Packet]] = field(default_factory=dict)

    @property
    def packet_count(self) -> int:
        return sum(map(len, self.packets.values()))

    def fields(self) -> dict[bytes, bytes]:
        """As stored; empty where the member keeps nothing, and has no wallet."""
        chances = {b"c%d" % no: b"%d" % left for no, left in self.chances.items() if left}
        packets = {
            f"{no}:{grant}".encode(): packet.pack()
            for no, packets in self.packets.items()
            for grant, packet in packets.items()
        }
        return chances | packets


@dataclass(slots=True)
class Counts:
    """How often a member did what is limited: [on `day`, in all] by the pool's number, 0 for scans.

    `expires_ms` is the last moment at which the store still knows of them.
    """

    day: int
    expires_ms: int
    of: dict[int, list[int]] = field(default_factory=dict)

    def pack(self) -> bytes:
        rows = (
            no.to_bytes(1) + today.to_bytes(4) + total.to_bytes(4)
            for no, (today, total) in sorted(self.of.items())
        )
        return self.day.to_bytes(4) + b"".join(rows)

    @classmethod
    def unpack(cls, data: bytes) -> "Counts":
        """What `pack` wrote, which does not say when it expires. ValueError: it cannot be read."""
        if len(data) < 4 or (len(data) - 4) % 9:
            raise ValueError(f"{len(data)} bytes are no counts")
        rows = [data[at : at + 9] for at in range(4, len(data), 9)]
        of = {row[0]: [int.from_bytes(row[1:5]), int.from_bytes(row[5:])] for row in rows}
        return cls(int.from_bytes(data[:4]), 0, of)


@dataclass(slots=True)
class Share:
    """A packet that was opened for friends, and who has claimed it, by their digests."""

    campaign: str
    pool: str
    lot: int
    serial: int
    giver: str
    at_ms: int
    friends: set[bytes] = field(default_factory=set)


class Worth(NamedTuple):
    """What one piece of a prize is: its kind, and its amount, 0 where that is drawn or nothing."""

    kind: str
    amount: int


@dataclass
class CampaignState:
    """A campaign: its rules in force, its pools, and what its members keep and have done.

    ``budgets`` are by the pool's id, or WHOLE; ``prizes`` and ``worths`` by the ids of pool and prize.
    """

    file: CampaignFile
    plan: Plan
    scans: int = 0
    paused: bool = False
    pools: dict[str, PoolState] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    wallets: dict[bytes, Wallet] = field(default_factory=dict)
    counts: dict[bytes, Counts] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    given: dict[tuple[int, str, str], Given] = field(default_factory=dict)
    worths: dict[tuple[str, str], Worth] = field(default_factory=dict)
    prizes: dict[tuple[str, str], PlanPrize] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.use(self.file, self.plan)

    def use(self, file: CampaignFile, plan: Plan) -> None:
        """Puts a version of the file in force; filling the pools is the caller's."""
        self.file, self.plan = file, plan
        self.prizes = {(pool.id, prize.id): prize for pool in plan.pools for prize in pool.prizes}
        for pool in file.pool:
            for prize in pool.prize:
                amount = getattr(prize, "amount", 0)
                worth = Worth(prize.kind, 0 if isinstance(amount, Spread) else amount)
                self.worths[pool.id, prize.id] = worth

    def note_given(self, pool: str, prize: str, amount: int, at_ms: int) -> None:
        """Adds a piece to the day's sum of what was given; `amount` is the drawn one, or 0."""
        kind, units = self.worths[pool, prize]
        # The file's time zone: the plan keeps one only where its rules need it.
        day = day_at(self.file.campaign.timezone, at_ms).number
        row = self.given.get((day, pool, kind))
        if row is None:
            iso = f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}"
            row = self.given[day, pool, kind] = Given(iso, pool, kind)
        row.pieces += 1
        if kind == "cash":
            row.money += amount or units
        else:
            row.units += units

    def given_rows(self) -> list[Given]:
        """What was given, by day, pool (in the file's order) and kind."""
        places = {pool.id: place for place, pool in enumerate(self.plan.pools)}
        return sorted(self.given.values(), key=lambda row: (row.day, places.get(row.pool, -1), row.kind))

    def sheet(self) -> Iterator[PrizeSheet]:
        """Every prize in the file's order: what was put in, given, is locked and is left."""
        for pool in self.file.pool:
            state = self.pools[pool.id]
            for prize in pool.prize:
                id = prize.id
                money: tuple[int | None, int, int, int | None] = (None, 0, 0, None)
                left, put_in = state.left[id], state.put_in[id]
                pieces = (put_in, state.given[id], state.locked[id], left)
                if id in state.money_left:
                    sums = (state.money_put_in, state.money_given, state.money_locked, state.money_left)
                    money = (sums[0][id], sums[1][id], sums[2][id], sums[3][id])
                elif isinstance(prize, Cash):
                    each = self.worths[pool.id, id].amount
                    money = (_times(put_in, each), pieces[1] * each, pieces[2] * each, _times(left, each))
                yield PrizeSheet(pool.id, id, prize.kind, *pieces, state.withheld[id], *money)


def _times(pieces: int | None, each: int) -> int | None:
    return None if pieces is None else pieces * each


@dataclass
class BrandState:
    """All of it. ``requests`` are the details' digests by the first 16 bytes of a request's own."""

    lots: dict[int, LotState] = field(default_factory=dict)
    campaigns: dict[str, CampaignState] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    requests: dict[bytes, bytes] = field(default_factory=dict)
