"""What the answers hold, for whoever writes a client (``openapi.py``). The tests hold the answers to it."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{16}$")]
Moment = Annotated[AwareDatetime, Field(description="UTC, with milliseconds")]
Replayed = Annotated[bool, Field(description="the same answer was given before")]


class _Answer(BaseModel):
    """New members may come."""

    model_config = ConfigDict(frozen=True)


class Award(_Answer):
    """What was won. `amount` is in minor units for cash, in units for the rest."""

    pool: str
    prize: str
    kind: Literal["cash", "points", "coupon", "physical", "chance"]
    amount: int
    currency: str | None = Field(None, description="with cash only")
    coupon: str | None = Field(None, description="with coupons only")
    draws: str | None = Field(None, description="with chances only: the pool they are draws in")
    game: str | None = Field(None, description="where the pool has one")
    beneficiary: Literal["member", "seller", "inviter"]


class ScanAnswer(_Answer):
    """The scan is accepted; what it won may be nothing."""

    outcome: Literal["accepted"]
    scan_id: Id
    replayed: Replayed
    campaign: str
    product: str
    scanned_at: Moment
    awards: list[Award]
    share: str | None = Field(None, description="the token of a packet that was opened for friends")


class ScanResult(ScanAnswer):
    """A scan of a batch that is accepted."""

    status: Literal[200]


class DrawAnswer(_Answer):
    """The draw is made; what it won may be nothing."""

    outcome: Literal["accepted"]
    draw_id: Id
    replayed: Replayed
    campaign: str
    pool: str
    drawn_at: Moment
    awards: list[Award]


class GrantAnswer(_Answer):
    """The packet is the member's, and locked until `expires_at`."""

    outcome: Literal["granted"]
    grant_id: Id
    replayed: Replayed
    campaign: str
    pool: str
    member: str
    granted_at: Moment
    expires_at: Moment
    awards: Annotated[list[Award], Field(min_length=1, max_length=1)]


class ShareClaimAnswer(_Answer):
    """The friend has opened the packet; what was in it may be nothing."""

    outcome: Literal["accepted"]
    claim_id: Id
    replayed: Replayed
    campaign: str
    pool: str
    opened_at: Moment
    awards: list[Award]


class CodeAnswer(_Answer):
    """The code is genuine."""

    outcome: Literal["genuine"]
    product: str
    title: str | None = None
    url: str | None = None
    active: bool = Field(description="it can be scanned, as far as the code goes")
    scanned: bool
    first_scanned_at: Moment | None = None
    by_you: bool | None = Field(None, description="where it was scanned: whether by this member")


class Problem(_Answer):
    """A refusal (RFC 9457)."""

    type: str = Field(description="`urn:scanner:` and the outcome")
    title: str
    status: int
    outcome: str
    detail: str | None = Field(None, description="what is wrong, for people")
    first_scanned_at: Moment | None = Field(None, description="with `claimed`")
    starts_at: Moment | None = Field(None, description="with `not_active`, if known")
    resets_at: Moment | None = Field(None, description="with `limit_reached`, if known")


class BatchAnswer(_Answer):
    """The answers in the order of the scans."""

    results: list[ScanResult | Problem]
