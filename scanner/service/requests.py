"""What a request body may hold. The models check it, and describe it to whoever asks."""

from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

CODE_CHARS_MAX = 512


class MalformedError(Exception):
    """The body is not what the contract asks for; the message names the field."""


class Location(BaseModel):
    """Where the scan happened, in degrees (WGS 84)."""

    model_config = ConfigDict(strict=True, frozen=True)

    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
    lng: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class ScanRequest(BaseModel):
    """``POST /v1/scans``. Members that are not named here are for later versions, and are left alone."""

    model_config = ConfigDict(strict=True, frozen=True)

    code: Annotated[str, StringConstraints(min_length=1, max_length=CODE_CHARS_MAX)]
    pin: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")] | None = None
    channel: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")] | None = None
    location: Location | None = None


def parse_scan(body: bytes) -> ScanRequest:
    """Reads a body.

    Raises:
        MalformedError: with the first field that is wrong, and what was expected of it.
    """
    try:
        return ScanRequest.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body is not JSON: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise MalformedError(f"{field}: {first['msg']}" if field else first["msg"]) from None
