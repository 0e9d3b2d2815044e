"""The tables of a report, in plain text: what was put in, given and left, and whether that adds up."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from scanner.campaigns.disclosure.wording import Wording
from scanner.campaigns.money import exponent
from scanner.cli.report.figures import KINDS, Account, Budget, Campaign, Pool, Prize, Sum

_UNITS = {"points": "points", "coupon": "coupons", "physical": "pieces", "chance": "draws"}
_ONE_GIVES = {"points": "prize.points", "coupon": "prize.coupons", "physical": "prize.pieces"}


class Cell(NamedTuple):
    """A table's cell. `form` is "n" of a number, "ok" or "bad" of a check, else ""."""

    text: str
    form: str = ""


class Table(NamedTuple):
    """Rows under a head of one or two lines of (text, columns). The first cell of a row names it."""

    caption: str
    head: list[list[tuple[str, int]]]
    rows: list[list[Cell]]
    foot: list[list[Cell]]


class Writer:
    """A campaign's words, numbers and checks."""

    def __init__(self, campaign: Campaign) -> None:
        self.words = Wording("en", campaign.currency, campaign.timezone)
        self.currency = campaign.currency
        self._digits = exponent(campaign.currency)

    def money(self, minor: int) -> str:
        """Without the currency, which stands in the head of the column."""
        return f"{Decimal(minor).scaleb(-self._digits):,.{self._digits}f}"

    def axis(self, minor: int) -> str:
        """Money without decimals where there are none."""
        return self.money(minor).removesuffix("." + "0" * self._digits)

    def number(self, n: int | None, *, money: bool = False) -> Cell:
        if n is None:
            return Cell(self.words("prize.no_stock"), "n")
        return Cell(self.money(n) if money else f"{n:,}", "n")

    def account(self, account: Account, *, locked: bool, money: bool = False) -> list[Cell]:
        """Put in, given, locked where a table has that, left, and whether it adds up."""
        middle = [account.given, account.locked] if locked else [account.given]
        cells = [self.number(n, money=money) for n in (account.put_in, *middle, account.left)]
        return [*cells, self.check(account.excess, account.left, money=money)]

    def check(self, excess: int | None, left: int | None = 0, *, money: bool = False) -> Cell:
        """Whether a sum adds up, or what it is off by; None where there is nothing to add up."""
        if excess:
            off = self.number(abs(excess), money=money).text
            return Cell(f"{off} {'too much' if excess > 0 else 'missing'}", "bad")
        if left is not None and left < 0:
            return Cell("more than there was", "bad")
        return Cell(self.words("none")) if excess is None else Cell("adds up", "ok")

    def kind(self, kind: str) -> str:
        return self.words(f"kind.{kind}")

    def one_gives(self, prize: Prize) -> str:
        if prize.kind == "none":
            return self.words("none")
        if prize.kind == "cash":
            return self.words.money(prize.each) if prize.each else "an amount by chance"
        if prize.kind == "chance":
            return "1 draw" if prize.each == 1 else f"{prize.each:,} draws"
        return self.words.count(_ONE_GIVES[prize.kind], prize.each)


def _plain(*names: str) -> list[list[tuple[str, int]]]:
    return [[(name, 1) for name in names]]


def _account_names(*, locked: bool) -> list[str]:
    return ["Put in", "Given", *(["Locked"] if locked else []), "Left", "Check"]


def _has_locked(pools: Iterable[Pool]) -> bool:
    return any(pool.draw == "locked" or pool.pieces.locked for pool in pools)


def money_tables(one: Campaign, write: Writer) -> Iterator[Table]:
    """The pools' sums of cash, and of what goods and coupons are worth."""
    locked = _has_locked(one.sheets)
    names = _account_names(locked=locked)
    for title, pools, total in (
        ("Cash", [(pool.pool, pool.cash) for pool in one.sheets], one.cash),
        ("Goods and coupons at their value", [(pool.pool, pool.value) for pool in one.sheets], one.value),
    ):
        if total is not None:
            rows = [
                [Cell(pool), *write.account(account, locked=locked, money=True)]
                for pool, account in pools
                if account is not None
            ]
            foot = [Cell("All pools"), *write.account(total, locked=locked, money=True)]
            yield Table(f"{title}, {write.currency}", _plain("Pool", *names), rows, [foot])


def budget_tables(budgets: Sequence[Budget], write: Writer) -> Iterator[Table]:
    if not budgets:
        return
    rows = [
        [
            Cell("All pools together" if budget.pool is None else f"Pool {budget.pool}"),
            *(
                write.number(n, money=True)
                for n in (budget.topped_up, budget.put_in, budget.spent, budget.left)
            ),
            write.check(budget.spent + budget.left - budget.put_in, budget.left, money=True),
        ]
        for budget in budgets
    ]
    head = _plain("Budget", "Topped up", "Put in", "Spent", "Left", "Check")
    yield Table(f"Budgets, {write.currency}", head, rows, [])


