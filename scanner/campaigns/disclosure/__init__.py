"""A campaign's disclosure: what has to be published before it starts, as a page in Chinese and in English.

The page is plain text; `pages.py` writes it as Markdown or HTML. Odds are computed from the file, exactly.
A coupon's code is left out: whoever reads it could use it.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from scanner.campaigns.changes import DECKS
from scanner.campaigns.disclosure.pages import Page, Section, Table
from scanner.campaigns.disclosure.wording import Language, Wording
from scanner.campaigns.entry import Daily, Entry, Limits
from scanner.campaigns.fields import ODDS_STEPS
from scanner.campaigns.model import CampaignFile, Pool
from scanner.campaigns.prizes import AnyPrize, Blank, Cash, Chance, Coupon, Physical, Points, Spread


def page(file: CampaignFile, language: Language, version: str | None = None) -> Page:
    """A file's disclosure. `version` is that of the rules in force; None says that they are a draft."""
    words = Wording(language, file.campaign.currency, file.campaign.timezone)
    sections = [
        _campaign(file, words, version),
        _entry(file, words),
        *(_pool(file, no, pool, words) for no, pool in enumerate(file.pool, 1)),
        *_budgets(file, words),
        Section(words("claims.heading"), _paragraphs(file.campaign.claim_rules), []),
        Section(words("records.heading"), [words("records.kept"), words("records.changed")], []),
    ]
    return Page(words("language"), file.campaign.title, sections)


def _paragraphs(text: str) -> list[str]:
    """Text of several lines, without the spaces around them: what an empty line parts is a paragraph."""
    lines = [line.strip(" \t") for line in re.split(r"\r\n|\r|\n", text)]
    return [part.strip("\n") for part in re.split(r"\n{2,}", "\n".join(lines)) if part.strip("\n")]


def _facts(caption: str, facts: list[tuple[str, str]], words: Wording) -> Table:
    return Table(caption, (words("item"), words("rule")), list(facts))


def _campaign(file: CampaignFile, words: Wording, version: str | None) -> Section:
    campaign = file.campaign
    facts = [
        (words("campaign.id"), campaign.id),
        (words("campaign.organiser"), campaign.organiser),
        (words("campaign.contact"), campaign.contact or words("campaign.no_contact")),
        (words("campaign.starts"), words.moment(campaign.starts)),
        (words("campaign.ends"), words.moment(campaign.ends)),
        (words("campaign.timezone"), campaign.timezone),
        (words("campaign.currency"), campaign.currency),
        (words("entry.limits"), _limits(file.limits, words)),
        (words("campaign.version"), version or words("campaign.no_version")),
    ]
    table = _facts(words("campaign.caption"), facts, words)
    return Section(words("campaign.heading"), [] if version else [words("campaign.draft")], [table])


def _limits(limits: Limits | None, words: Wording) -> str:
    given = limits or Limits()
    bounds = {"entry.per_day": given.per_day, "entry.total": given.total}
    said = [words(key, n=words.number(n)) for key, n in bounds.items() if n is not None]
    return words.sentences(said) or words("prize.no_stock")


def _entry(file: CampaignFile, words: Wording) -> Section:
    paragraphs = [words("entry.scan")]
    if any(pool.entered_by == "draw" for pool in file.pool):
        paragraphs.append(words("entry.draw"))
    tables = []
    if file.product:
        head = (words("entry.gtin"), words("entry.title"), words("entry.url"))
        rows = [(product.gtin, product.title, product.url or words("none")) for product in file.product]
        tables.append(Table(words("entry.products"), head, list(rows)))
    return Section(words("entry.heading"), paragraphs, tables)


def _pool(file: CampaignFile, no: int, pool: Pool, words: Wording) -> Section:
    conditions = [
        (words("pool.drawn"), words(f"draw.{pool.draw}")),
        (words("pool.entered"), _entered(file, pool, words)),
        (words("pool.beneficiary"), _beneficiary(pool, words)),
        *_who_and_when(file, pool.entry or Entry(), words),
        (words("pool.limits"), _limits(pool.limits, words)),
        *_packets(pool, words),
    ]
    if pool.budget is not None:
        conditions.append((words("pool.budget"), words.money(pool.budget)))
    if pool.game is not None:
        conditions.append((words("pool.game"), words.game(pool.game)))
    return Section(
        words("pool.heading", no=no, id=pool.id),
        list(_about(pool, words)),
        [_facts(words("pool.conditions", id=pool.id), conditions, words), _prizes(pool, words)],
    )


def _entered(file: CampaignFile, pool: Pool, words: Wording) -> str:
    if pool.entered_by != "draw":
        return words({"locked": "pool.by_unlock", "shared": "pool.by_share"}.get(pool.draw, "pool.by_scan"))
    ways = []
    givers = [
        other.id
        for other in file.pool
        if any(isinstance(prize, Chance) and prize.pool == pool.id for prize in other.prize)
    ]
    if givers:
        ways.append(words("pool.by_chance", pools=words.listed(givers)))
    if pool.price is not None:
        ways.append(words("pool.by_price", points=words.count("prize.points", pool.price.points)))
    return words.sentences(ways) or words("none")


def _beneficiary(pool: Pool, words: Wording) -> str:
    if pool.draw == "shared":
        return words("pool.shared" if pool.giver is None else "pool.shared_giver")
    return words(f"pool.{pool.beneficiary}")


