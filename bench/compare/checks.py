"""Whether a peer really does the job: what it answers, and what its store holds at the end.

A service that answers fast and wrongly is not slower or faster than another: it is no peer. So a check that
fails ends the comparison.
"""

import asyncio
import json
from typing import Any

import aiohttp

from bench.compare.brand import CHANNEL, MEMBERS, Brand, full_pools
from bench.compare.peers import LOT, Serving
from bench.compare.process import Address, CompareError

# Serials that the check of the answers scans; the load begins after them.
RACED, REPEATED, UNTOUCHED = 0, 1, 2
SERIALS = 3
RACERS = 16


class _Phone:
    def __init__(self, session: aiohttp.ClientSession, address: Address, brand: Brand) -> None:
        self._session = session
        self._url = "http://{}:{}/v1/scans".format(*address)
        self._brand = brand

    async def scan(self, member: int, code: str, token: str = "") -> tuple[str, dict[str, Any]]:
        """What came, in a word, and the answer: ``accepted``, ``replayed``, or status and outcome."""
        headers = {"Authorization": f"Bearer {token or self._brand.tokens[member]}"}
        async with self._session.post(
            self._url, json={"code": code, "channel": CHANNEL}, headers=headers
        ) as answer:
            data = _object(await answer.read())
            if answer.status == 200 and data.get("outcome") == "accepted":
                return "replayed" if data.get("replayed") else "accepted", data
            return f"{answer.status} {data.get('outcome')}", data


async def check_answers(serving: Serving, brand: Brand) -> int:
    """Scans a few codes in every way; how many were accepted.

    Raises:
        CompareError: an answer is not the one that the job asks for.
    """
    async with aiohttp.ClientSession() as session:
        phone = _Phone(session, serving.address, brand)
        code = brand.code(LOT, REPEATED)
        said, first = await phone.scan(1, code)
        _expect("a genuine code", said, "accepted")
        _expect_awards(first)
        said, again = await phone.scan(1, code)
        _expect("the same code from the same member", said, "replayed")
        if {**again, "replayed": False} != first:
            raise CompareError("the same member was answered otherwise the second time")
        _expect("the same code from somebody else", (await phone.scan(2, code))[0], "409 claimed")
        forged = brand.forged(LOT, UNTOUCHED)
        _expect("a forged code", (await phone.scan(3, forged))[0], "404 unknown_code")
        token = brand.tokens[4]
        wrong = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
        said, _ = await phone.scan(4, brand.code(LOT, UNTOUCHED), wrong)
        _expect("a token with a wrong signature", said, "401 unauthorized")
        raced = await asyncio.gather(*(phone.scan(n, brand.code(LOT, RACED)) for n in range(RACERS)))
        winners = sum(said == "accepted" for said, _ in raced)
        if winners != 1:
            raise CompareError(f"of {RACERS} members with one code at once {winners} won")
    return 2


async def check_empty(serving: Serving, brand: Brand) -> int:
    """The empty handler accepts everything and stores nothing."""
    async with aiohttp.ClientSession() as session:
        said, _ = await _Phone(session, serving.address, brand).scan(1, brand.code(LOT, UNTOUCHED))
        _expect("any code", said, "accepted")
    return 0


async def check_ledger(serving: Serving, accepted: int) -> None:
    """Holds the store against what was answered.

    Raises:
        CompareError: events, stock or, of scanner, the audit do not agree with it.
    """
    ledger = await serving.ledger()
    if ledger.faults:
        raise CompareError(f"its ledger does not add up: {ledger.faults[0]}")
    if ledger.events != accepted:
        raise CompareError(f"{accepted:,} scans were accepted, and its stream has {ledger.events:,} events")
    for pool, prizes in full_pools().items():
        taken = sum(prizes.values()) - sum(ledger.left[pool].values())
        if taken != accepted:
            raise CompareError(f"{accepted:,} scans were accepted, and {taken:,} pieces left pool {pool}")


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; an empty one where it is something else, such as the text of a 500."""
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _expect(what: str, said: str, expected: str) -> None:
    if said != expected:
        raise CompareError(f"{what} was answered {said}, not {expected}")


def _expect_awards(answer: dict[str, Any]) -> None:
    pools = {award["pool"] for award in answer.get("awards", ())}
    if "points" not in pools or not pools <= set(full_pools()):
        raise CompareError(f"an accepted scan won in {sorted(pools)}: every scan wins points")


assert RACERS <= MEMBERS
