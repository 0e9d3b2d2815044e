"""The brand's state in plain Python, as the replay builds it from the stream: lots, campaigns, pools."""

from dataclasses import dataclass, field

from scanner.campaigns import CampaignFile, Plan, PlanPool

Stock = dict[str, int | None]


@dataclass
class ReplayedLot:
    kid: int
    size: int
    product: str
    campaign: str
    pin: bool
    blocked: bool = False
    active: list[tuple[int, int]] = field(default_factory=list)
    claimed: bytearray = field(default_factory=bytearray)  # one bit a serial

    def is_claimed(self, serial: int) -> bool:
        return bool(self.claimed[serial >> 3] >> (serial & 7) & 1)

    def claim(self, serial: int) -> None:
        self.claimed[serial >> 3] |= 1 << (serial & 7)

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


@dataclass
class ReplayedPool:
    """``put_in``, ``given`` and ``left`` in pieces, by prize; None is no limit."""

    put_in: Stock
    left: Stock
    given: dict[str, int]

    @classmethod
    def filled(cls, pool: PlanPool) -> "ReplayedPool":
        """A new pool with what its file puts in."""
        stock = {prize.id: prize.stock for prize in pool.prizes}
        return cls(dict(stock), dict(stock), dict.fromkeys(stock, 0))

    def refilled(self, pool: PlanPool) -> "ReplayedPool":
        """This pool under a new version of its campaign: what the file adds is put in."""
        after = ReplayedPool(dict(self.put_in), dict(self.left), dict(self.given))
        for prize in pool.prizes:
            before, left = self.put_in.get(prize.id, 0), self.left.get(prize.id, 0)
            after.put_in[prize.id] = prize.stock
            if prize.stock is None or before is None or left is None:
                after.left[prize.id] = None
            else:
                after.left[prize.id] = left + prize.stock - before
            after.given.setdefault(prize.id, 0)
        return after


@dataclass
class ReplayedCampaign:
    file: CampaignFile
    plan: Plan
    scans: int = 0
    pools: dict[str, ReplayedPool] = field(default_factory=dict)