def event_tables(one: Campaign, write: Writer) -> Iterator[Table]:
    """Chances, draws, packets and shares, as far as there are any."""
    tally, kept = one.tally, one.kept
    packets = tally.packets_unlocked + tally.packets_expired + kept.packets - tally.packets_granted
    for caption, parts, check in (
        (
            "Chances",
            {"Given": tally.chances_given, "Used": tally.chances_used, "Kept by members": kept.chances},
            write.check(tally.chances_used + kept.chances - tally.chances_given),
        ),
        (
            "Draws by request",
            {"Made": tally.draws, "For a chance": tally.chances_used, "Paid for": tally.paid_draws},
            write.check(tally.chances_used + tally.paid_draws - tally.draws),
        ),
        (
            "Locked packets",
            {
                "Granted": tally.packets_granted,
                "Unlocked": tally.packets_unlocked,
                "Expired": tally.packets_expired,
                "Kept by members": kept.packets,
                "Locked in pools": one.pieces.locked,
            },
            write.check(packets or one.pieces.locked - kept.packets),
        ),
        (
            "Packets for friends",
            {
                "Opened": tally.shares_opened,
                "Friends' claims": tally.shares_claimed,
                "Givers' draws": tally.givers_drew,
            },
            write.check(None),
        ),
    ):
        if any(parts.values()):
            row = [Cell("Number"), *map(write.number, parts.values()), check]
            yield Table(caption, _plain("", *parts, "Check"), [row], [])


def pool_tables(pool: Pool, write: Writer) -> Iterator[Table]:
    """A pool's prizes in pieces, and in money where there is any."""
    locked, topped_up = _has_locked([pool]), any(prize.topped_up for prize in pool.prizes)
    names = _account_names(locked=locked)
    more = ["Topped up"] if topped_up else []
    rows = [
        [
            *(Cell(prize.prize), Cell(write.kind(prize.kind)), Cell(write.one_gives(prize))),
            *([write.number(prize.topped_up)] if topped_up else []),
            *write.account(prize.pieces, locked=locked),
            write.number(prize.withheld),
        ]
        for prize in pool.prizes
    ]
    foot = [
        *(Cell("All prizes"), Cell(""), Cell(""), *(Cell("") for _ in more)),
        *write.account(pool.pieces, locked=locked),
        write.number(pool.withheld),
    ]
    head = _plain("Prize", "Kind", "One gives", *more, *names, "Withheld")
    yield Table(f"Pieces in pool {pool.pool}", head, rows, [foot])
    if pool.cash or pool.value:
        yield _pool_money(pool, names, write, locked=locked)


def _pool_money(pool: Pool, names: Sequence[str], write: Writer, *, locked: bool) -> Table:
    def row(name: str, what: str, account: Account) -> list[Cell]:
        return [Cell(name), Cell(what), *write.account(account, locked=locked, money=True)]

    return Table(
        f"Money in pool {pool.pool}, {write.currency}",
        _plain("Prize", "Money", *names),
        [
            row(prize.prize, "cash" if prize.kind == "cash" else "value", prize.money)
            for prize in pool.prizes
            if prize.money
        ],
        [
            row(f"All {what}", "", account)
            for what, account in (("cash", pool.cash), ("value", pool.value))
            if account
        ],
    )


def day_table(one: Campaign, write: Writer) -> Table:
    """What was given by day and kind, and that the pools say the same."""
    kinds = [kind for kind in KINDS if kind in one.given or not one.agrees(kind)]
    columns = {kind: _columns(kind, write) for kind in kinds}

    def cells(sums: Mapping[str, Sum]) -> Iterator[Cell]:
        for kind in kinds:
            given = sums.get(kind, Sum())
            yield write.number(given.pieces)
            if kind == "cash":
                yield write.number(given.money, money=True)
            elif kind != "none":
                yield write.number(given.units)

    checks = [Cell("Check")]
    for kind, names in columns.items():
        checks.append(Cell("adds up", "ok") if one.agrees(kind) else Cell("differs", "bad"))
        checks += [Cell("")] * (len(names) - 1)
    return Table(
        "Given by day and kind",
        [
            [("Day", 1), *((write.kind(kind), len(names)) for kind, names in columns.items())],
            [("", 1), *((name, 1) for names in columns.values() for name in names)],
        ],
        [[Cell(day.day), *cells(day.kinds)] for day in one.days],
        [
            [Cell("All days"), *cells(one.given)],
            [Cell("All pools"), *cells(one.given_by_pools)],
            checks,
        ],
    )


def _columns(kind: str, write: Writer) -> list[str]:
    if kind == "none":
        return ["draws"]
    return ["prizes", write.currency if kind == "cash" else _UNITS[kind]]
