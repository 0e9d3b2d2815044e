"""The campaign file: what can be won, by whom and when (docs/contract.md, section 4).

The classes are the file's tables and the fields its keys. They are built by `file.parse` and by
`file.from_canonical` only, never one by one, because lines depend on lines above them: an amount on the
currency, a prize on its pool's draw. Money is in minor units here, points and pieces are in units.
"""

from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from scanner.campaigns.expected import Expected, Table, expected, reading
from scanner.campaigns.fields import (
    ClaimRules,
    CouponCode,
    CurrencyCode,
    Gtin,
    Label,
    Moment,
    Name,
    Odds,
    Scans,
    Stock,
    Title,
    Units,
    Zone,
)
from scanner.campaigns.money import Money, exponent

POOLS_MAX: Final = 50
PRIZES_MAX: Final = 200
"""Prizes in one pool. Numbers of pools and prizes end at 255; see plan.py."""

Beneficiary = Literal["member", "seller", "inviter"]
Draw = Literal["every", "deck", "odds"]


def _some(most: int) -> Any:
    """The bounds of a list. A TOML array comes as a list and is kept as a tuple: hence not strict."""
    return Field(strict=False, min_length=1, max_length=most)


class Campaign(Table):
    """Who gives, from when until when, and in which currency."""

    id: Name
    title: Title
    organiser: Title
    claim_rules: ClaimRules
    currency: CurrencyCode
    timezone: Zone
    starts: Moment
    ends: Moment

    @field_validator("currency")
    @classmethod
    def _money_below_is_in_it(cls, currency: str, info: ValidationInfo) -> str:
        read = reading(info)
        read.currency, read.exponent = currency, exponent(currency)
        return currency

    @field_validator("ends")
    @classmethod
    def _ends_after_start(cls, ends: Moment, info: ValidationInfo) -> Moment:
        starts = info.data.get("starts")
        if starts is not None and ends <= starts:
            raise expected("a time after campaign.starts")
        return ends


class Limits(Table):
    """Accepted scans a member; None is no limit. A day is a calendar day in the campaign's time zone."""

    per_day: Scans | None = None
    total: Scans | None = None


class Window(Table):
    """From a moment on, until just before another."""

    from_: Moment = Field(alias="from")
    until: Moment

    @field_validator("until")
    @classmethod
    def _until_after_from(cls, until: Moment, info: ValidationInfo) -> Moment:
        start = info.data.get("from_")
        if start is not None and until <= start:
            raise expected("a time after this window's from")
        return until


class Entry(Table):
    """Who enters a pool: every condition given must hold, and one of its values is enough."""

    roles: Annotated[tuple[Label, ...], _some(100)] | None = None
    tiers: Annotated[tuple[Label, ...], _some(100)] | None = None
    products: Annotated[tuple[Gtin, ...], _some(1000)] | None = None
    channels: Annotated[tuple[Name, ...], _some(100)] | None = None
    windows: Annotated[tuple[Window, ...], _some(100)] | None = None


class Spread(Table):
    """Different amounts between two bounds, as many as the prize's stock, that add up to a total exactly."""

    min: Money
    max: Money
    total: Money

    @field_validator("max")
    @classmethod
    def _room_between(cls, highest: int, info: ValidationInfo) -> int:
        if highest <= info.data.get("min", 0):
            raise expected("more than min; write a plain amount if all are alike")
        return highest


