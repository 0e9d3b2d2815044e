"""What people read in an audit's report: rows of what was put in, given and kept. Money is in minor units."""

from dataclasses import dataclass


@dataclass(slots=True)
class Given:
    """What a pool gave on a day (ISO date in the campaign's time zone) of one kind of prize.

    `pieces` are prizes, blanks ("none") included, on the day they were won or unlocked; `money` is the sum of
    cash; `units` the sum of amounts of the other kinds (points, coupons, things, draws).
    """

    day: str
    pool: str
    kind: str
    pieces: int = 0
    money: int = 0
    units: int = 0


@dataclass(frozen=True, slots=True)
class PrizeSheet:
    """A prize's account: `put_in = given + locked + left`, in pieces and, of cash prizes, in money.

    None is no limit; without cash, the sums of money stay at their default. `withheld` are draws.
    """

    pool: str
    prize: str
    kind: str
    put_in: int | None
    given: int
    locked: int
    left: int | None
    withheld: int
    money_put_in: int | None = None
    money_given: int = 0
    money_locked: int = 0
    money_left: int | None = None


@dataclass(slots=True)
class Tally:
    """How often things happened in a campaign. Chances are draws in a pool; `draws` has the paid ones too."""

    chances_given: int = 0
    chances_used: int = 0
    draws: int = 0
    paid_draws: int = 0
    packets_granted: int = 0
    packets_unlocked: int = 0
    packets_expired: int = 0
    shares_opened: int = 0
    shares_claimed: int = 0
    givers_drew: int = 0
