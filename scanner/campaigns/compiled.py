"""Compiles a campaign file to its plan.

A number is kept for as long as its id is in the file; a new id gets the number after the highest one of the
plan before. Prizes are only ever removed before a campaign starts, when no claim refers to them, so a number
never changes its meaning for a claim.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

from blake3 import blake3

from scanner.campaigns.entry import Daily, Entry, Limits, Window
from scanner.campaigns.fields import ODDS_STEPS, to_ms
from scanner.campaigns.file import canonical
from scanner.campaigns.model import CampaignFile, Pool
from scanner.campaigns.plan import NUMBER_MAX, Plan, PlanEntry, PlanPool, PlanPrize, compact, dump
from scanner.campaigns.prizes import AnyPrize, Blank, Cash, Chance, Coupon, Physical, Spread
from scanner.errors import CampaignError

COUNTED_AFTER_END_MS: Final = 366 * 86_400_000
"""A campaign with limits in total can be prolonged by a year: so long members' counters are kept."""


def compile_plan(file: CampaignFile, *, no: int, previous: Plan | None, started: bool = False) -> Plan:
    """The plan of a file; `previous` is the campaign's plan until now, whose numbers are kept, and `started`
    says whether it has begun to count.

    Raises CampaignError, one message a line, if the numbers of pools or prizes are used up, or if the
    campaign would outlive its counters.
    """
    assert previous is None or (previous.id, previous.no) == (file.campaign.id, no), "another campaign's plan"
    pools_before = {pool.id: pool for pool in previous.pools} if previous else {}
    numbers = _numbers("pool", (pool.id for pool in file.pool), pools_before)
    campaign = file.campaign
    limits = file.limits or Limits()
    plan = Plan(
        id=campaign.id,
        no=no,
        version="",
        currency=campaign.currency,
        starts_ms=to_ms(campaign.starts),
        ends_ms=to_ms(campaign.ends),
        budget=campaign.budget,
        per_day=limits.per_day,
        total=limits.total,
        products=tuple((product.gtin, product.title, product.url or "") for product in file.product or ()),
        pools=tuple(
            _pool(f"pool[{at}]", pool, file, numbers, pools_before.get(pool.id))
            for at, pool in enumerate(file.pool)
        ),
    )
    if plan.timed:
        plan = replace(plan, timezone=campaign.timezone)
    if plan.total is not None or any(pool.total is not None for pool in plan.pools):
        plan = replace(plan, counted_until=_counted_until(plan, previous if started else None))
    return replace(plan, version=blake3(canonical(file) + dump(plan)).hexdigest(8))


def _counted_until(plan: Plan, previous: Plan | None) -> int:
    until = previous.counted_until if previous else 0
    if not until:
        return plan.ends_ms + COUNTED_AFTER_END_MS
    if plan.ends_ms > until:
        last = datetime.fromtimestamp(until / 1000, UTC).isoformat(timespec="seconds")
        raise CampaignError(
            f"campaign.ends: expected no later than {last}, until when members' counters are kept;"
            " begin a new campaign and move the lots there"
        )
    return until


def _pool(
    path: str, pool: Pool, file: CampaignFile, numbers: Mapping[str, int], before: PlanPool | None
) -> PlanPool:
    limits = pool.limits or Limits()
    return PlanPool(
        id=pool.id,
        no=numbers[pool.id],
        draw=pool.draw,
        prizes=_prizes(f"{path}.prize", pool, file, numbers, before),
        beneficiary=pool.beneficiary,
        entry=_entry(pool.entry),
        by_draw=pool.entered_by == "draw",
        price=pool.price.points if pool.price else None,
        slots=pool.slots or 0,
        open_for=pool.open_for or 0,
        giver=pool.giver or "",
        expires_after=pool.expires_after or 0,
        per_day=limits.per_day,
        total=limits.total,
        budget=pool.budget,
    )