class Prize(Table):
    """What every kind of prize has. `stock` None never runs out; `odds` is set in an odds pool only."""

    id: Name
    stock: Stock | None = Field(None, validate_default=True)
    odds: Odds | None = Field(None, validate_default=True)

    @field_validator("id")
    @classmethod
    def _can_be_told_apart_and_won(cls, name: str, info: ValidationInfo) -> str:
        read = reading(info)
        if name in read.prizes:
            raise expected("an id that no other prize of this pool has")
        read.prizes.add(name)
        if read.endless:
            raise expected(
                f'no prize behind "{read.endless}", which never runs out and so is always won first'
            )
        return name

    @field_validator("stock")
    @classmethod
    def _stock_suits_the_draw(cls, stock: int | None, info: ValidationInfo) -> int | None:
        read = reading(info)
        if stock is None and read.draw == "deck":
            raise expected("a stock, because a deck holds exactly what it is given")
        if stock is None and read.draw == "every":
            read.endless = info.data.get("id", "")
        return stock

    @field_validator("odds")
    @classmethod
    def _odds_suit_the_draw(cls, odds: Odds | None, info: ValidationInfo) -> Odds | None:
        read = reading(info)
        if odds is None:
            if read.draw == "odds":
                raise expected('odds in quotes, such as "0.05", because the pool draws by odds')
            return None
        if read.draw in ("every", "deck"):
            raise expected(f'no odds with draw = "{read.draw}"')
        before, read.odds = read.odds, read.odds + Fraction(odds)
        if before <= 1 < read.odds:
            raise expected("odds that add up to at most 1 in a pool")
        return odds


class Cash(Prize):
    """Money: every winner the same amount, or different ones out of a total."""

    kind: Literal["cash"]
    amount: Annotated[
        Annotated[Money, Tag("money")] | Annotated[Spread, Tag("spread")],
        Discriminator(lambda value: "spread" if isinstance(value, dict | Spread) else "money"),
    ]

    @field_validator("amount")
    @classmethod
    def _amounts_add_up(cls, amount: int | Spread, info: ValidationInfo) -> int | Spread:
        if isinstance(amount, int) or "stock" not in info.data:
            return amount
        pieces = info.data["stock"]
        if pieces is None:
            raise expected("a stock beside min, max and total, because it says how many amounts there are")
        least, most = pieces * amount.min, pieces * amount.max
        if not least <= amount.total <= most:
            raise expected(f"a total that {pieces} amounts between min and max can add up to")
        if pieces > 1 and amount.total in (least, most):
            raise expected("a total that leaves room for different amounts")
        return amount


class Points(Prize):
    """Points of the membership service."""

    kind: Literal["points"]
    amount: Units


class Coupon(Prize):
    """A coupon by its code; `amount` is how many of it one winner gets."""

    kind: Literal["coupon"]
    coupon: CouponCode
    amount: Units = 1


class Physical(Prize):
    """A thing to be sent; `value` is what one piece is worth, for the law's upper bound on prizes."""

    kind: Literal["physical"]
    value: Money
    amount: Units = 1


class Blank(Prize):
    """No prize: the losing cards of a deck, or the losing part of the odds."""

    kind: Literal["none"]

    @field_validator("kind")
    @classmethod
    def _something_is_drawn(cls, kind: Literal["none"], info: ValidationInfo) -> Literal["none"]:
        if reading(info).draw == "every":
            raise expected('a kind that gives something, because draw = "every" has no losers')
        return kind


AnyPrize = Annotated[Cash | Points | Coupon | Physical | Blank, Field(discriminator="kind")]


class Pool(Table):
    """Prizes that are drawn together. A scan wins at most one prize of a pool."""

    id: Name
    draw: Annotated[Draw, Expected('one of "every", "deck" and "odds"')]
    game: Name | None = None
    beneficiary: Annotated[Beneficiary, Expected('one of "member", "seller" and "inviter"')] = "member"
    entry: Entry | None = None
    budget: Money | None = None
    prize: Annotated[tuple[AnyPrize, ...], _some(PRIZES_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _nothing_read_yet(cls, data: Any, info: ValidationInfo) -> Any:
        reading(info).enter_pool()
        return data

    @field_validator("id")
    @classmethod
    def _can_be_told_apart(cls, name: str, info: ValidationInfo) -> str:
        read = reading(info)
        if name in read.pools:
            raise expected("an id that no other pool has")
        read.pools.add(name)
        return name

    @field_validator("draw")
    @classmethod
    def _prizes_below_are_drawn_so(cls, draw: Draw, info: ValidationInfo) -> Draw:
        reading(info).draw = draw
        return draw


class CampaignFile(Table):
    """A whole campaign file."""

    campaign: Campaign
    limits: Limits | None = None
    pool: Annotated[tuple[Pool, ...], _some(POOLS_MAX)]
