"""Answers: a body, a status, a few headers. Every refusal is problem+json (RFC 9457)."""

from collections.abc import Mapping
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
    "unauthorized": (401, "A valid member token is needed"),
    "pin_required": (403, "This code asks for its PIN"),
    "pin_wrong": (403, "The PIN is wrong"),
    "unknown_code": (404, "This code is not known"),
    "not_found": (404, "There is nothing here"),
    "method_not_allowed": (405, "This method is not allowed here"),
    "request_timeout": (408, "The request did not arrive in time"),
    "claimed": (409, "This code was scanned before"),
    "not_active": (409, "This code cannot be scanned yet"),
    "blocked": (410, "This code is blocked"),
    "campaign_over": (410, "The campaign is over"),
    "length_required": (411, "The request needs a Content-Length"),
    "too_large": (413, "The request body is too large"),
    "uri_too_long": (414, "The address is too long"),
    "unsupported_media_type": (415, "The request body must be application/json"),
    "headers_too_large": (431, "The request headers are too large"),
    "internal_error": (500, "Something went wrong here; trying again is safe"),
    "overloaded": (503, "Too many scans at once; trying again is safe"),
    "unavailable": (503, "The scan could not be checked; trying again is safe"),
}
RETRY_AFTER_S = 1
_HEADERS: dict[str, Mapping[str, str]] = {
    "unauthorized": {"WWW-Authenticate": "Bearer"},
    "overloaded": {"Retry-After": str(RETRY_AFTER_S)},
    "unavailable": {"Retry-After": str(RETRY_AFTER_S)},
}


def problem(outcome: str, /, *, headers: Mapping[str, str] | None = None, **members: str) -> Answer:
    """The refusal for an outcome of :data:`OUTCOMES`, with the members that the contract names for it."""
    if not members and not headers:
        return _PLAIN[outcome]
    status, title = OUTCOMES[outcome]
    body = {"type": f"urn:scanner:{outcome}", "title": title, "status": status, "outcome": outcome, **members}
    return Answer(
        outcome, status, orjson.dumps(body), headers={**_HEADERS.get(outcome, {}), **(headers or {})}
    )


def _plain(outcome: str) -> Answer:
    status, title = OUTCOMES[outcome]
    body = {"type": f"urn:scanner:{outcome}", "title": title, "status": status, "outcome": outcome}
    return Answer(outcome, status, orjson.dumps(body), headers=_HEADERS.get(outcome, {}))


_PLAIN = {outcome: _plain(outcome) for outcome in OUTCOMES}
