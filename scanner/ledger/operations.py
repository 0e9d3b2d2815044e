"""What is done to a campaign while it runs: topped up, paused, resumed; and how it stands.

As with lots, an operation that is given a request id is done once under it: repeated, it changes nothing and
returns False, and the id with anything else is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from scanner.campaigns import Plan
from scanner.campaigns.changes import DECKS
from scanner.errors import StoreRefusedError
from scanner.ledger import campaigns
from scanner.ledger.connection import Store

_WHOLE = "*"  # the campaign's own budget, beside those of its pools


@dataclass(frozen=True, slots=True)
class Standing:
    """How a campaign stands, beyond its file.

    ``budgets`` has the minor units left, by pool id, None for the campaign's own.
    """

    paused: bool
    budgets: dict[str | None, int]


async def standing(store: Store, campaign_id: str) -> Standing:
    paused = await store.client.hget(store.keys.campaign(campaign_id), "paused")
    left = await store.client.hgetall(store.keys.budget(campaign_id))
    names = {name: None if name == _WHOLE.encode() else name.decode() for name in left}
    return Standing(paused is not None, {names[name]: int(money) for name, money in left.items()})


async def pause(store: Store, campaign_id: str, *, by: str, request: str = "") -> bool:
    """Nothing can be won until the campaign is resumed; its codes stay free. False where it was paused."""
    return await _operate(store, "campaign_pause", campaign_id, [by, request, campaign_id])


async def resume(store: Store, campaign_id: str, *, by: str, request: str = "") -> bool:
    """A paused campaign goes on. False where it was not paused."""
    return await _operate(store, "campaign_resume", campaign_id, [by, request, campaign_id])


async def top_up(
    store: Store, campaign_id: str, pool: str, prize: str, n: int, *, by: str, request: str = ""
) -> bool:
    """Adds ``n`` pieces to what is left of a prize. False where the request was done before.

    Raises:
        StoreRefusedError: no such prize, one that must not grow, too many; or the file changed meanwhile.
    """

    def judge(plan: Plan) -> None:
        if wrong := _wrong_to_top_up(plan, pool, prize):
            raise StoreRefusedError(wrong)

    seen = await _judged(store, campaign_id, request, judge)
    return await _operate(
        store,
        "pool_top_up",
        campaign_id,
        [by, request, campaign_id, seen, pool, prize, n],
        store.keys.pool(campaign_id, pool),
    )


async def top_up_budget(
    store: Store, campaign_id: str, pool: str | None, amount: int, *, by: str, request: str = ""
) -> bool:
    """Adds minor units to what is left of a pool's budget, or with None of the campaign's.

    Raises:
        StoreRefusedError: no such budget, too much; or the file changed meanwhile.
    """

    def judge(plan: Plan) -> None:
        if pool is None:
            whose, budget = f"campaign {plan.id}", plan.budget
        elif pool in plan.by_id:
            whose, budget = f"pool {pool} of campaign {plan.id}", plan.by_id[pool].budget
        else:
            raise StoreRefusedError(_no_pool(plan, pool))
        if budget is None:
            raise StoreRefusedError(f"{whose} has no budget: what it gives is bounded by its stock alone")

    seen = await _judged(store, campaign_id, request, judge)
    return await _operate(
        store,
        "budget_top_up",
        campaign_id,
        [by, request, campaign_id, seen, _WHOLE if pool is None else pool, amount],
        store.keys.budget(campaign_id),
    )


def _wrong_to_top_up(plan: Plan, pool_id: str, prize_id: str) -> str:
    """Why pieces of this prize cannot be added; "" where they can."""
    pool = plan.by_id.get(pool_id)
    if pool is None:
        return _no_pool(plan, pool_id)
    prize = next((prize for prize in pool.prizes if prize.id == prize_id), None)
    if prize is None:
        there = ", ".join(prize.id for prize in pool.prizes)
        return f"pool {pool_id} of campaign {plan.id} has no prize {prize_id}, but {there}"
    name = f"prize {pool_id}/{prize_id}"
    if prize.stock is None:
        return f"{name} has no stock limit: there is nothing to top up"
    if prize.max:
        return (
            f"{name} gives lucky amounts, whose number and total are fixed: "
            "add another prize to the file and apply it"
        )
    if not prize.award and pool.draw in DECKS:
        return f"{name} is a blank of a deck: more of them would lower everybody's chances"
    return ""


def _no_pool(plan: Plan, pool_id: str) -> str:
    return f"campaign {plan.id} has no pool {pool_id}, but {', '.join(plan.by_id)}"


async def _judged(store: Store, campaign_id: str, request: str, judge: Callable[[Plan], None]) -> str:
    """The version of the file in force that was judged."""
    if request and await store.client.hget(store.keys.operations, request) is not None:
        return ""  # judged when it was done; what the file says now must not refuse a repetition
    campaign = await campaigns.read(store, campaign_id)
    if campaign is None:
        raise StoreRefusedError(f"there is no campaign {campaign_id}")
    judge(campaign.plan)
    return campaign.plan.version


async def _operate(store: Store, verb: str, campaign_id: str, args: list[str | int], *keys: str) -> bool:
    names = store.keys
    fixed = [names.events, names.directory, names.operations, names.campaign(campaign_id)]
    return bool(await store.call(verb, [*fixed, *keys], args))
