"""What members do, are given, and lose: a model a type."""

from typing import Annotated, Literal

from pydantic import Field

from scanner.queue.events.event import Award, Awards, Location, OfCampaign
from scanner.queue.events.fields import Count, Gtin, Id, InJson, Moment, Name, Number, Prizes, Text


class OfMember(OfCampaign):
    """Something that a member has done, been given, or lost."""

    member: Name = Field(description="who: the `sub` of their token")


class ByMember(OfMember):
    """Something that a member has done."""

    role: Name = Field("", description="as their token said")
    tier: Name = Field("", description="as their token said")
    channel: Name = Field("", description="as the request said")
    trace: Text = Field("", description="W3C traceparent, if one came")


class ScanAccepted(ByMember):
    """A code was claimed, once and for ever, with what it won."""

    type: Literal["scan.accepted"]
    id: Id = Field(description="scan_id: it depends on nothing but the code")
    rules: Name = Field(description="version of the campaign file")
    product: Gtin = Field(description="GTIN-14")
    lot: Number
    serial: Number
    seller: Name = Field("", description="the token's, else whom the lot is assigned to")
    inviter: Name = Field("", description="who brought the member in, as their token said")
    loc: Annotated[Location, InJson()] | None = Field(None, description="where the phone said that it was")
    awards: Awards = Field(description="what was won, by all beneficiaries; may be nothing")
    blanks: Prizes = Field((), description="prizes of kind `none` that were drawn, each as `pool/prize`")
    withheld: Prizes = Field((), description="prizes that no budget had room for, each as `pool/prize`")
    unlocked: Annotated[tuple[Id, ...], InJson()] = Field(
        (), description="ids of the grants whose packets this scan unlocked, in the order of their awards"
    )
    share: Name = Field("", description="the pool of the packet that was opened for friends")

    def _won(self) -> tuple[Award, ...]:
        return self.awards


class DrawMade(ByMember):
    """A draw that was asked for."""

    type: Literal["draw.made"]
    id: Id = Field(description="draw_id: it depends on `by` and `request`")
    rules: Name = Field(description="version of the campaign file")
    pool: Name
    request: Text = Field(description="the request's id, which belongs to `by`")
    by: Text = Field(description="the `sub` of the token that asked")
    kid: Number = Field(description="the key that the draw was computed with")
    paid: Annotated[dict[Name, Count], InJson()] | None = Field(
        None, description="what a service took for it, such as `points`; absent: a chance was used"
    )
    awards: Awards = Field(description="what was won; may be nothing")
    blanks: Prizes = Field((), description="prizes of kind `none` that were drawn, each as `pool/prize`")
    withheld: Prizes = Field((), description="prizes that no budget had room for, each as `pool/prize`")

    def _won(self) -> tuple[Award, ...]:
        return self.awards


class GrantMade(OfMember):
    """A locked packet was given: stock and budgets are taken, the scan that unlocks it wins its prize."""

    type: Literal["grant.made"]
    id: Id = Field(description="grant_id: it depends on `by` and `request`")
    rules: Name = Field(description="version of the campaign file")
    pool: Name
    request: Text = Field(description="the request's id, which belongs to `by`")
    by: Text = Field(description="the `sub` of the token that asked")
    kid: Number = Field(description="the key that the draw was computed with")
    awards: Awards = Field(description="the one award that is locked in; not to be paid out yet")
    trace: Text = Field("", description="W3C traceparent, if one came")
    expires: Moment = Field(description="ms since 1970: until then it can be unlocked")


class GrantExpired(OfMember):
    """A locked packet was not unlocked in time: its prize went back."""

    type: Literal["grant.expired"]
    id: Id = Field(description="grant_id")
    pool: Name
    prize: Name
    amount: Number | None = Field(None, description="minor units, where it was drawn between two bounds")


class ShareClaimed(ByMember):
    """A friend opened a shared packet."""

    type: Literal["share.claimed"]
    id: Id = Field(description="claim_id: it depends on `share` and `member`")
    rules: Name = Field(description="version of the campaign file")
    pool: Name
    share: Id = Field(description="scan_id of the scan that opened the packet")
    lot: Number = Field(description="of that scan's code")
    serial: Number = Field(description="of that scan's code")
    kid: Number = Field(description="the key of that scan's code")
    giver: Name = Field(description="the member of that scan")
    slot: Number = Field(description="which of the packet's slots was taken: 1 is the first")
    awards: Awards = Field(description="what the friend won; may be nothing")
    blanks: Prizes = Field((), description="prizes of kind `none` that the friend drew, as `pool/prize`")
    withheld: Prizes = Field((), description="the friend's prizes that no budget had room for")
    giver_awards: Awards = Field((), description="what the giver won, where the giver's turn came")
    giver_blanks: Prizes = Field((), description="prizes of kind `none` that the giver drew")
    giver_withheld: Prizes = Field((), description="the giver's prizes that no budget had room for")

    def _won(self) -> tuple[Award, ...]:
        """The friend's, and the giver's."""
        return (*self.awards, *self.giver_awards)
