"""The model's pools and budgets: what a draw comes to, and what it takes out (docs/prizes.md).

With a draw's two numbers there is one answer (`due`); without them it can only be said what a draw could not
have come to (`doubts`).
"""

from collections.abc import Iterator

from scanner.campaigns import PlanPool, PlanPrize
from scanner.campaigns.draw import amount as lucky_amount
from scanner.campaigns.draw import bounds, draw
from scanner.errors import ScannerError
from scanner.ledger.model.facts import NOTHING, Drawn
from scanner.ledger.model.state import WHOLE, CampaignState, PoolState


class ModelError(ScannerError):
    """What the model was told cannot be; the message says why."""


def due(campaign: CampaignState, pool: PlanPool, u: int, v: int) -> Drawn:
    """What a draw with these numbers comes to.

    ModelError where a prize's money does not fit its pieces, which only a wrong entry brings about.
    """
    state = campaign.pools[pool.id]
    prize = draw(pool, state.left, u)
    if prize is None:
        return NOTHING
    amount = 0
    if prize.max:
        try:
            amount = lucky_amount(*_lucky(state, prize), v)
        except ValueError as error:
            raise ModelError(f"pool {pool.id}: {error}") from None
    if is_short(campaign, pool, worth(prize, amount)):
        return Drawn(prize, withheld=True)
    return Drawn(prize, amount)


def doubts(campaign: CampaignState, pool: PlanPool, said: Drawn) -> Iterator[str]:
    """What cannot be about a draw whose numbers are not known."""
    state, prize = campaign.pools[pool.id], said.prize
    if pool.draw == "every":
        first = draw(pool, state.left, 0)
        if first != prize:
            yield f"pool {pool.id}: {_name(first)} was due, not {_name(prize)}"
    elif prize is None and pool.draw != "odds" and any(state.left.values()):
        yield f"pool {pool.id}: nothing was drawn although the deck was not empty"
    if prize is None:
        return
    left = state.left[prize.id]
    if left is not None and left < 1:
        yield f"pool {pool.id}: {prize.id} was given although none was left"
        return
    least = most = prize.worth
    if prize.max:
        try:
            least, most = bounds(*_lucky(state, prize))
        except ValueError as error:
            yield f"pool {pool.id}: {error}"
            return
        if not said.withheld and not least <= said.amount <= most:
            yield f"pool {pool.id}: {prize.id} could give {least} to {most}, not {said.amount}"
    if said.withheld and not is_short(campaign, pool, most):
        yield f"pool {pool.id}: {prize.id} was withheld although the budget had enough"
    if not said.withheld and is_short(campaign, pool, worth(prize, said.amount)):
        yield f"pool {pool.id}: {prize.id} was given although the budget was short of it"


def take(campaign: CampaignState, pool: PlanPool, drawn: Drawn, *, locked: bool = False) -> None:
    """Takes what was drawn out of stock, money and budgets: it is given, or locked."""
    prize, amount, withheld = drawn
    if prize is None:
        return
    state, id = campaign.pools[pool.id], prize.id
    if withheld:
        state.withheld[id] += 1
        return
    left = state.left[id]
    if left is not None:
        state.left[id] = left - 1
    (state.locked if locked else state.given)[id] += 1
    if prize.max:
        state.money_left[id] -= amount
        (state.money_locked if locked else state.money_given)[id] += amount
    _spend(campaign, pool, worth(prize, amount))


def unlock(campaign: CampaignState, pool: PlanPool, prize: PlanPrize, amount: int) -> None:
    """What was locked is given."""
    state, id = campaign.pools[pool.id], prize.id
    state.locked[id] -= 1
    state.given[id] += 1
    if prize.max:
        state.money_locked[id] -= amount
        state.money_given[id] += amount


def put_back(campaign: CampaignState, pool: PlanPool, prize: PlanPrize, amount: int) -> None:
    """What was locked goes back where it came from."""
    state, id = campaign.pools[pool.id], prize.id
    state.locked[id] -= 1
    left = state.left[id]
    if left is not None:
        state.left[id] = left + 1
    if prize.max:
        state.money_locked[id] -= amount
        state.money_left[id] += amount
    _spend(campaign, pool, -worth(prize, amount))


def worth(prize: PlanPrize, amount: int) -> int:
    """What a piece takes out of the budgets; `amount` is the drawn one."""
    return amount if prize.max else prize.worth


def is_short(campaign: CampaignState, pool: PlanPool, money: int) -> bool:
    """Whether the pool's budget or the campaign's has less left than that."""
    budgets = campaign.budgets
    if not budgets:  # as in most campaigns, of which every draw of every scan asks
        return False
    return any(name in budgets and money > budgets[name].left for name in (pool.id, WHOLE))


def _spend(campaign: CampaignState, pool: PlanPool, money: int) -> None:
    budgets = campaign.budgets
    for name in (pool.id, WHOLE) if budgets else ():
        if name in budgets:
            budgets[name].left -= money


def _lucky(state: PoolState, prize: PlanPrize) -> tuple[int, int, int, int]:
    return state.left[prize.id] or 0, state.money_left[prize.id], prize.min, prize.max


def _name(prize: PlanPrize | None) -> str:
    return prize.id if prize else "nothing"
