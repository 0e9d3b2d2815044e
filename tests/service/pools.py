"""Pools to test the endpoints with, as lines of a campaign file; and requests, good and bad."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scanner.service.problems import Answer
from tests.brand import Brand, campaign_toml
from tests.phone import http_request

TICKETS = """
[[pool]]
id = "tickets"
draw = "every"
[[pool.prize]]
id = "ticket"
kind = "chance"
pool = "wheel"
amount = {amount}
"""
WHEEL = """
[[pool]]
id = "wheel"
draw = "deck"
entered_by = "draw"
price = {{ points = 100 }}
game = "wheel"
{more}
[[pool.prize]]
id = "p5"
kind = "points"
amount = 5
stock = {stock}
"""
LOCKED = """
[[pool]]
id = "locked"
draw = "locked"
expires_after = "1h"
[[pool.prize]]
id = "cash"
kind = "cash"
amount = "5.00"
stock = {stock}
"""
FRIENDS = """
[[pool]]
id = "friends"
draw = "shared"
slots = {slots}
open_for = "1h"
{more}
[[pool.prize]]
id = "p7"
kind = "points"
amount = 7
stock = {stock}
"""


def wheel(stock: int = 10, more: str = "", amount: int = 2) -> str:
    """Each scan gives chances in a wheel of points, which costs 100 points otherwise."""
    return TICKETS.format(amount=amount) + WHEEL.format(stock=stock, more=more)


def locked(stock: int = 10) -> str:
    return LOCKED.format(stock=stock)


def friends(slots: int = 2, stock: int = 10, more: str = "") -> str:
    return FRIENDS.format(slots=slots, stock=stock, more=more)


def malformed(good: Mapping[str, Any], wrong: Mapping[str, Sequence[Any]]) -> Iterator[tuple[bytes, str]]:
    """Bodies that are refused, each with the field that must be named. ``wrong`` are values by field; one
    that is missing is wrong where the field stands in ``good``."""
    for data in (b"{", b"[]", b"1", b"null", b'"x"', b"\xff", b"{}{}", b"[" * 4000 + b"]" * 4000):
        yield data, ""
    for field in good:
        yield json.dumps({name: value for name, value in good.items() if name != field}).encode(), field
    for field, values in wrong.items():
        for value in values:
            yield json.dumps({**good, field: value}).encode(), field


ASK = {"campaign": "spring", "pool": "wheel", "request_id": "r1"}
BOUGHT = ASK | {"member": "alice", "paid": {"points": 100}}

NO_NAMES = ("", "A", "a b", "a/b", "a" * 33, "名", 7, None, True, ["spring"], {"id": "spring"})
NO_REQUEST_IDS = ("", "a" * 65, "a b", "a/b", "a\n", "請", 7, None, 1.5, ["r"], {})
NO_PERSONS = ("", "a" * 65, "a\n", "\u202e", "\x00", 7, True, ["m"], {})
NO_CHANNELS = ("", "WX", "a" * 33, "a b", 7, ["a"], {})


def http_to(path: str, body: bytes, **headers: str) -> bytes:
    """A whole POST request to a path."""
    return http_request(body, **headers).replace(b"/v1/scans", path.encode(), 1)


def http_get(path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: scanner.test", *lines, "", ""]).encode()


def as_replay(answer: Answer) -> bytes:
    """The body of an answer as its repetition must have it."""
    assert b'"replayed":false' in answer.body
    return answer.body.replace(b'"replayed":false', b'"replayed":true')


async def entries(brand: Brand, type: str) -> list[dict[str, str]]:
    """The ledger's entries of a type."""
    stream = await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=10_000)
    texts = [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in stream]
    return [text for text in texts if text["type"] == type]


async def with_chances(brand: Brand, pools: str | None = None, *, member: str = "alice") -> None:
    """A campaign in which the member has scanned once, and so may draw twice."""
    await brand.apply(campaign_toml(pools=pools or wheel()))
    lot = await brand.lot(1)
    assert (await brand.scanner().scan(member, brand.code(lot, 0)))["outcome"] == "accepted"
