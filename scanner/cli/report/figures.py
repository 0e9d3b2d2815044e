"""The figures of an audit: what the report's page and ``scanner audit --json`` both tell.

Money is in minor units of the campaign's currency. What must add up can be asked whether it does: the figures
on the two sides are counted apart from each other by the audit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scanner.ledger.audit import AuditReport
from scanner.ledger.model.sheets import PrizeSheet, Tally
from scanner.ledger.model.state import WHOLE, CampaignState

KINDS = ("cash", "points", "coupon", "physical", "chance", "none")
"""The kinds of prize, in the order in which people read them."""


@dataclass(frozen=True, slots=True)
class Account:
    """`put_in = given + locked + left`, in pieces or in money. None is no limit."""

    put_in: int | None = 0
    given: int = 0
    locked: int = 0
    left: int | None = 0

    def __add__(self, other: "Account") -> "Account":
        endless = None in (self.put_in, other.put_in), None in (self.left, other.left)
        return Account(
            None if endless[0] else (self.put_in or 0) + (other.put_in or 0),
            self.given + other.given,
            self.locked + other.locked,
            None if endless[1] else (self.left or 0) + (other.left or 0),
        )

    @property
    def excess(self) -> int | None:
        """How much more there is than was put in; None where there is nothing to hold it against."""
        if self.put_in is None or self.left is None:
            return None
        return self.given + self.locked + self.left - self.put_in

    @property
    def wrong(self) -> bool:
        return bool(self.excess) or (self.left is not None and self.left < 0)


@dataclass(frozen=True, slots=True)
class Prize:
    """A prize's account. `money` is cash; of goods and coupons what they are worth, as budgets count them.

    `each` is what one gives, in minor units or units, 0 where that is drawn. `put_in` is the file's stock and
    what was topped up. `withheld` are draws that gave nothing because a budget was short.
    """

    prize: str
    kind: str
    each: int
    pieces: Account
    money: Account | None
    withheld: int
    topped_up: int


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool's prizes, and their sums: all `pieces`, `cash`, the `value` of goods and coupons."""

    pool: str
    draw: str
    prizes: list[Prize]
    pieces: Account
    cash: Account | None
    value: Account | None
    withheld: int


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget; `pool` None is the campaign's own. `put_in` is the file's and what was topped up."""

    pool: str | None
    put_in: int
    spent: int
    left: int
    topped_up: int

    @property
    def wrong(self) -> bool:
        return self.put_in != self.spent + self.left or self.left < 0


@dataclass(slots=True)
class Sum:
    """What was given of a kind: prizes, the cash in them, or their amounts in other units."""

    pieces: int = 0
    money: int = 0
    units: int = 0

    def add(self, pieces: int, money: int, units: int) -> None:
        self.pieces += pieces
        self.money += money
        self.units += units


@dataclass(frozen=True, slots=True)
class Day:
    """What was given on a day (ISO date in the campaign's time zone), by kind."""

    day: str
    kinds: dict[str, Sum]


@dataclass(frozen=True, slots=True)
class Kept:
    """What members keep now: draws, and locked packets."""

    chances: int
    packets: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """All figures of a campaign. `given` sums the days up, `given_by_pools` the pools' accounts."""

    title: str
    organiser: str
    currency: str
    timezone: str
    starts: str
    ends: str
    rules: str
    paused: bool
    scans: int
    sheets: list[Pool]
    pieces: Account
    cash: Account | None
    value: Account | None
    budgets: list[Budget]
    days: list[Day]
    given: dict[str, Sum]
    given_by_pools: dict[str, Sum]
    tally: Tally
    kept: Kept

    @property
    def wrong_sums(self) -> int:
        return sum(not good for good in self._sums())

    def _sums(self) -> Iterator[bool]:
        """Each sum that must add up: whether it does. What is a sum of others is left out."""
        for pool in self.sheets:
            for prize in pool.prizes:
                yield not prize.pieces.wrong
                yield not (prize.money and prize.money.wrong)
        yield from (not budget.wrong for budget in self.budgets)
        yield from (self.agrees(kind) for kind in KINDS)
        yield from (self.draws_agree, self.chances_agree, self.packets_agree)

    def agrees(self, kind: str) -> bool:
        """Days and pools say the same of what was given."""
        return self.given.get(kind, Sum()) == self.given_by_pools.get(kind, Sum())

    @property
    def draws_agree(self) -> bool:
        return self.tally.draws == self.tally.chances_used + self.tally.paid_draws

    @property
    def chances_agree(self) -> bool:
        return self.tally.chances_given == self.tally.chances_used + self.kept.chances

    @property
    def packets_agree(self) -> bool:
        """The packets add up, and what is locked in the pools is what members keep locked."""
        gone = self.tally.packets_unlocked + self.tally.packets_expired
        return self.tally.packets_granted == gone + self.kept.packets == gone + self.pieces.locked


def figures_of(report: AuditReport) -> dict[str, Campaign]:
    """The figures of each campaign of a report, by its id."""
    return {id: _campaign(state) for id, state in report.campaigns.items()}


def _campaign(state: CampaignState) -> Campaign:
    head = state.file.campaign
    sheets = list(_pools(state))
    days = _days(state)
    return Campaign(
        title=head.title,
        organiser=head.organiser,
        currency=head.currency,
        timezone=head.timezone,
        starts=head.starts.isoformat(),
        ends=head.ends.isoformat(),
        rules=state.plan.version,
        paused=state.paused,
        scans=state.scans,
        sheets=sheets,
        pieces=_sum(pool.pieces for pool in sheets) or Account(),
        cash=_sum(pool.cash for pool in sheets),
        value=_sum(pool.value for pool in sheets),
        budgets=list(_budgets(state)),
        days=days,
        given=_added((kind, one) for day in days for kind, one in day.kinds.items()),
        given_by_pools=_added(_given_by_pools(sheets)),
        tally=state.tally,
        kept=Kept(
            sum(sum(wallet.chances.values()) for wallet in state.wallets.values()),
            sum(wallet.packet_count for wallet in state.wallets.values()),
        ),
    )


def _pools(state: CampaignState) -> Iterator[Pool]:
    rows: dict[str, list[Prize]] = {}
    for row in state.sheet():
        rows.setdefault(row.pool, []).append(_prize(state, row))
    for pool in state.file.pool:
        prizes = rows.get(pool.id, [])
        yield Pool(
            pool.id,
            pool.draw,
            prizes,
            _sum(prize.pieces for prize in prizes) or Account(),
            _sum(prize.money for prize in prizes if prize.kind == "cash"),
            _sum(prize.money for prize in prizes if prize.kind != "cash"),
            sum(prize.withheld for prize in prizes),
        )


def _prize(state: CampaignState, row: PrizeSheet) -> Prize:
    plan = state.prizes[row.pool, row.prize]
    pieces = Account(row.put_in, row.given, row.locked, row.left)
    money = None
    if row.kind == "cash":
        money = Account(row.money_put_in, row.money_given, row.money_locked, row.money_left)
    elif plan.worth:
        money = Account(
            None if row.put_in is None else row.put_in * plan.worth,
            row.given * plan.worth,
            row.locked * plan.worth,
            None if row.left is None else row.left * plan.worth,
        )
    # The file's stock alone is put in where nothing was topped up.
    topped_up = 0 if row.put_in is None or plan.stock is None else row.put_in - plan.stock
    each = state.worths[row.pool, row.prize].amount
    return Prize(row.prize, row.kind, each, pieces, money, row.withheld, topped_up)


def _budgets(state: CampaignState) -> Iterator[Budget]:
    plan = state.plan
    for name, in_file in ((WHOLE, plan.budget), *((pool.id, pool.budget) for pool in plan.pools)):
        budget = state.budgets.get(name)
        if budget is not None:
            pool = None if name == WHOLE else name
            yield Budget(pool, budget.put_in, budget.spent, budget.left, budget.put_in - (in_file or 0))


def _days(state: CampaignState) -> list[Day]:
    days: dict[str, dict[str, Sum]] = {}
    for row in state.given_rows():
        kinds = days.setdefault(row.day, {})
        kinds.setdefault(row.kind, Sum()).add(row.pieces, row.money, row.units)
    return [Day(day, kinds) for day, kinds in sorted(days.items())]


def _given_by_pools(pools: Iterable[Pool]) -> Iterator[tuple[str, Sum]]:
    for pool in pools:
        for prize in pool.prizes:
            given = prize.pieces.given
            if prize.kind == "cash":
                yield prize.kind, Sum(given, prize.money.given if prize.money else 0)
            else:
                yield prize.kind, Sum(given, 0, given * prize.each)


def _added(parts: Iterable[tuple[str, Sum]]) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for kind, part in parts:
        sums.setdefault(kind, Sum()).add(part.pieces, part.money, part.units)
    return {kind: sums[kind] for kind in KINDS if kind in sums}


def _sum(accounts: Iterable[Account | None]) -> Account | None:
    """The accounts together; None where there are none."""
    total = None
    for account in accounts:
        if account is not None:
            total = account if total is None else total + account
    return total
