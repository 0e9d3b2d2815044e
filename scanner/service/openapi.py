"""The public port's description (OpenAPI 3.1), made of the models that check the requests."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from scanner import __version__
from scanner.service.examples import EXAMPLES
from scanner.service.problems import JSON, OUTCOMES, PROBLEM, Answer, problem
from scanner.service.requests import (
    CODE_CHARS_MAX,
    BatchRequest,
    DrawRequest,
    GrantRequest,
    ScanRequest,
    ShareClaimRequest,
)
from scanner.service.schemas import (
    BatchAnswer,
    CodeAnswer,
    DrawAnswer,
    GrantAnswer,
    Problem,
    ScanAnswer,
    ShareClaimAnswer,
)


class Operation(NamedTuple):
    """One method of a path. ``outcomes`` are the refusals of its own, beside those that any may have."""

    method: str
    path: str
    summary: str
    text: str
    request: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    outcomes: tuple[str, ...] = ()
    parameter: tuple[str, str, dict[str, Any]] | None = None
    needs_token: bool = True


_STORE = ("overloaded", "unavailable")
_RUNS = ("not_active", "campaign_over")
_REQUEST = ("unknown_pool", "request_reused", *_RUNS, "limit_reached")
_SHARE = ("unknown_share", "not_active", "own_share", "share_over", "share_used_up", "limit_reached")
_SCAN = (
    "pin_required",
    "pin_wrong",
    "unknown_code",
    "claimed",
    *_RUNS,
    "limit_reached",
    "blocked",
    "throttled",
)

OPERATIONS = (
    Operation(
        "POST",
        "/v1/scans",
        "Scan a code",
        "A member scans a code. It is claimed once and for ever; repeated by the same member, the answer is "
        "the same.",
        ScanRequest,
        ScanAnswer,
        ("forbidden", *_SCAN, *_STORE),
    ),
    Operation(
        "POST",
        "/v1/scans/batch",
        "Scan many codes",
        "A service brings scans of its members. Each is answered as if it had come alone, with its `status`.",
        BatchRequest,
        BatchAnswer,
        ("forbidden",),
    ),
    Operation(
        "POST",
        "/v1/draws",
        "Draw from a pool",
        "A member uses a chance, or a service draws for a member, for a chance or for the pool's price. "
        "Repeated under the same request id, the answer is the same.",
        DrawRequest,
        DrawAnswer,
        ("forbidden", *_REQUEST, "no_entry", "no_chance", *_STORE),
    ),
    Operation(
        "POST",
        "/v1/grants",
        "Give a locked packet",
        "A service gives a member a prize that a scan of theirs unlocks. Repeated under the same request id, "
        "the answer is the same.",
        GrantRequest,
        GrantAnswer,
        ("forbidden", *_REQUEST, "sold_out", *_STORE),
    ),
    Operation(
        "POST",
        "/v1/shares/{token}/claims",
        "Open a friend's packet",
        "A member opens a packet by its token. Each friend once; repeated, the answer is the same.",
        ShareClaimRequest,
        ShareClaimAnswer,
        ("forbidden", *_SHARE, *_STORE),
        ("token", "`share` of the answer to the scan", {"type": "string", "minLength": 1}),
    ),
    Operation(
        "GET",
        "/v1/codes/{code}",
        "Ask about a code",
        "Whether a code is genuine, and what it is on. Nothing is claimed.",
        None,
        CodeAnswer,
        ("malformed", "forbidden", "unknown_code", "blocked", *_STORE),
        (
            "code",
            "any carrier of a code, percent-encoded",
            {"type": "string", "minLength": 1, "maxLength": CODE_CHARS_MAX},
        ),
    ),
    Operation("GET", "/openapi.json", "This description", "In OpenAPI 3.1.", needs_token=False),
)


def outcomes_of(operation: Operation) -> tuple[str, ...]:
    """Every refusal that the operation may be answered with, in the order of their status."""
    found = {*operation.outcomes, "uri_too_long", "headers_too_large", "internal_error"}
    if operation.needs_token:
        found.add("unauthorized")
    if operation.request:
        found |= {"malformed", "request_timeout", "length_required", "too_large", "unsupported_media_type"}
    return tuple(outcome for outcome in OUTCOMES if outcome in found)


@cache
def description() -> Callable[..., Awaitable[Answer]]:
    """What answers ``GET /openapi.json``. It is written now, and not while somebody waits."""
    answer = Answer("described", 200, orjson.dumps(document()), JSON)

    async def describe(*_: str | bytes) -> Answer:
        return answer

    return describe


def document() -> dict[str, Any]:
    """The description."""
    models = [(model, "validation") for at in OPERATIONS for model in (at.request, at.answer) if model]
    _, schemas = models_json_schema(
        [*models, (Problem, "validation")],  # type: ignore[list-item]
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "scanner",
            "version": __version__,
            "description": "Verifies signed product codes and awards each one once.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A member's, or one with `role` = `service`. HS256.",
                }
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "description": operation.text}
    described["operationId"] = operation.summary.lower().replace(" ", "_").replace("'", "")
    described["security"] = [{"token": []}] if operation.needs_token else []
    if parameters := list(_parameters(operation)):
        described["parameters"] = parameters
    example = EXAMPLES.get(operation.path, {})
    if operation.request:
        described["requestBody"] = {
            "required": operation.request is not ShareClaimRequest,
            "content": {JSON: {"schema": _ref(operation.request), "example": example["request"]}},
        }
    schema = _ref(operation.answer) if operation.answer else {"type": "object"}
    content = {"schema": schema} | ({"example": example["answer"]} if example else {})
    described["responses"] = {"200": {"description": "Done.", "content": {JSON: content}}}
    described["responses"] |= _refusals(outcomes_of(operation))
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.parameter:
        name, text, schema = operation.parameter
        yield {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
    if operation.request:
        text = "W3C Trace Context; it goes into the event"
        yield {"name": "traceparent", "in": "header", "description": text, "schema": {"type": "string"}}


def _refusals(outcomes: Sequence[str]) -> dict[str, Any]:
    """The responses by status, each with the outcomes it may mean."""
    by_status: dict[str, list[str]] = {}
    for outcome in outcomes:
        by_status.setdefault(str(OUTCOMES[outcome][0]), []).append(outcome)
    return {status: _refusal(outcomes) for status, outcomes in by_status.items()}


def _refusal(outcomes: Sequence[str]) -> dict[str, Any]:
    names = {"properties": {"outcome": {"enum": list(outcomes)}}}
    refusals = {outcome: problem(outcome) for outcome in outcomes}
    described: dict[str, Any] = {
        "description": "; ".join(f"`{outcome}`: {OUTCOMES[outcome][1]}" for outcome in outcomes),
        "content": {
            PROBLEM: {
                "schema": {"allOf": [_ref(Problem), names]},
                "examples": {
                    outcome: {"value": orjson.loads(refusal.body)} for outcome, refusal in refusals.items()
                },
            }
        },
    }
    headers = {name for refusal in refusals.values() for name in refusal.headers}
    if "throttled" in outcomes or "pin_wrong" in outcomes:
        headers.add("Retry-After")
    if headers:
        described["headers"] = {name: {"schema": {"type": "string"}} for name in sorted(headers)}
    return described


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
