"""The campaign file: what can be won, by whom and when (docs/contract.md, section 4).

The classes are the file's tables and the fields its keys. They are built by `file.parse` and by
`file.from_canonical` only, never one by one, because lines depend on lines above them: an amount on the
currency, a prize on its pool's draw. Money is in minor units here, points and pieces are in units.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from scanner.campaigns.entry import Entry, Limits
from scanner.campaigns.expected import Expected, Table, expected, reading, some
from scanner.campaigns.fields import (
    ClaimRules,
    CurrencyCode,
    Duration,
    Gtin,
    Moment,
    Name,
    Slots,
    Title,
    Units,
    Url,
    Zone,
)
from scanner.campaigns.money import Money, exponent
from scanner.campaigns.prizes import AnyPrize

POOLS_MAX: Final = 50
PRIZES_MAX: Final = 200
"""Prizes in one pool. Numbers of pools and prizes end at 255; see plan.py."""
PRODUCTS_MAX: Final = 1000

Beneficiary = Literal["member", "seller", "inviter"]
Draw = Literal["every", "deck", "odds", "locked", "shared"]


class Campaign(Table):
    """Who gives, from when until when, and in which currency. `budget` bounds all pools together."""

    id: Name
    title: Title
    organiser: Title
    contact: Title | None = None
    claim_rules: ClaimRules
    currency: CurrencyCode
    timezone: Zone
    starts: Moment
    ends: Moment
    budget: Money | None = None

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


class Product(Table):
    """What a person who asks about a code may read about its product."""

    gtin: Gtin
    title: Title
    url: Url | None = None


class Price(Table):
    """What a paid draw costs."""

    points: Units


class Pool(Table):
    """Prizes that are drawn together. A scan wins at most one prize of a pool.

    `slots`, `open_for` and `giver` belong to `draw = "shared"`, `expires_after` to "locked", `price` to a
    pool that is entered by draws; consistency.py holds them to it.
    """

    id: Name
    draw: Annotated[Draw, Expected('one of "every", "deck", "odds", "locked" and "shared"')]
    entered_by: Annotated[Literal["scan", "draw"], Expected('one of "scan" and "draw"')] | None = None
    price: Price | None = None
    slots: Slots | None = None
    open_for: Duration | None = None
    giver: Annotated[Literal["first", "last"], Expected('one of "first" and "last"')] | None = None
    expires_after: Duration | None = None
    game: Name | None = None
    beneficiary: Annotated[Beneficiary, Expected('one of "member", "seller" and "inviter"')] = "member"
    entry: Entry | None = None
    limits: Limits | None = None
    budget: Money | None = None
    prize: Annotated[tuple[AnyPrize, ...], some(PRIZES_MAX)]

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
    product: Annotated[tuple[Product, ...], some(PRODUCTS_MAX)] | None = None
    pool: Annotated[tuple[Pool, ...], some(POOLS_MAX)]
