"""What a request body may hold. The models check it, and describe it to whoever asks (``openapi.py``)."""

from typing import Annotated, Any, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from scanner.campaigns.money import AMOUNT_MAX
from scanner.identity import Member
from scanner.identity.tokens import NAME_CHARS_MAX

CODE_CHARS_MAX = 512
SCANS_MAX = 500
"""Scans in one batch."""


class MalformedError(Exception):
    """The request is not what the contract asks for; the message names the field."""

    def __init__(self, reason: str, *field: str | int) -> None:
        self.reason, self.field = reason, field
        path = ".".join(str(part) for part in field)
        super().__init__(f"{path}: {reason}" if path else reason)


def _printable(text: str) -> str:
    if not text.isprintable():
        # As in tokens: these names go into the ledger, into logs and onto screens.
        raise PydanticCustomError("printable", "Input should have printable characters only")
    return text


Code = Annotated[str, StringConstraints(min_length=1, max_length=CODE_CHARS_MAX)]
Channel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
"""The id of a campaign or a pool."""
Person = Annotated[
    str, StringConstraints(min_length=1, max_length=NAME_CHARS_MAX), AfterValidator(_printable)
]
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]


class _Part(BaseModel):
    """Members that are not named are for later versions, and are left alone."""

    model_config = ConfigDict(strict=True, frozen=True)


class Location(_Part):
    """Where the scan happened, in degrees (WGS 84)."""

    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    lng: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class ScanRequest(_Part):
    """A scan. ``code`` is any carrier; ``pin`` is asked for by some lots."""

    code: Code
    pin: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] | None = None
    channel: Channel | None = None
    location: Location | None = None


class BatchScan(ScanRequest):
    """A scan that a service brings for a member, with what the member's token would say."""

    member: Person
    role: Person | None = None
    tier: Person | None = None
    seller: Person | None = None
    inviter: Person | None = None

    def who(self) -> Member:
        return Member(self.member, self.role or "", self.tier or "", self.seller or "", self.inviter or "")


def _alone(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """One scan that is wrong is answered for itself: here it is its error."""
    try:
        return check(value)
    except ValidationError as error:
        return _first_of(error)


class BatchRequest(_Part):
    """Scans of several members, answered in their order."""

    scans: Annotated[
        list[Annotated[BatchScan, WrapValidator(_alone)]], Field(min_length=1, max_length=SCANS_MAX)
    ]


class Paid(_Part):
    """What was paid for a draw: the pool's price, exactly."""

    points: Annotated[int, Field(ge=1, le=AMOUNT_MAX)]


class DrawRequest(_Part):
    """A draw from a pool that is entered by draws. From ``member`` on, for services only."""

    campaign: Name
    pool: Name
    request_id: RequestId
    channel: Channel | None = None
    member: Person | None = None
    role: Person | None = None
    tier: Person | None = None
    paid: Paid | None = None


class GrantRequest(_Part):
    """A locked packet for a member."""

    request_id: RequestId
    campaign: Name
    pool: Name
    member: Person


class ShareClaimRequest(_Part):
    """A friend opens a shared packet. An empty body is as good."""

    channel: Channel | None = None


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], body: bytes) -> Model:
    """Reads a body.

    Raises:
        MalformedError: with the first field that is wrong, and what was expected of it.
    """
    try:
        return model.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body is not JSON: {error}") from None
    except ValidationError as error:
        raise _first_of(error) from None


def _first_of(error: ValidationError) -> MalformedError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return MalformedError(first["msg"], *first["loc"])
