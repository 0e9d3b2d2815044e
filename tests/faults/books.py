"""Whether the store's books agree with the notebook; they are read from the store as it is.

What may be wrong has six names: an acknowledged scan is *lost*; a code is awarded *double*; a pool or a
budget is *overspent*, or does not add up; a claim is *torn*, there without its entry or the other way round;
an unknown stays *unresolved*, or resolves to two results; and what `scanner audit` says.
"""

import asyncio
import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from scanner.codes import CodeId
from scanner.ledger.keys import BUCKET_SERIALS
from scanner.ledger.records import member_digest
from tests.brand import Brand
from tests.faults.notebook import Errand, Outcome

Piece = tuple[int, int]
"""Lot and serial."""


@dataclass
class Findings:
    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    overspent: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(f"{len(set(getattr(self, one.name)))} {one.name}" for one in fields(self)[:5])

    @property
    def all(self) -> list[str]:
        return [f"{one.name}: {text}" for one in fields(self) for text in getattr(self, one.name)]


class Entry(NamedTuple):
    """An accepted scan as the stream has it."""

    scan_id: str
    at_ms: int
    member: str
    awards: list[dict[str, object]]


Left = dict[str, dict[str, int]]
"""What remains, by ``pool:<id>`` and ``budget``: pieces and money."""


@dataclass
class Books:
    """The store's state: by code, the stream's entries and the claim (time, member); and what remains."""

    entries: dict[Piece, list[Entry]]
    claims: dict[Piece, tuple[int, bytes]]
    left: Left


async def read_books(brand: Brand) -> Books:
    client, keys = brand.store.client, brand.store.keys
    entries: dict[Piece, list[Entry]] = defaultdict(list)
    last = "0-0"
    while page := await client.xrange(keys.events, f"({last}", "+", count=1000):
        last = page[-1][0].decode()
        for _, raw in page:
            if raw[b"type"] == b"scan.accepted":
                text = {name.decode(): value.decode() for name, value in raw.items()}
                entry = Entry(text["id"], int(text["at"]), text["member"], orjson.loads(text["awards"]))
                entries[int(text["lot"]), int(text["serial"])].append(entry)
    claims: dict[Piece, tuple[int, bytes]] = {}
    for key in await _keys(brand, "claims:*"):
        _, lot, bucket = key.removeprefix(keys.prefix).split(":")
        for slot, record in (await client.hgetall(key)).items():
            piece = int(lot), int(bucket) * BUCKET_SERIALS + int(slot)
            claims[piece] = int.from_bytes(record[:6], "big"), record[8:16]
    return Books(dict(entries), claims, await read_left(brand))


async def read_left(brand: Brand) -> Left:
    """What can still be won; taken before the first scan it is what there was."""
    left: Left = {}
    for key in [*await _keys(brand, "pool:*"), *await _keys(brand, "budget:*")]:
        kind, _, rest = key.removeprefix(brand.store.keys.prefix).partition(":")
        name = f"pool:{rest.partition('/')[2]}" if kind == "pool" else "budget"
        values = await brand.store.client.hgetall(key)
        left[name] = {name.decode(): int(value) for name, value in values.items() if value != b"*"}
    return left


async def _keys(brand: Brand, pattern: str) -> list[str]:
    found, cursor = set(), 0
    while True:
        cursor, page = await brand.store.client.scan(
            cursor, match=brand.store.keys.prefix + pattern, count=1000
        )
        found.update(key.decode() for key in page)
        if not cursor:
            return sorted(found)


