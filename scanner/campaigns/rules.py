"""Which pools are entered: a pure function of campaign, person and moment (docs/prizes.md).

What is won there is the store's to say. So are the limits, and whether a member has a locked packet.
"""

from collections.abc import Iterator, Set
from typing import Final, NamedTuple

from scanner.campaigns.days import Day, daily_window, day_at, day_before
from scanner.campaigns.plan import Plan, PlanEntry, PlanPool

ALWAYS_MS: Final = 2**48 - 1
"""Later than every moment, ms since 1970: the most that six bytes hold."""

_PLANS_MAX: Final = 1024


class Facts(NamedTuple):
    """What entry conditions ask about; "" is absent. The seller is the token's, else the lot's."""

    role: str = ""
    tier: str = ""
    product: str = ""
    channel: str = ""
    seller: str = ""
    inviter: str = ""


class Standing(NamedTuple):
    """Within [from_ms, until_ms) nothing changes that depends on time; `day` holds all of it."""

    from_ms: int
    until_ms: int
    day: Day


_UNTIMED: Final = Standing(0, ALWAYS_MS, Day(0, 0, ALWAYS_MS))


class _Judged(NamedTuple):
    """A plan as it stands: `pools` are those a scan may enter by now, whoever it is."""

    plan: Plan
    standing: Standing
    pools: tuple[PlanPool, ...]


_last: dict[str, _Judged] = {}  # by version: nearly every scan comes within the standing of the one before


def standing(plan: Plan, at_ms: int) -> Standing:
    """The time around a moment, ms since 1970, for which the plan's rules need to be judged once only."""
    return _judged(plan, at_ms).standing if plan.timed else _UNTIMED


def pools_entered(plan: Plan, facts: Facts, at_ms: int) -> tuple[PlanPool, ...]:
    """The pools that a scan enters at a moment, ms since 1970, in the file's order."""
    if plan.unconditional:
        return plan.pools
    return tuple(pool for pool in _judged(plan, at_ms).pools if _admits(pool, facts))


def may_draw(pool: PlanPool, timezone: str, facts: Facts, at_ms: int) -> bool:
    """Whether a draw may enter its pool at a moment, ms since 1970; `timezone` is the plan's."""
    return _is_open(pool.entry, timezone, at_ms) and _admits(pool, facts)


def _admits(pool: PlanPool, facts: Facts) -> bool:
    if pool.beneficiary != "member" and not (facts.seller if pool.beneficiary == "seller" else facts.inviter):
        return False
    entry = pool.entry
    return entry is None or (
        (entry.roles is None or facts.role in entry.roles)
        and (entry.tiers is None or facts.tier in entry.tiers)
        and (entry.products is None or facts.product in entry.products)
        and (entry.channels is None or facts.channel in entry.channels)
    )


def _is_open(entry: PlanEntry | None, timezone: str, at_ms: int) -> bool:
    if entry is None or not (entry.windows or entry.daily):
        return True
    windows = (*entry.windows, *_windows_around(set(entry.daily), timezone, at_ms))
    return any(from_ms <= at_ms < until_ms for from_ms, until_ms in windows)


def _windows_around(daily: Set[tuple[int, int]], timezone: str, at_ms: int) -> Iterator[tuple[int, int]]:
    """The daily windows, [from, until) in ms, that begin on this day and on the one before.

    One that began earlier changes nothing: should it reach into this day, then a later one of the same length
    is open all the while.
    """
    if daily:
        today = day_at(timezone, at_ms)
        for day in (today, day_before(timezone, today)):
            for second, lasts_ms in daily:
                yield daily_window(timezone, day.number, second, lasts_ms)


def _judged(plan: Plan, at_ms: int) -> _Judged:
    judged = _last.get(plan.version)
    if (
        judged is None
        or judged.plan is not plan
        or not judged.standing.from_ms <= at_ms < judged.standing.until_ms
    ):
        if len(_last) >= _PLANS_MAX:
            _last.clear()
        judged = _last[plan.version] = _Judged(
            plan,
            _standing(plan, at_ms) if plan.timed else _UNTIMED,
            tuple(
                pool for pool in plan.pools if not pool.by_draw and _is_open(pool.entry, plan.timezone, at_ms)
            ),
        )
    return judged


def _standing(plan: Plan, at_ms: int) -> Standing:
    day = day_at(plan.timezone, at_ms)
    entries = [pool.entry for pool in plan.pools if pool.entry is not None]
    daily = frozenset(window for entry in entries for window in entry.daily)
    windows = [window for entry in entries for window in entry.windows]
    edges = [edge for window in (*windows, *_windows_around(daily, plan.timezone, at_ms)) for edge in window]
    return Standing(
        max([day.from_ms, *(edge for edge in edges if edge <= at_ms)]),
        min([day.until_ms, *(edge for edge in edges if edge > at_ms)]),
        day,
    )
