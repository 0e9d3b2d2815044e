"""What the people who run a brand change: a model a type."""

from typing import Annotated, Literal

from pydantic import Field

from scanner.queue.events.event import Known, OfCampaign
from scanner.queue.events.fields import FILE_CHARS_MAX, Gtin, Name, Number, Text


class Change(Known):
    """What somebody has changed."""

    by: Text = Field(description="whoever ran the command, by the system's name for them")


class Operation(Change):
    """What operations do while a campaign runs."""

    request: Text = Field("", description="the id that it was done under, once and for ever")


class OfLot(Operation):
    lot: Number


class CampaignApplied(Change, OfCampaign):
    """A campaign file took force."""

    type: Literal["campaign.applied"]
    no: Number = Field(description="the campaign's number, which claim records have")
    rules: Name = Field(description="version of the campaign file")
    file: Annotated[str, Field(min_length=1, max_length=FILE_CHARS_MAX)] = Field(
        description="the campaign file as canonical JSON: text, also where numbers are numbers"
    )


class CampaignPaused(Operation, OfCampaign):
    """Nothing can be won in the campaign until it is resumed."""

    type: Literal["campaign.paused"]


class CampaignResumed(Operation, OfCampaign):
    """A paused campaign goes on."""

    type: Literal["campaign.resumed"]


class PoolToppedUp(Operation, OfCampaign):
    """Pieces were added to what is left of a prize."""

    type: Literal["pool.topped_up"]
    pool: Name
    prize: Name
    n: Number = Field(description="how many pieces were added")


class BudgetToppedUp(Operation, OfCampaign):
    """Money was added to what is left of a budget."""

    type: Literal["budget.topped_up"]
    pool: Name = Field("", description="absent: the campaign's own budget")
    amount: Number = Field(description="minor units that were added")


class LotRegistered(Change, OfCampaign):
    """A lot of codes became known; none of them is active yet."""

    type: Literal["lot.registered"]
    lot: Number
    kid: Number = Field(description="the master key that signed its codes")
    size: Number = Field(description="how many serials: 0 to size - 1")
    product: Gtin = Field(description="GTIN-14")
    pin: Number = Field(description="1 where its codes have PINs, else 0")


class LotActivated(OfLot):
    """Codes of a lot may be claimed from now on."""

    type: Literal["lot.activated"]
    # `from` is Python's own word.
    first: Number = Field(alias="from", serialization_alias="from", description="the first serial")
    to: Number = Field(description="the last serial, with it")


class LotBlocked(OfLot):
    """No code of the lot can be claimed any more; what was claimed stays claimed."""

    type: Literal["lot.blocked"]


class LotMoved(OfLot, OfCampaign):
    """The lot's unclaimed codes belong to another campaign, `campaign`, from now on."""

    type: Literal["lot.moved"]
    from_campaign: Name


class LotAssigned(OfLot):
    """The lot's codes are sold by this seller from now on."""

    type: Literal["lot.assigned"]
    seller: Name = Field("", description="absent: nobody any more")