def judge_books(books: Books, left_before: Left, findings: Findings) -> None:
    """The store against itself: claims and entries, awards and what remains."""
    for piece, entries in books.entries.items():
        if len(entries) > 1:
            findings.double.append(f"{piece} stands {len(entries)} times in the stream")
        claim = books.claims.get(piece)
        if claim is None:
            findings.torn.append(f"{piece} is in the stream and was not claimed")
        elif claim not in [(entry.at_ms, member_digest(entry.member)) for entry in entries]:
            findings.torn.append(f"{piece} was claimed by another, or at another time, than its entry says")
    findings.torn += [
        f"{piece} was claimed and is not in the stream" for piece in books.claims.keys() - books.entries
    ]
    given = given_of(books)
    for name, before in left_before.items():
        for what, n in before.items():
            now, out = books.left[name][what], given[name, what]
            if now < 0 or out > n:
                findings.overspent.append(f"{name} {what}: {out} given of {n}, {now} left")
            elif now + out != n:
                findings.overspent.append(f"{name} {what}: {out} given and {now} left do not make {n}")


def given_of(books: Books) -> Counter[tuple[str, str]]:
    """What the entries say was given, by the names of what remains. Of money it is cash only."""
    given: Counter[tuple[str, str]] = Counter()
    for entries in books.entries.values():
        for award in (award for entry in entries for award in entry.awards):
            pool, prize, amount = str(award["pool"]), str(award["prize"]), int(str(award["amount"]))
            given[f"pool:{pool}", prize] += 1
            if award["kind"] == "cash":
                given[f"pool:{pool}", f"{prize}:money"] += amount
                given["budget", pool] += amount
                given["budget", "*"] += amount
    return given


def judge_answers(brand: Brand, said: dict[Errand, list[Outcome]], books: Books, findings: Findings) -> None:
    """The notebook against the store: each answer that was given is the one true answer, for ever."""
    table = brand.keyring.table()
    winners: dict[str, str] = {}
    for errand, outcomes in said.items():
        code = CodeId.unpack(table.verify(errand.code.encode()))
        entries = books.entries.get((code.lot, code.serial), [])
        answers = [(outcome.status, orjson.loads(outcome.body)) for outcome in outcomes if outcome.is_known]
        for status, answer in answers:
            _judge_answer(errand, status, answer, entries, findings)
        if sum(status == 200 and not answer["replayed"] for status, answer in answers) > 1:
            findings.double.append(f"{errand} was accepted more than once")
        if any(status == 200 for status, _ in answers):
            other = winners.setdefault(errand.code, errand.member)
            if other != errand.member:
                findings.double.append(f"{errand.code} was won by {other} and by {errand.member}")
        if len({_lasting(status, answer) for status, answer in answers}) > 1:
            findings.unresolved.append(f"{errand} had different answers: {answers}")
        strange = {outcome.status for outcome in outcomes} - {0, 200, 409, 503}
        if strange:
            findings.unresolved.append(f"{errand} was answered {strange}")


def _lasting(status: int, answer: dict[str, object]) -> tuple[object, ...]:
    """The part of an answer that never changes."""
    return status, *sorted((name, repr(value)) for name, value in answer.items() if name != "replayed")


def _judge_answer(
    errand: Errand, status: int, answer: dict[str, object], entries: list[Entry], findings: Findings
) -> None:
    if status == 200:
        told = answer["scan_id"], answer["scanned_at"], answer["awards"]
        mine = [entry for entry in entries if entry.member == errand.member]
        if not entries:
            findings.lost.append(f"{errand} was acknowledged and is not in the stream")
        elif told not in [(entry.scan_id, _iso(entry.at_ms), entry.awards) for entry in mine]:
            findings.lost.append(f"{errand} was acknowledged otherwise than the stream has it")
    elif answer.get("first_scanned_at") not in [_iso(entry.at_ms) for entry in entries]:
        findings.lost.append(f"{errand} was told of a claim that is not in the stream")
    elif any(entry.member == errand.member for entry in entries):
        findings.unresolved.append(f"{errand} was told that somebody else was first, and was first")


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03}Z"


async def audit_says(brand: Brand) -> list[str]:
    """What `scanner audit` writes where it does not exit with 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scanner", "audit", "--all"),
        env={**os.environ, **brand.settings.to_environment()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return [] if process.returncode == 0 else output.decode().splitlines()
