"""Who enters a pool, and how often: the tables of a campaign file that the rules read."""

from typing import Annotated

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from scanner.campaigns.expected import Table, expected, some
from scanner.campaigns.fields import Clock, Duration, Gtin, Label, Moment, Name, Scans


class Limits(Table):
    """How often a member may; None is no limit. A day is a calendar day in the campaign's time zone."""

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


class Daily(Table):
    """Every day from a time of day in the campaign's time zone on, for a while.

    Where the clocks jump over that time, from the jump on; where they show it twice, from the first on.
    """

    daily: Clock
    lasts: Duration

    @field_validator("lasts")
    @classmethod
    def _ends_before_the_next(cls, lasts: int) -> int:
        # The shortest day that summer time makes has 22 hours (Antarctica/Troll), so two never overlap.
        if lasts > 22 * 3_600_000:
            raise expected('at most "22h", so that a window ends before the next one begins')
        return lasts


AnyWindow = Annotated[
    Annotated[Window, Tag("window")] | Annotated[Daily, Tag("daily")],
    Discriminator(
        lambda value: "daily" if isinstance(value, Daily) or (isinstance(value, dict) and "daily" in value)
        else "window"
    ),
]  # fmt: skip


class Entry(Table):
    """Who enters a pool: every condition given must hold, and one of its values is enough."""

    roles: Annotated[tuple[Label, ...], some(100)] | None = None
    tiers: Annotated[tuple[Label, ...], some(100)] | None = None
    products: Annotated[tuple[Gtin, ...], some(1000)] | None = None
    channels: Annotated[tuple[Name, ...], some(100)] | None = None
    windows: Annotated[tuple[AnyWindow, ...], some(100)] | None = None
