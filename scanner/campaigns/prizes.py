"""The kinds of prize that a campaign file may hold, each with what it needs."""

from fractions import Fraction
from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from scanner.campaigns.expected import Table, expected, reading
from scanner.campaigns.fields import CouponCode, Name, Odds, Stock, Title, Turns, Units
from scanner.campaigns.money import Money

LUCKY_MAX: Final = 10**14
"""Largest amount that may be drawn, in minor units: below 2^48, which records and draws have room for."""


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
        if highest > LUCKY_MAX:
            raise expected("a smaller amount: one that is drawn is kept in 48 bits")
        return highest


class Prize(Table):
    """What every kind of prize has. `title` is its name on the published page; `stock` None never runs out;
    `odds` is set in an odds pool only."""

    id: Name
    title: Title | None = None
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
        if stock is None and read.draw in ("deck", "locked", "shared"):
            raise expected(f"a stock, because a {read.draw} pool holds exactly what it is given")
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
        if read.draw in ("every", "deck", "locked", "shared"):
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
        return amount


class Points(Prize):
    """Points of the membership service."""

    kind: Literal["points"]
    amount: Units


class Coupon(Prize):
    """A coupon by its code; `amount` is how many of it one winner gets, `value` what one is worth."""

    kind: Literal["coupon"]
    coupon: CouponCode
    value: Money | None = None
    amount: Units = 1


class Physical(Prize):
    """A thing to be sent; `value` is what one piece is worth, for the law's upper bound on prizes."""

    kind: Literal["physical"]
    value: Money
    amount: Units = 1


class Chance(Prize):
    """Draws in another pool, one that is entered by draws: `amount` of them."""

    kind: Literal["chance"]
    pool: Name
    amount: Turns = 1


class Blank(Prize):
    """No prize: the losing cards of a deck, or the losing part of the odds."""

    kind: Literal["none"]

    @field_validator("kind")
    @classmethod
    def _something_is_drawn(cls, kind: Literal["none"], info: ValidationInfo) -> Literal["none"]:
        if reading(info).draw == "every":
            raise expected('a kind that gives something, because draw = "every" has no losers')
        return kind


AnyPrize = Annotated[Cash | Points | Coupon | Physical | Chance | Blank, Field(discriminator="kind")]
