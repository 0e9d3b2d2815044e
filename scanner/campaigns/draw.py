"""The reference draws, in plain Python, from which an auditor recomputes every award.

They share nothing with the store's function but the published rules, so the two check each other.
"""

from collections.abc import Mapping

from scanner.campaigns.fields import ODDS_STEPS
from scanner.campaigns.plan import PlanPool, PlanPrize


def draw(pool: PlanPool, remaining: Mapping[str, int | None], u: int) -> PlanPrize | None:
    """The prize that a draw `u`, 0 <= u < 2^48, takes from a pool; None if it takes none.

    `remaining` has the pieces left of each prize by its id, None for a prize that never runs out. A blank
    is returned like any prize: it too leaves a deck. Taking the piece out is the caller's.

    every   the first prize, in the file's order, that is left
    deck    all pieces left in a row, prize after prize in the file's order: piece number u mod their number
    odds    the first prize with u < below; none if that one has run out, and none past the last
    """
    assert 0 <= u < ODDS_STEPS, "a draw has 48 bits"
    match pool.draw:
        case "every":
            return next((prize for prize in pool.prizes if remaining[prize.id] != 0), None)
        case "deck":
            return _from_deck(pool, remaining, u)
        case "odds":
            prize = next((prize for prize in pool.prizes if _threshold(prize) > u), None)
            return prize if prize is not None and remaining[prize.id] != 0 else None


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
