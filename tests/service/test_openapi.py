"""The description of the public port: valid, whole, and true of what is answered."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from referencing import Registry, Resource

from scanner.service.openapi import OPERATIONS, document, outcomes_of
from scanner.service.problems import OUTCOMES, PROBLEM, Answer
from tests.brand import (
    BATCH,
    CODES,
    DRAWS,
    GRANTS,
    PRODUCT,
    SCANS,
    SHARES,
    Brand,
    campaign_toml,
)
from tests.running import PATIENCE_S, running
from tests.service.pools import friends, http_get, locked, wheel

WHOLE = document()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    paths = WHOLE["paths"]
    return [(path, method, paths[path][method]) for path in paths for method in paths[path]]


def schema_at(path: str, method: str, *place: str) -> Draft202012Validator:
    """The schema of a request or an answer, with the references it needs."""
    found: Any = WHOLE["paths"][path][method]
    for name in place:
        found = found[name]
    registry = Registry().with_resource("urn:api", Resource.from_contents(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **WHOLE}
    ))  # fmt: skip
    text = orjson.dumps(found["schema"]).replace(b'"#/', b'"urn:api#/')
    return Draft202012Validator(orjson.loads(text), registry=registry)


def answer_schema(path: str, answer: Answer) -> Draft202012Validator:
    method = next(method for at, method, _ in operations() if at == path)
    return schema_at(path, method, "responses", str(answer.status), "content", answer.content_type)


def test_it_is_valid() -> None:
    validate(WHOLE, cls=OpenAPIV31SpecValidator)


@pytest.mark.parametrize("spoil", ["openapi", "info", "paths"])
def test_the_validator_would_say_so(spoil: str) -> None:
    with pytest.raises(OpenAPIValidationError):
        validate(WHOLE | {spoil: 7}, cls=OpenAPIV31SpecValidator)


async def test_every_route_is_described_and_nothing_else(brand: Brand) -> None:
    routes = brand.scanner().desks.routes()
    described = {(path, method.upper()) for path, method, _ in operations()}
    assert described == {(path, method) for path, methods in routes.items() for method in methods}
    assert {(at.path, at.method) for at in OPERATIONS} == described
    for path, method, operation in operations():
        reads = routes[path][method.upper()]
        assert ("requestBody" in operation) == reads.has_body, path
        needed = operation.get("requestBody", {}).get("required", True)
        assert needed != reads.may_be_empty, path


def test_every_documented_outcome_exists_under_its_status() -> None:
    for operation in OPERATIONS:
        responses = WHOLE["paths"][operation.path][operation.method.lower()]["responses"]
        found = {}
        for status, response in responses.items():
            if status != "200":
                content = response["content"][PROBLEM]
                found |= dict.fromkeys(content["schema"]["allOf"][1]["properties"]["outcome"]["enum"], status)
                assert content["examples"].keys() == {name for name in found if found[name] == status}
        assert found == {outcome: str(OUTCOMES[outcome][0]) for outcome in outcomes_of(operation)}
    everywhere = {outcome for operation in OPERATIONS for outcome in outcomes_of(operation)}
    # No path's answers: there is no such path, or no such method of it.
    assert OUTCOMES.keys() - everywhere == {"not_found", "method_not_allowed"}


def test_the_examples_are_what_their_schemas_ask_for() -> None:
    for path, method, operation in operations():
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            schema_at(path, method, "requestBody", "content", "application/json").validate(content["example"])
        for status, response in operation["responses"].items():
            for kind, content in response["content"].items():
                schema = schema_at(path, method, "responses", status, "content", kind)
                values = [example["value"] for example in content.get("examples", {}).values()]
                values += [content["example"]] if "example" in content else []
                assert values or path == "/openapi.json"
                for value in values:
                    schema.validate(value)


def test_a_token_is_needed_but_for_the_description() -> None:
    scheme = WHOLE["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, _, operation in operations():
        assert operation["security"] == ([] if path == "/openapi.json" else [{"token": []}])
        assert ("401" in operation["responses"]) == (path != "/openapi.json")


def test_names_are_told_apart() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    assert all(id.replace("_", "").isalnum() for id in ids)


async def test_answers_are_as_described(brand: Brand) -> None:
    """One of each kind, held against the schema of its path and status."""
    product = f'[[product]]\ngtin = "{PRODUCT}"\ntitle = "Paint"\nurl = "https://p.example/"\n'
    await brand.apply(campaign_toml(pools=product + wheel() + locked() + friends()))
    lot = await brand.lot(3)
    scanner = brand.scanner()
    alice, bob, crm = brand.token("alice"), brand.token("bob"), brand.service_token()
    scan = await scanner.send(SCANS, alice, {"code": brand.code(lot, 0)})
    share = orjson.loads(scan.body)["share"]
    draw = {"campaign": "spring", "pool": "wheel", "request_id": "r"}
    grant = {"campaign": "spring", "pool": "locked", "request_id": "r", "member": "alice"}
    batch = {"scans": [{"member": "a", "code": brand.code(lot, 1)}, {"member": "a", "code": "x"}, {}]}
    answers = [
        (SCANS, scan),
        (SCANS, await scanner.send(SCANS, bob, {"code": brand.code(lot, 0)})),
        (SCANS, await scanner.send(SCANS, bob, {"code": 7})),
        (SCANS, await scanner.send(SCANS, "", {})),
        (BATCH, await scanner.send(BATCH, crm, batch)),
        (BATCH, await scanner.send(BATCH, bob, batch)),
        (DRAWS, await scanner.send(DRAWS, alice, draw)),
        (DRAWS, await scanner.send(DRAWS, bob, draw)),
        (GRANTS, await scanner.send(GRANTS, crm, grant)),
        (GRANTS, await scanner.send(GRANTS, crm, grant | {"pool": "none"})),
        (SHARES, await scanner.send(SHARES, bob, b"", parameter=share)),
        (SHARES, await scanner.send(SHARES, alice, b"", parameter=share)),
        (CODES, await scanner.send(CODES, bob, parameter=brand.code(lot, 0))),
        (CODES, await scanner.send(CODES, bob, parameter=brand.code(lot, 2))),
        (CODES, await scanner.send(CODES, bob, parameter="0" * 24)),
    ]
    assert len({(path, answer.status) for path, answer in answers}) == 14
    for path, answer in answers:
        answer_schema(path, answer).validate(orjson.loads(answer.body))
    # Control: a member of another type is noticed.
    body = orjson.loads(scan.body) | {"awards": "none"}
    assert not answer_schema(SCANS, scan).is_valid(body)


async def test_requests_that_are_refused_are_not_described_as_good() -> None:
    schema = schema_at(DRAWS, "post", "requestBody", "content", "application/json")
    good = {"campaign": "spring", "pool": "wheel", "request_id": "r"}
    assert schema.is_valid(good)
    for wrong in ({"pool": "A"}, {"request_id": ""}, {"paid": 7}, {"channel": "WX"}, {"member": ""}):
        assert not schema.is_valid(good | wrong), wrong


async def test_over_http(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run, run.phone() as phone:
        reply = await asyncio.wait_for(phone.send(http_get("/openapi.json")), PATIENCE_S)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert reply.data == WHOLE
        assert (await phone.send(http_get("/openapi.json?x=1"))).body == reply.body
        assert (await phone.send(http_get("/openapi.json", method="POST"))).headers["allow"] == "GET"
        _, metrics = await run.operations("/metrics")
        assert 'scanner_requests_total{outcome="described"} 2.0' in metrics
