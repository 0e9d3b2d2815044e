"""What all events have: where they stand, what to deduplicate by, and how awards look."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from scanner.queue.events.fields import Count, InJson, Moment, Name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Award(BaseModel):
    """What was won. New kinds may come."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    pool: Name
    prize: Name
    kind: Name = Field(description="`cash`, `points`, `coupon`, `physical`, `chance`; others may come")
    amount: Count = Field(description="minor units for cash, units for the rest")
    beneficiary: Name = Field(description="`member`, `seller`, `inviter`; in `giver_awards` `giver`")
    currency: Name = Field("", description="with cash only: ISO 4217")
    coupon: Name = Field("", description="with coupons only: the brand's own code of it")
    draws: Name = Field("", description="with chances only: the pool that they are draws in")
    game: Name = Field("", description="where the pool has one: how the mini-program plays it")


class Location(BaseModel):
    """Where a phone said that it was: degrees, WGS 84."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    lat: Annotated[float, Field(ge=-90, le=90)]
    lng: Annotated[float, Field(ge=-180, le=180)]


Awards = Annotated[tuple[Award, ...], InJson(remembered=1024)]


class Event(BaseModel):
    """Any entry: what all types have."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)
    is_known: ClassVar[bool] = False

    # Where it stands: its id in the stream of its partition. Never among an entry's fields.
    entry: str = Field("", exclude=True)
    partition: int = Field(0, exclude=True)
    type: Name
    at: Moment = Field(description="when it happened: ms since 1970, by the store's clock")

    @property
    def key(self) -> str:
        """What to deduplicate by: the same for every copy of the event, and of no other of the brand.

        A scan's is its scan_id, which depends on nothing but the code. Of another type it is ``<type>/<id>``
        where the entry has an ``id``, else ``<type>/<entry>``, with ``@<partition>`` behind it where that is
        not 0. It depends on the entry alone, so that all readers, older and newer ones, come to the same.
        """
        id = getattr(self, "id", "")
        if id:
            return str(id) if self.type == "scan.accepted" else f"{self.type}/{id}"
        return f"{self.type}/{self.entry}" + (f"@{self.partition}" if self.partition else "")

    @property
    def time(self) -> datetime:
        """``at`` in UTC."""
        return _EPOCH + timedelta(milliseconds=self.at)

    def awards_of(self, kind: str) -> tuple[Award, ...]:
        """What was won of a kind by this very event, by whomever: each award says its ``beneficiary``.

        A grant's prize is won by the scan that unlocks it, so a grant has none; nor has a type that is not
        known, because what its awards mean is not known either.
        """
        return tuple(award for award in self._won() if award.kind == kind)

    def _won(self) -> tuple[Award, ...]:
        return ()

    def data(self) -> dict[str, Any]:
        """As JSON has it, with ``entry``; absent values left out."""
        return {"entry": self.entry, **self.model_dump(mode="json", by_alias=True, exclude_unset=True)}


class Known(Event):
    is_known = True


class OfCampaign(Known):
    campaign: Name
