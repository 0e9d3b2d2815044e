"""The draws in plain Python, from which an auditor recomputes every award.

They share nothing with the store's function but the published rules (docs/prizes.md), so the two check each
other.
"""

from collections.abc import Mapping

from scanner.campaigns.fields import ODDS_STEPS
from scanner.campaigns.plan import PlanPool, PlanPrize


def draw(pool: PlanPool, remaining: Mapping[str, int | None], u: int) -> PlanPrize | None:
    """The prize that a draw `u`, 0 <= u < 2^48, takes from a pool; None if it takes none.

    `remaining` has the pieces left of each prize by its id, None for a prize that never runs out. A blank
    is returned like any prize: it too leaves a deck. Taking the piece out is the caller's.

    every                   the first prize, in the file's order, that is left
    deck, locked, shared    all pieces left in a row, prize after prize in the file's order: piece number
                            u mod their number
    odds                    the first prize with u < below; none if that one has run out, and none past the
                            last
    """
    assert 0 <= u < ODDS_STEPS, "a draw has 48 bits"
    match pool.draw:
        case "every":
            return next((prize for prize in pool.prizes if remaining[prize.id] != 0), None)
        case "deck" | "locked" | "shared":
            return _from_deck(pool, remaining, u)
        case "odds":
            prize = next((prize for prize in pool.prizes if _threshold(prize) > u), None)
            return prize if prize is not None and remaining[prize.id] != 0 else None


def amount(pieces: int, money: int, low: int, high: int, v: int) -> int:
    """The next lucky amount, in minor units, that a draw `v`, 0 <= v < 2^48, takes out of `money` for
    `pieces` amounts of `low` to `high` each. ValueError if these cannot add up to it."""
    assert 0 <= v < ODDS_STEPS, "a draw has 48 bits"
    least, most = bounds(pieces, money, low, high)
    return least + v % (most - least + 1)


def bounds(pieces: int, money: int, low: int, high: int) -> tuple[int, int]:
    """The least and the highest that the next lucky amount may be; arguments and errors as `amount`.

    As far from the mean of what is left, on both sides, as the nearer of `low` and `high` is; and never so
    far that the amounts after it could not add up any more.
    """
    if pieces < 1 or not pieces * low <= money <= pieces * high:
        raise ValueError(f"{pieces} amounts of {low} to {high} cannot add up to {money}")
    # pieces times the distance, so that all of it is in whole numbers; -(-x // n) rounds up
    distance = min(money - pieces * low, pieces * high - money)
    others = pieces - 1
    least = max(-(-(money - distance) // pieces), low, money - others * high)
    most = min((money + distance) // pieces, high, money - others * low)
    return least, most


def _from_deck(pool: PlanPool, remaining: Mapping[str, int | None], u: int) -> PlanPrize | None:
    pieces = [(prize, remaining[prize.id] or 0) for prize in pool.prizes]
    total = sum(count for _, count in pieces)
    if total == 0:
        return None
    # 2^48 is seldom a multiple of the number n of pieces, so some pieces are likelier than others, by at most
    # n in 2^48: in a deck of a million by one part in 280 million.
    piece = u % total
    for prize, count in pieces:
        if piece < count:
            return prize
        piece -= count
    raise AssertionError("the piece lies within the total")


def _threshold(prize: PlanPrize) -> int:
    assert prize.below is not None, "a prize of an odds pool"
    return prize.below
