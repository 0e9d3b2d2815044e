"""One request of every kind to a shop whose store is in trouble, and whether the answers could be true.

Trouble may make an answer `unavailable`. It may never make it another one: not an error of ours, and not a
*no* to somebody who has won, or will.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple
from urllib.parse import quote

import orjson

from tests.brand import BATCH, DRAWS, Brand, campaign_toml
from tests.phone import Phone, Reply, scan_request
from tests.running import PATIENCE_S, eventually
from tests.service.pools import http_get, http_to, locked, wheel

LOT_SIZE = 4096
UNKNOWN = ("unavailable", "overloaded")


class Question(NamedTuple):
    """A request, and the outcomes that are true of it."""

    kind: str
    request: bytes
    truth: tuple[str, ...]


class Asked(NamedTuple):
    question: Question
    reply: Reply
    outcome: str

    @property
    def is_true(self) -> bool:
        return self.outcome in self.question.truth

    @property
    def fault(self) -> str:
        """What is wrong with the answer; "" where it is true, or says that it is unknown."""
        reply = self.reply
        if self.is_true or (self.outcome in UNKNOWN and self._comes_again()):
            return ""
        return f"{self.question.kind} was answered {reply.status} {reply.body[:300]!r}, {dict(reply.headers)}"

    def _comes_again(self) -> bool:
        reply = self.reply
        return reply.status == 200 or (reply.status == 503 and int(reply.headers.get("retry-after", "0")) > 0)


def outcome_of(reply: Reply) -> str:
    """The answer's outcome; a batch's is that of its one scan, a look-up's says whether it was scanned."""
    data = reply.data
    if "results" in data:
        [data] = data["results"]  # type: ignore[misc]
    if data["outcome"] == "genuine":
        return "scanned" if data["scanned"] else "not scanned"
    return "replayed" if data.get("replayed") else str(data["outcome"])


@dataclass
class Shop:
    """A brand with a campaign, and a code that alice has claimed."""

    brand: Brand
    lot: int
    fresh: "count[int]" = field(default_factory=lambda: count(1))

    @classmethod
    async def open(cls, brand: Brand) -> "Shop":
        await brand.apply(campaign_toml(pools=wheel(stock=100_000) + locked(stock=100_000)))
        shop = cls(brand, await brand.lot(LOT_SIZE))
        assert (await brand.scanner().scan("alice", shop.claimed))["outcome"] == "accepted"
        return shop

    @property
    def claimed(self) -> str:
        return self.brand.code(self.lot, 0)

    def questions(self) -> list[Question]:
        """One of each kind, with codes and request ids that nobody has used."""
        brand, fresh = self.brand, self.fresh
        alice, bob, crm = brand.token("alice"), brand.token("bob"), brand.service_token()
        one, other, looked = (brand.code(self.lot, next(fresh)) for _ in range(3))
        draw = {"campaign": "spring", "pool": "wheel", "request_id": f"r{next(fresh)}", "member": "alice"}
        batch = {"scans": [{"member": "carol", "code": other}]}
        done = ("accepted", "replayed")
        return [
            Question("a first scan", scan_request(alice, one), done),
            Question("a repeated scan", scan_request(alice, self.claimed), ("replayed",)),
            Question("somebody else's code", scan_request(bob, self.claimed), ("claimed",)),
            Question("a forgery", scan_request(bob, "0" * 24), ("unknown_code",)),
            Question("a batch", _post(BATCH, crm, batch), done),
            Question("a draw", _post(DRAWS, crm, {**draw, "paid": {"points": 100}}), done),
            Question("a look-up", _look_up(alice, self.claimed), ("scanned",)),
            Question("a look-up of a free code", _look_up(alice, looked), ("not scanned",)),
        ]


def _post(path: str, token: str, body: object) -> bytes:
    return http_to(path, orjson.dumps(body), authorization=f"Bearer {token}")


def _look_up(token: str, code: str) -> bytes:
    return http_get(f"/v1/codes/{quote(code)}", f"Authorization: Bearer {token}")


async def ask(port: int, questions: list[Question]) -> list[Asked]:
    """All of them at once, each on a connection of its own."""

    async def one(question: Question) -> Asked:
        async with asyncio.timeout(PATIENCE_S), Phone(port) as phone:
            reply = await phone.send(question.request)
        return Asked(question, reply, outcome_of(reply))

    return list(await asyncio.gather(*map(one, questions)))


async def ask_until_true(port: int, questions: list[Question]) -> list[str]:
    """Asks again until every answer is the true one; returns the faults that were seen on the way."""
    faults: list[str] = []

    async def all_true() -> bool:
        answers = await ask(port, questions)
        faults.extend(asked.fault for asked in answers if asked.fault)
        return all(asked.is_true for asked in answers)

    await eventually(all_true)
    return faults
