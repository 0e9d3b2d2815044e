"""The same bytes to a service with the fast lane and to one without: the same answers, to the byte.

``make test`` plays some thousand cases, always the same. SCANNER_TEST_STEPS says how many mutated ones there
are, and then they are others each time, by a seed that a failure tells; SCANNER_TEST_SEED plays it again.
"""

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import uvloop

from scanner.service.fast_lane import _native
from scanner.service.fast_lane.connection import FastProtocol
from scanner.service.fast_lane.lane import FastLane
from scanner.service.heads import head_of
from scanner.service.metrics import CELL
from tests.fuzz.forms import corpus
from tests.fuzz.furnished import Hand
from tests.fuzz.mutations import body_mutated, cut, mutated, spliced
from tests.fuzz.seeds import Seed, scan
from tests.service.lanes import Lanes, Step, lanes_in, seeded

MUTATED = int(os.environ.get("SCANNER_TEST_STEPS", "2400"))
AT_ONCE = 200  # four sockets each, of the 1,024 that a process may have
OUTCOME = re.compile(rb'"outcome":"([a-z_]+)"(?:,"scan_id":"\w+","replayed":(true)?)?')
# What the scans of the corpus come to; a store that does not answer is another test's.
OUTCOMES = {
    *("accepted", "replayed", "malformed", "unauthorized", "forbidden", "pin_required", "pin_wrong"),
    *("unknown_code", "claimed", "not_active", "limit_reached", "blocked", "campaign_over", "throttled"),
    *("not_found", "method_not_allowed", "request_timeout", "length_required", "too_large", "uri_too_long"),
    *("unsupported_media_type", "headers_too_large", "genuine"),
}


class Case(NamedTuple):
    name: str
    steps: Sequence[Step]


