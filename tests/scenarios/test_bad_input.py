"""Bad input over HTTP: each gets the outcome of the contract, none a traceback or a 500."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import orjson
import pytest

from tests.brand import campaign_toml
from tests.phone import http_request, scan_request
from tests.running import Running, running

CODE = "0" * 24


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml())
        yield run


def body(**members: object) -> bytes:
    return orjson.dumps({"code": CODE, **members})


MALFORMED = {
    "empty": (b"", ""),
    "not JSON": (b"{", ""),
    "not UTF-8": (b'{"code":"\xff\xfe"}', ""),
    "an array": (b"[]", ""),
    "a number": (b"1", ""),
    "null": (b"null", ""),
    "deeply nested": (b"[" * 4000 + b"]" * 4000, ""),
    "deeply nested inside": (b'{"code":' + b'{"a":' * 1300 + b"1" + b"}" * 1300 + b"}", ""),
    "no code": (b"{}", "code"),
    "code null": (body(code=None), "code"),
    "code a number": (body(code=1), "code"),
    "code a list": (body(code=[CODE]), "code"),
    "code empty": (body(code=""), "code"),
    "code too long": (body(code="0" * 513), "code"),
    "code too short": (body(code="0" * 23), "code"),
    "code of other letters": (body(code="U" * 24), "code"),
    "code not ASCII": (body(code="零" * 24), "code"),
    "code a URL without one": (body(code="https://s.example/"), "code"),
    "code of another scheme": (body(code=f"javascript:{CODE}"), "code"),
    "code with a wrong GTIN": (body(code="https://a.b/01/06901234567893/21/" + "A" * 20), "code"),
    "pin a number": (body(pin=123456), "pin"),
    "pin too short": (body(pin="12345"), "pin"),
    "pin of other digits": (body(pin="１２３４５６"), "pin"),
    "channel in capitals": (body(channel="WX"), "channel"),
    "channel too long": (body(channel="a" * 33), "channel"),
    "channel a list": (body(channel=["a"]), "channel"),
    "location a string": (body(location="here"), "location"),
    "location half": (body(location={"lat": 1}), "location.lng"),
    "location out of bounds": (body(location={"lat": 91, "lng": 0}), "location.lat"),
    "location a word": (body(location={"lat": "1", "lng": 0}), "location.lat"),
    "location infinite": (
        b'{"code":"' + CODE.encode() + b'","location":{"lat":Infinity,"lng":0}}',
        "",
    ),
}


async def test_a_malformed_body_is_refused_and_its_field_named(run: Running) -> None:
    token = run.brand.token("alice")
    async with run.phone() as phone:
        for name, (data, field) in MALFORMED.items():
            reply = await phone.send(http_request(data, authorization=f"Bearer {token}"))
            assert (reply.status, reply.outcome) == (400, "malformed"), name
            assert reply.headers["content-type"] == "application/problem+json", name
            assert str(reply.data["detail"]).startswith(field), (name, reply.body)
            assert b"Traceback" not in reply.body


async def test_a_token_that_is_none_is_refused(run: Running) -> None:
    good = run.brand.token("alice")
    claims = {"sub": "alice", "aud": "scanner", "exp": int(time.time()) + 60}
    key = next(iter(run.brand.token_keys.keys.values()))
    tokens = {
        "none at all": {},
        "another scheme": {"authorization": f"Basic {good}"},
        "no token": {"authorization": "Bearer "},
        "alg none": {"authorization": "Bearer " + jwt.encode(claims, None, algorithm="none")},
        "alg none, old signature": {
            "authorization": "Bearer " + jwt.encode(claims, None, algorithm="none") + good.rpartition(".")[2]
        },
        "alg HS512": {"authorization": "Bearer " + jwt.encode(claims, key * 2, algorithm="HS512")},
        "another key": {"authorization": "Bearer " + jwt.encode(claims, b"k" * 32, algorithm="HS256")},
        "expired": {"authorization": "Bearer " + jwt.encode({**claims, "exp": 1}, key, algorithm="HS256")},
        "no exp": {
            "authorization": "Bearer " + jwt.encode({"sub": "a", "aud": "scanner"}, key, algorithm="HS256")
        },
        "another audience": {
            "authorization": "Bearer " + jwt.encode({**claims, "aud": "x"}, key, algorithm="HS256")
        },
        "garbage": {"authorization": "Bearer a.b.c"},
        "too long": {"authorization": "Bearer " + "a" * 3000},
    }
    async with run.phone() as phone:
        for name, headers in tokens.items():
            reply = await phone.send(http_request(body(), **headers))
            assert (reply.status, reply.outcome) == (401, "unauthorized"), name
            assert reply.headers["www-authenticate"] == "Bearer", name
        assert (await phone.send(http_request(body(), authorization=f"Bearer {good}"))).status == 404


async def test_a_megabyte_is_too_large(run: Running) -> None:
    async with run.phone() as phone:
        request = scan_request(run.brand.token("alice"), CODE, junk="x" * (1 << 20))
        reply = await phone.send(request)
    assert (reply.status, reply.outcome) == (413, "too_large")


async def test_the_service_is_as_well_as_before(run: Running) -> None:
    """After all that: a scan wins, and nothing was counted as an error of ours."""
    lot = await run.brand.lot(1)
    assert (await run.scan("alice", run.brand.code(lot, 0))).outcome == "accepted"
    status, text = await run.operations("/metrics")
    assert status == 200
    assert 'scanner_requests_total{outcome="internal_error"} 0.0' in text
