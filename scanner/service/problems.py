"""Answers: a body, a status, a few headers. Every refusal is problem+json (RFC 9457)."""

from collections.abc import Mapping
from random import choice
from typing import NamedTuple

import orjson

JSON = "application/json"
PROBLEM = "application/problem+json"


class Answer(NamedTuple):
    """What is sent back, whichever way the request came in."""

    outcome: str
    status: int
    body: bytes
    content_type: str = PROBLEM
    headers: Mapping[str, str] = {}


# outcome → (status, title)
OUTCOMES = {
    "malformed": (400, "The request is malformed"),
    "unauthorized": (401, "A valid token is needed"),
    "forbidden": (403, "This token may not do that"),
    "no_entry": (403, "The conditions of this pool are not met"),
    "own_share": (403, "A packet is for friends, not for who shares it"),
    "pin_required": (403, "This code asks for its PIN"),
    "pin_wrong": (403, "The PIN is wrong"),
    "unknown_code": (404, "This code is not known"),
    "unknown_pool": (404, "There is no such pool"),
    "unknown_share": (404, "This packet is not known"),
    "not_found": (404, "There is nothing here"),
    "method_not_allowed": (405, "This method is not allowed here"),
    "request_timeout": (408, "The request did not arrive in time"),
    "claimed": (409, "This code was scanned before"),
    "not_active": (409, "Not yet, or not for now"),
    "limit_reached": (409, "The limit is reached"),
    "no_chance": (409, "There is no draw left"),
    "sold_out": (409, "There is nothing left to give"),
    "request_reused": (409, "This request id was used for something else"),
    "blocked": (410, "This code is blocked"),
    "campaign_over": (410, "The campaign is over"),
    "share_over": (410, "The time of this packet is over"),
    "share_used_up": (410, "This packet has been opened by all it is for"),
    "length_required": (411, "The request needs a Content-Length"),
    "too_large": (413, "The request body is too large"),
    "uri_too_long": (414, "The address is too long"),
    "unsupported_media_type": (415, "The request body must be application/json"),
    "throttled": (429, "Too many wrong tries; wait before the next one"),
    "headers_too_large": (431, "The request headers are too large"),
    "internal_error": (500, "Something went wrong here; trying again is safe"),
    "overloaded": (503, "Too many requests at once; trying again is safe"),
    "unavailable": (503, "The request could not be checked; trying again is safe"),
}
# Spread, so that those who were refused at the same moment do not come back at the same moment.
RETRY_AFTER_S = range(1, 5)
_COME_AGAIN: tuple[Mapping[str, str], ...] = tuple({"Retry-After": str(wait_s)} for wait_s in RETRY_AFTER_S)
_HEADERS: dict[str, tuple[Mapping[str, str], ...]] = {
    "unauthorized": ({"WWW-Authenticate": "Bearer"},),
    "overloaded": _COME_AGAIN,
    "unavailable": _COME_AGAIN,
}


def problem(outcome: str, /, *, headers: Mapping[str, str] | None = None, **members: str) -> Answer:
    """The refusal for an outcome of :data:`OUTCOMES`, with the members that the contract names for it."""
    variants = PLAIN[outcome]
    plain = variants[0] if len(variants) == 1 else choice(variants)  # noqa: S311 (no secret)
    if not members and not headers:
        return plain
    status, title = OUTCOMES[outcome]
    body = {"type": f"urn:scanner:{outcome}", "title": title, "status": status, "outcome": outcome, **members}
    return plain._replace(body=orjson.dumps(body), headers={**plain.headers, **(headers or {})})


def _plain(outcome: str) -> tuple[Answer, ...]:
    status, title = OUTCOMES[outcome]
    body = {"type": f"urn:scanner:{outcome}", "title": title, "status": status, "outcome": outcome}
    data = orjson.dumps(body)
    return tuple(Answer(outcome, status, data, headers=headers) for headers in _HEADERS.get(outcome, ({},)))


PLAIN = {outcome: _plain(outcome) for outcome in OUTCOMES}
"""The refusals without further members: where they say when to come again, one for each of the times."""