class Play:
    """Plays cases on both lanes, many at once, and remembers which were answered otherwise."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.differences: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.numbers = iter(range(1, 10**6))
        self.played = 0
        self._table = lanes.fast.brand.keyring.table()

    def hand(self) -> Hand:
        return Hand(self.lanes.fast.brand, self._table, self.lanes.lots, next(self.numbers))

    async def play(self, cases: Iterator[Case]) -> None:
        async def one() -> None:
            for case in cases:
                await self._play(case)

        await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    async def _play(self, case: Case) -> None:
        self.played += 1
        fast, plain = await self.lanes.both(case.steps)
        for outcome, is_replayed in OUTCOME.findall(plain):
            self.outcomes["replayed" if is_replayed else outcome.decode()] += 1
        if fast != plain:
            steps = "\n".join(f"    {step!r}," for step in case.steps)
            self.differences.append(f"{case.name}\n{steps}\n  fast {fast!r}\n plain {plain!r}")

    def corpus(self) -> Iterator[Case]:
        for name, seed in corpus(self.hand()):
            yield Case(name, seed(self.hand()))

    def cuts(self) -> Iterator[Case]:
        """A scan cut in two at each place; and what follows it is another one."""
        for at in range(1, len(scan(self.hand()))):
            hand = self.hand()
            one = scan(hand)
            yield Case(f"cut at {at}", [one[:at], one[at:], None, scan(hand, k=1)])

    def mutated(self, rng: random.Random, count: int) -> Iterator[Case]:
        seeds = corpus(self.hand())
        for number in range(count):
            yield Case(f"mutated {number}", _mutated(rng, seeds, self.hand()))


def _mutated(rng: random.Random, seeds: Sequence[tuple[str, Seed]], hand: Hand) -> list[Step]:
    (_, seed), (_, other) = rng.choice(seeds), rng.choice(seeds)
    data = b"".join(step for step in seed(hand) if step)
    kind = rng.random()
    if kind < 0.4:
        data = body_mutated(rng, scan(hand, channel="shop", location={"lat": 1.5, "lng": 2}, pin="123456"))
    elif kind < 0.55:
        data = spliced(rng, data, b"".join(step for step in other(hand) if step))
    elif kind < 0.7:
        data = mutated(rng, scan(hand, "traceparent: x", "Connection: keep-alive"))
    else:
        data = mutated(rng, data or b"x")
    steps: list[Step] = [*cut(rng, data, rng.choice((1, 1, 1, 2, 4)))]
    if rng.random() < 0.3:
        steps = [scan(hand, k=2), *rng.choice(((), (None,))), *steps]
    if rng.random() < 0.5:
        steps += [*rng.choice(((), (None,))), scan(hand, k=3), None, scan(hand, k=3)]
    return [step for step in steps if step != b""]


@asynccontextmanager
async def played_in(tmp_path: Path) -> AsyncIterator[Play]:
    async with lanes_in(tmp_path / "data") as lanes:
        yield Play(lanes)


def counted(play: Play) -> tuple[dict[str, int], dict[str, int]]:
    """How many requests of each outcome the services have counted."""
    cells = [side.scanner.cells for side in (play.lanes.fast, play.lanes.plain)]
    found = [{name: one.get(name) for name in CELL if name.startswith("outcome.")} for one in cells]
    return found[0], found[1]


def test_no_bytes_are_answered_otherwise(tmp_path: Path) -> None:
    uvloop.run(no_bytes_are_answered_otherwise(tmp_path))


async def no_bytes_are_answered_otherwise(tmp_path: Path) -> None:
    async with played_in(tmp_path) as play:
        with seeded() as rng:
            await play.play(play.corpus())
            await play.play(play.cuts())
            await play.play(play.mutated(rng, MUTATED))
            told = "\n\n".join(play.differences[:20])
            assert not play.differences, f"{len(play.differences)} of {play.played} differ:\n{told}"
        assert play.outcomes.keys() >= OUTCOMES, OUTCOMES - play.outcomes.keys()
        fast, plain = counted(play)
        assert fast == plain
        assert fast["outcome.internal_error"] == 0
        latencies = [name for name in CELL if name.startswith("latency.")]
        assert sum(map(play.lanes.fast.scanner.cells.get, latencies)) == sum(fast.values())
        # Both ways were gone, by a good part of the requests each.
        assert 0.1 < play.lanes.fast.taken / sum(fast.values()) < 0.9
        entries = [sorted(sorted(entry.items()) for entry in side) for side in await play.lanes.entries()]
        assert entries[0] == entries[1]
        for side in (play.lanes.fast, play.lanes.plain):
            assert (await side.brand.audit()).differences == []


def _at_any_byte(lane: FastLane) -> None:
    """Takes a scan from where another request is still being read."""
    received = lane.received

    def forgetful(connection: FastProtocol, data: bytes) -> bool:
        connection.owed = 0
        return received(connection, data)

    lane.received = forgetful


def _deaf_to_an_end(lane: FastLane) -> None:
    """Takes a scan after which the client wants no more."""
    received = lane.received
    lane.received = lambda connection, data: received(connection, data.replace(b"Connection: close\r\n", b""))


def _strict(lane: FastLane) -> None:
    """Takes a code with hyphens for a forgery."""
    lane.carried = lambda text: (-2, None)


BROKEN = {
    "cut in a value, then whole": _at_any_byte,
    "closing first": _deaf_to_an_end,
    "carrier 1": _strict,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_lane_that_is_broken_is_found(tmp_path: Path, name: str) -> None:
    async def test() -> None:
        async with played_in(tmp_path) as play:
            BROKEN[name](play.lanes.fast.lane)
            found = [case for case in play.corpus() if case.name in BROKEN]
            await play.play(iter(found))
            assert len(found) == len(BROKEN)
            assert [told.partition("\n")[0] for told in play.differences] == [name]

    uvloop.run(test())


def test_a_header_that_is_another_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def head(status: int, content_type: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        return head_of(status, content_type, headers).replace(b"Server: scanner", b"server: scanner")

    async def test() -> None:
        async with played_in(tmp_path) as play:
            await play.play(iter([Case("plain", [scan(play.hand())])]))
            assert len(play.differences) == 1

    monkeypatch.setattr(_native, "head_of", head)
    uvloop.run(test())