def _entry(entry: Entry | None) -> PlanEntry | None:
    if entry is None or entry == Entry():
        return None
    windows = entry.windows or ()

    def some(values: tuple[str, ...] | None) -> frozenset[str] | None:
        return None if values is None else frozenset(values)

    return PlanEntry(
        some(entry.roles),
        some(entry.tiers),
        some(entry.products),
        some(entry.channels),
        tuple((to_ms(window.from_), to_ms(window.until)) for window in windows if isinstance(window, Window)),
        tuple((_second(window), window.lasts) for window in windows if isinstance(window, Daily)),
    )


def _second(window: Daily) -> int:
    return window.daily.hour * 3600 + window.daily.minute * 60 + window.daily.second


def _prizes(
    path: str, pool: Pool, file: CampaignFile, pool_numbers: Mapping[str, int], before: PlanPool | None
) -> tuple[PlanPrize, ...]:
    budgeted = file.campaign.budget is not None or any(other.budget is not None for other in file.pool)
    prizes_before = {prize.id: prize for prize in before.prizes} if before else {}
    numbers = _numbers(path, (prize.id for prize in pool.prize), prizes_before)
    prizes = []
    for prize, below in zip(pool.prize, _thresholds(pool), strict=True):
        award, tail = _award(pool, prize, file.campaign.currency)
        spread = prize.amount if isinstance(prize, Cash) and isinstance(prize.amount, Spread) else None
        prizes.append(
            PlanPrize(
                prize.id,
                numbers[prize.id],
                prize.stock,
                below,
                award,
                tail,
                worth=worth(prize) if budgeted and not spread else 0,
                min=spread.min if spread else 0,
                max=spread.max if spread else 0,
                sum=spread.total if spread else 0,
                chance=(pool_numbers[prize.pool], prize.amount) if isinstance(prize, Chance) else None,
            )
        )
    return tuple(prizes)


def worth(prize: AnyPrize) -> int:
    """What the highest award of a prize is worth, in minor units: money, or the value of what is given."""
    match prize:
        case Cash(amount=Spread() as spread):
            return spread.max
        case Cash(amount=int() as amount):
            return amount
        case Physical() | Coupon():
            return (prize.value or 0) * prize.amount
    return 0


def _numbers(path: str, ids: Iterable[str], before: Mapping[str, PlanPool | PlanPrize]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    last = max((numbered.no for numbered in before.values()), default=0)
    for name in ids:
        if name in before:
            numbers[name] = before[name].no
        else:
            numbers[name] = last = last + 1
    if last > NUMBER_MAX:
        raise CampaignError(
            f"{path}: expected at most {NUMBER_MAX} different ids in a campaign's life, got {last};"
            " keep ids that were applied before, or apply the file under a new campaign id"
        )
    return numbers


def _thresholds(pool: Pool) -> list[int | None]:
    """Where each prize's share of the draws ends, in steps of 2^-48.

    The sum of the odds so far is exact and is rounded down once, so rounding never adds up: a prize has
    its odds to within one step, and odds that add up to 1 cover every draw.
    """
    if pool.draw != "odds":
        return [None] * len(pool.prize)
    thresholds: list[int | None] = []
    total = Fraction()
    for prize in pool.prize:
        assert prize.odds is not None, "checked with the file"
        total += Fraction(prize.odds)
        thresholds.append(total.numerator * ODDS_STEPS // total.denominator)
    return thresholds


def _award(pool: Pool, prize: AnyPrize, currency: str) -> tuple[str, str]:
    """An award's JSON, and what follows its amount where that is drawn."""
    if isinstance(prize, Blank):
        return "", ""
    head: dict[str, Any] = {"pool": pool.id, "prize": prize.id, "kind": prize.kind}
    rest: dict[str, str] = {}
    if isinstance(prize, Cash):
        rest["currency"] = currency
    if isinstance(prize, Coupon):
        rest["coupon"] = prize.coupon
    if isinstance(prize, Chance):
        rest["draws"] = prize.pool
    if pool.game is not None:
        rest["game"] = pool.game
    rest["beneficiary"] = pool.beneficiary
    if isinstance(prize.amount, Spread):
        return compact(head)[:-1] + ',"amount":', "," + compact(rest)[1:]
    return compact(head | {"amount": prize.amount} | rest), ""
