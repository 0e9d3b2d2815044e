"""The stream's entries as other services see them: a model a type, and the rules by which they may change.

An entry is flat: names and values, all of them text; numbers are canonical decimals, lists and objects are
JSON, what is absent is left out. A model reads that form (its JSON Schema of mode ``validation`` describes
it), and writes the same with numbers and lists as such (mode ``serialization``): what `scanner stream tail`
prints and what bridges send on. A field is never renamed, reused or taken away; new fields and new types may
come. A reader keeps a field it does not know as it stands, and reads an entry of a type it does not know as
``Event``. docs/events.md has all of it in words.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scanner.errors import ScannerError
from scanner.queue.fields import (
    FILE_CHARS_MAX,
    Count,
    Gtin,
    Id,
    InJson,
    Moment,
    Name,
    Number,
    Prizes,
    Text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UnreadableError(ScannerError):
    """An entry is not of the form that its type promises. The message names the field, never its value."""


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


MODELS: dict[str, type[Event]] = {
    model.model_fields["type"].annotation.__args__[0]: model  # type: ignore[union-attr]
    for model in (
        *(ScanAccepted, DrawMade, GrantMade, GrantExpired, ShareClaimed),
        *(CampaignApplied, CampaignPaused, CampaignResumed, PoolToppedUp, BudgetToppedUp),
        *(LotRegistered, LotActivated, LotBlocked, LotMoved, LotAssigned),
    )
}


class _Names(dict[bytes, str]):
    """The fields' names as they come. Those that are not known are not kept: there is no bound to them."""

    def __missing__(self, name: bytes) -> str:
        return name.decode()


_NAMES = _Names(
    {
        (field.alias or name).encode(): field.alias or name
        for model in MODELS.values()
        for name, field in model.model_fields.items()
    }
)


def read_event(entry: bytes, raw: Mapping[bytes, bytes], partition: int = 0) -> Event:
    """One entry of the stream, as redis-py has it.

    Raises:
        UnreadableError: it is not what its type promises.
    """
    id = entry.decode()
    try:
        # The values of known fields are decoded by the validator, in less than half of the time.
        fields: dict[str, Any] = {_NAMES[name]: value for name, value in raw.items()}
        fields["type"] = raw.get(b"type", b"").decode()
        event = _validated(id, fields, partition)
        unknown = event.__pydantic_extra__
        if unknown:
            unknown |= {name: value.decode() for name, value in unknown.items()}
    except UnicodeDecodeError:
        raise UnreadableError(f"entry {id} is not UTF-8") from None
    return event


def event_of(entry: str, fields: Mapping[str, str], partition: int = 0) -> Event:
    """The same of text, as the archive has it."""
    return _validated(entry, dict(fields), partition)


def _validated(entry: str, fields: dict[str, Any], partition: int) -> Event:
    model = MODELS.get(fields.get("type", ""), Event)
    fields["entry"] = entry
    fields["partition"] = partition
    try:
        # What model_validate does, without its options.
        event: Event = model.__pydantic_validator__.validate_python(fields)
        return event
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableError(
            f"entry {entry} does not read as {model.__name__}: {where}: {first['msg']}"
        ) from None
