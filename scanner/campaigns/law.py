"""What a campaign file does that the law on prize promotions in China forbids or asks for.

The law is the State Administration for Market Regulation's order no. 32 (规范促销行为暂行规定), in force
since 2020-12-01. A concern is a warning and never a refusal: whether a promotion is lawful is for people
to judge, and a file does not say all of it.

The bound on the highest prize is one for draws by chance (抽奖式). Prizes of deck, odds, locked and shared
pools are such, and so are lucky amounts and chances to draw, wherever they are won. A fixed prize of an
`every` pool goes to each who enters (附赠式): it counts towards no bound, only that it runs out is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from unicodedata import east_asian_width

from scanner.campaigns.compiled import worth
from scanner.campaigns.model import CampaignFile, Pool
from scanner.campaigns.money import money_text
from scanner.campaigns.prizes import AnyPrize, Cash, Chance, Coupon, Points, Spread

REGULATION: Final = "规范促销行为暂行规定"
ANNOUNCED: Final = f"{REGULATION} 第十三条"
EXCHANGED: Final = f"{REGULATION} 第十四条"
RELEASED: Final = f"{REGULATION} 第十五条"
ARRANGED: Final = f"{REGULATION} 第十六条"
HIGHEST: Final = f"{REGULATION} 第十七条"
VALUED: Final = f"{REGULATION} 第十三条、第十八条"
ADMITTED: Final = f"{REGULATION} 第十三条、第十五条"

HIGHEST_FEN: Final = 50_000 * 100
SHOWN_ABOVE_FEN: Final = 500 * 100
CLAIM_RULES_WIDTH_MIN: Final = 90
"""Less than 30 Chinese characters or 90 letters cannot hold the five things that claim rules have to say."""

_LISTS: Final = ("roles", "tiers", "products", "channels")


class Concern(NamedTuple):
    """A warning: the article it comes from, the line of the file it is about, and what to think of there."""

    rule: str
    path: str
    text: str


def concerns(file: CampaignFile) -> list[Concern]:
    """All concerns about a file, those of the whole campaign first."""
    currency = file.campaign.currency
    if currency != "CNY":
        text = f"the law on prize promotions in China was not checked, because prizes are in {currency}"
        return [Concern(REGULATION, "campaign.currency", text)]
    return [
        *_announced(file),
        *_claim_rules(file),
        *_highest(file),
        *_together(file),
        *_timed(file),
        *_admitted(file),
        *_granted(file),
        *_never_drawn(file),
    ]


def _prizes(file: CampaignFile) -> Iterator[tuple[str, Pool, AnyPrize]]:
    for at, pool in enumerate(file.pool):
        for place, prize in enumerate(pool.prize):
            yield f"pool[{at}].prize[{place}]", pool, prize


def _by_chance(pool: Pool, prize: AnyPrize) -> bool:
    """Chance decides whether it is won, or what it is worth."""
    lucky = isinstance(prize, Cash) and isinstance(prize.amount, Spread)
    return pool.draw != "every" or lucky or isinstance(prize, Chance)


def _highest_fen(file: CampaignFile, pool: Pool, prize: AnyPrize, seen: frozenset[str] = frozenset()) -> int:
    """The most that one win is worth. A chance is worth the highest prize that it may bring."""
    if not isinstance(prize, Chance):
        return worth(prize) if _by_chance(pool, prize) else 0
    into = next(other for other in file.pool if other.id == prize.pool)
    if into.id in seen:
        return 0  # one more go: its prizes are counted once
    return prize.amount * _pool_fen(file, into, seen | {into.id})


def _pool_fen(file: CampaignFile, pool: Pool, seen: frozenset[str]) -> int:
    return max(_highest_fen(file, pool, prize, seen) for prize in pool.prize)


def _yuan(fen: int) -> str:
    whole, _, rest = money_text(fen, 2).partition(".")
    return f"{int(whole):,}{'' if rest == '00' else '.' + rest} yuan"


def _announced(file: CampaignFile) -> Iterator[Concern]:
    if file.campaign.contact is None:
        text = "the organiser's contact is missing; it has to be published before the start"
        yield Concern(ANNOUNCED, "campaign.contact", text)
    for path, _, prize in _prizes(file):
        if isinstance(prize, Coupon) and prize.value is None:
            text = "what the coupon is worth is missing; it has to be published, and counts towards the bound"
            yield Concern(VALUED, f"{path}.value", text)
    for path, pool, prize in _prizes(file):
        if _by_chance(pool, prize) and worth(prize) > SHOWN_ABOVE_FEN:
            text = (
                "this prize is worth more than 500 yuan: where such prizes are drawn on the spot, their "
                "redemption has to be made public as it happens"
            )
            yield Concern(ANNOUNCED, path, text)
            return  # once is enough: it is one thing to do for all of them


def _claim_rules(file: CampaignFile) -> Iterator[Concern]:
    path, rules = "campaign.claim_rules", file.campaign.claim_rules.casefold()
    if sum(3 if east_asian_width(char) in "WF" else 1 for char in rules) < CLAIM_RULES_WIDTH_MIN:
        text = (
            "too short to say until when, on what terms and how prizes are claimed, handed over and forfeited"
        )
        yield Concern(ANNOUNCED, path, text)
    kinds = {type(prize) for _, _, prize in _prizes(file)}
    for kind, what, words in (
        (Points, "points", ("积分", "point")),
        (Coupon, "coupons", ("券", "coupon", "voucher")),
    ):
        if kind in kinds and not any(word in rules for word in words):
            text = f"{what} can be won, but not a word on what they are good for, where and until when"
            yield Concern(EXCHANGED, path, text)


def _highest(file: CampaignFile) -> Iterator[Concern]:
    bound = f"more than the {_yuan(HIGHEST_FEN)} that the law allows"
    for path, pool, prize in _prizes(file):
        if isinstance(prize, Chance):
            once = _highest_fen(file, pool, prize) // prize.amount
            if once <= HIGHEST_FEN < once * prize.amount:  # a higher prize of the pool is told by itself
                total = _yuan(once * prize.amount)
                yield Concern(HIGHEST, f"{path}.amount", f"these draws may bring {total} together, {bound}")
        elif worth(prize) > HIGHEST_FEN:
            key = "amount" if isinstance(prize, Cash) else "value"
            key += ".max" if isinstance(prize, Cash) and isinstance(prize.amount, Spread) else ""
            text = f"worth {_yuan(worth(prize))}, {bound} as the highest prize of a draw"
            if not _by_chance(pool, prize):
                text += "; no draw as long as all who enter get it, but it may count as one if it runs out"
            yield Concern(HIGHEST, f"{path}.{key}", text)


class _Draw(NamedTuple):
    """What one scan may win in a pool, and who enters it: a list of the entry → its values."""

    at: int
    fen: int
    entry: Mapping[str, frozenset[str]]


def _together(file: CampaignFile) -> Iterator[Concern]:
    draws = []
    for at, pool in enumerate(file.pool):
        is_members = pool.beneficiary == "member" and (pool.draw != "shared" or pool.giver is not None)
        if pool.entered_by != "draw" and is_members:
            fen = _pool_fen(file, pool, frozenset())
            lists = {name: getattr(pool.entry, name, None) for name in _LISTS}
            entry = {name: frozenset(values) for name, values in lists.items() if values}
            if 0 < fen <= HIGHEST_FEN:  # a higher one is told by itself
                draws.append(_Draw(at, fen, entry))
    chosen = _above_the_bound((), {}, draws)
    if chosen:
        *others, last = (f"pool[{draw.at}]" for draw in chosen)
        total = _yuan(sum(draw.fen for draw in chosen))
        text = (
            f"one scan may win here and in {', '.join(others)} up to {total} together, more than the "
            f"{_yuan(HIGHEST_FEN)} that the law allows for one purchase"
        )
        yield Concern(HIGHEST, last, text)


def _above_the_bound(
    chosen: tuple[_Draw, ...], entry: Mapping[str, frozenset[str]], rest: Sequence[_Draw]
) -> tuple[_Draw, ...]:
    """Draws that one and the same scan can enter and that are worth too much together, if there are such."""
    fen = sum(draw.fen for draw in chosen)
    if fen > HIGHEST_FEN:
        return chosen
    for at, draw in enumerate(rest):
        if fen + sum(other.fen for other in rest[at:]) <= HIGHEST_FEN:
            break
        both = {**entry, **draw.entry} | {
            name: values & entry[name] for name, values in draw.entry.items() if name in entry
        }
        if all(both.values()) and (found := _above_the_bound((*chosen, draw), both, rest[at + 1 :])):
            return found
    return ()


def _timed(file: CampaignFile) -> Iterator[Concern]:
    windows = [frozenset(pool.entry.windows or ()) if pool.entry else frozenset() for pool in file.pool]
    for at, own in enumerate(windows):
        if not own:
            continue
        path = f"pool[{at}].entry.windows"
        others = [f"pool[{other}]" for other, its in enumerate(windows) if its != own]
        if others:
            text = (
                f"its prizes are released at other times than those of {', '.join(others)}; different prizes "
                "or amounts at different times count as a false promise of prizes"
            )
            yield Concern(RELEASED, path, text)
        else:
            text = "prizes are released at these times only; the times have to be published before the start"
            yield Concern(ANNOUNCED, path, text)


def _admitted(file: CampaignFile) -> Iterator[Concern]:
    for at, pool in enumerate(file.pool):
        lists = [name for name in _LISTS if getattr(pool.entry, name, None)]
        if lists and any(_by_chance(pool, prize) for prize in pool.prize):
            text = (
                f"only the listed {', '.join(lists)} enter this draw; that has to be published before the "
                "start, and must not come to prizes that are released in some regions only"
            )
            path = f"pool[{at}].entry" + (f".{lists[0]}" if len(lists) == 1 else "")
            yield Concern(ADMITTED, path, text)


def _granted(file: CampaignFile) -> Iterator[Concern]:
    for at, pool in enumerate(file.pool):
        if pool.draw == "locked":
            text = (
                "whoever makes a grant names who wins; publish by which rule packets are granted, and keep "
                "to it, so that nobody is a winner arranged beforehand"
            )
            yield Concern(ARRANGED, f"pool[{at}].draw", text)


def _never_drawn(file: CampaignFile) -> Iterator[Concern]:
    drawable = 0
    unbounded = False
    for at, pool in enumerate(file.pool):
        total = _announced_fen(pool)
        if total is not None and pool.budget is not None and total > pool.budget:
            yield _short(f"pool[{at}].budget", total, pool.budget)
        bounds = [fen for fen in (total, pool.budget) if fen is not None]
        unbounded = unbounded or not bounds
        drawable += min(bounds, default=0)
    budget = file.campaign.budget
    if budget is not None and not unbounded and drawable > budget:
        yield _short("campaign.budget", drawable, budget)


def _announced_fen(pool: Pool) -> int | None:
    """What all prizes of a pool are worth; None where one of worth never runs out."""
    total = 0
    for prize in pool.prize:
        if isinstance(prize, Cash) and isinstance(prize.amount, Spread):
            total += prize.amount.total
        elif worth(prize):
            if prize.stock is None:
                return None
            total += worth(prize) * prize.stock
    return total


def _short(path: str, announced: int, budget: int) -> Concern:
    text = (
        f"prizes worth {_yuan(announced)} are announced, {_yuan(announced - budget)} more than the budget: "
        "some can never be won, which counts as prizes that are not released"
    )
    return Concern(RELEASED, path, text)