def _who_and_when(file: CampaignFile, entry: Entry, words: Wording) -> Iterator[tuple[str, str]]:
    titles = {product.gtin: product.title for product in file.product or ()}
    products = [f"{gtin} {titles.get(gtin, '')}".rstrip() for gtin in entry.products or ()]
    for key, values in (
        ("pool.roles", entry.roles),
        ("pool.tiers", entry.tiers),
        ("pool.products", products),
        ("pool.channels", entry.channels),
    ):
        yield words(key), words.listed(values or ()) or words("pool.everybody")
    windows = [
        words("pool.daily", clock=words.clock(window.daily), length=words.duration(window.lasts))
        if isinstance(window, Daily)
        else words("pool.window", start=words.moment(window.from_), until=words.moment(window.until))
        for window in entry.windows or ()
    ]
    yield words("pool.windows"), words.sentences(windows) or words("pool.throughout")


def _packets(pool: Pool, words: Wording) -> Iterator[tuple[str, str]]:
    if pool.expires_after is not None:
        yield words("pool.expires"), words.duration(pool.expires_after)
    if pool.slots is not None:
        yield words("pool.slots"), words.number(pool.slots)
    if pool.open_for is not None:
        yield words("pool.open_for"), words.duration(pool.open_for)
    if pool.giver is not None:
        yield words("pool.giver"), words(f"pool.giver_{pool.giver}")


def _about(pool: Pool, words: Wording) -> Iterator[str]:
    """What happens in a draw, in sentences."""
    total = words.number(_pieces(pool))
    yield words(f"about.{pool.draw}", total=total, steps=words.number(ODDS_STEPS))
    if pool.giver is not None:
        yield words("about.giver")
    for prize in pool.prize:
        if isinstance(prize, Cash) and isinstance(prize.amount, Spread):
            assert prize.stock is not None, "checked with the file"
            spread = prize.amount
            low, high, both = (words.money(minor) for minor in (spread.min, spread.max, spread.total))
            n = words.number(prize.stock)
            yield words("about.lucky", prize=prize.id, n=n, min=low, max=high, total=both)


def _pieces(pool: Pool) -> int:
    return sum(prize.stock or 0 for prize in pool.prize)


def _prizes(pool: Pool, words: Wording) -> Table:
    columns = ("id", "kind", "amount", "value", "stock", "odds", "one_in")
    rows: list[tuple[str, ...]] = []
    for place, prize in enumerate(pool.prize):
        stock = words("prize.no_stock") if prize.stock is None else words.number(prize.stock)
        given, value = _given(prize, words)
        odds = _odds(pool, place, words)
        name = f"{prize.title} ({prize.id})" if prize.title else prize.id
        rows.append((name, words(f"kind.{prize.kind}"), given, value, stock, *odds))
    rest = 1 - sum((Fraction(prize.odds or 0) for prize in pool.prize), Fraction())
    if pool.draw == "odds" and rest:
        nothing = words("none")
        odds = (words.decimal_odds(rest), words.one_in(rest))
        rows.append((words("prize.rest"), words("kind.none"), nothing, nothing, nothing, *odds))
    head = tuple(words(f"prize.{column}") for column in columns)
    return Table(words("pool.prizes", id=pool.id), head, rows)


def _odds(pool: Pool, place: int, words: Wording) -> tuple[str, str]:
    """A prize's odds, exactly, and as one win in so many draws."""
    prize = pool.prize[place]
    if prize.odds is not None:
        odds = Fraction(prize.odds)
        return words.decimal_odds(odds), words.one_in(odds)
    if pool.draw in DECKS:
        pieces, total = prize.stock or 0, _pieces(pool)
        return words.pieces_odds(pieces, total), words.one_in(Fraction(pieces, total))
    if place:
        return words("prize.behind"), words("none")
    return words("prize.sure" if prize.stock is None else "prize.while_stocked"), words("none")


def _given(prize: AnyPrize, words: Wording) -> tuple[str, str]:
    """What one win of a prize gives, and what a piece of that is worth."""
    nothing = words("none")
    match prize:
        case Cash(amount=Spread(min=low, max=high, total=total)):
            bounds = {"min": words.money(low), "max": words.money(high), "total": words.money(total)}
            return words("prize.between", **bounds), nothing
        case Cash(amount=int() as minor):
            return words.money(minor), nothing
        case Points():
            return words.count("prize.points", prize.amount), nothing
        case Coupon():
            value = words("prize.no_value") if prize.value is None else words.money(prize.value)
            return words.count("prize.coupons", prize.amount), value
        case Physical():
            return words.count("prize.pieces", prize.amount), words.money(prize.value)
        case Chance():
            return words.count("prize.draws", prize.amount, pool=prize.pool), nothing
        case Blank():
            return nothing, nothing
    raise AssertionError(f"a prize of kind {prize.kind} has no words")


def _budgets(file: CampaignFile, words: Wording) -> Iterator[Section]:
    scopes = [(words("budget.campaign"), file.campaign.budget)]
    scopes += [(words("budget.pool", id=pool.id), pool.budget) for pool in file.pool]
    rows = [(scope, words.money(budget)) for scope, budget in scopes if budget is not None]
    if rows:
        table = Table(words("budget.caption"), (words("budget.scope"), words("budget.amount")), list(rows))
        yield Section(words("budget.heading"), [words("budget.withheld")], [table])
