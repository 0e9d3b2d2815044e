"""One generator process of an overload: its share of the arrivals, and a record of each request.

It reads its orders as a line of JSON, says ``ready``, begins at the next line, says ``began``, and ends with
a line about itself. Records and acknowledged scan_ids go to files.
"""

import asyncio
import gc
import random
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
import uvloop

from loadtests.answers import FIRST, TRY_AGAIN, told_at_a_glance
from loadtests.errors import LoadTestError
from loadtests.generator.caller import Caller
from loadtests.generator.connection import Connection
from loadtests.generator.drive import ClosedLoop, OpenLoop
from loadtests.generator.scans import scan_requests
from loadtests.generator.share import allow_connections
from loadtests.generator.target import Address
from loadtests.lines import read_lines
from loadtests.overload.records import FOUND_NO_CONNECTION, End, Records

WRONG_SHOWN = 5
# Before the first request is due: a service sees to the thousands of connections that were just opened.
LEAD_S = 1.0


@dataclass(frozen=True)
class Phase:
    """So many requests a second, for so long."""

    rate: float
    seconds: float


@dataclass(frozen=True)
class Orders:
    """What all processes do together, and which share this one has: number ``no`` of ``of``.

    Without ``phases`` it is closed loop, for ``seconds``. With ``evenly``, requests fall due at equal
    distances; else as people come, who know nothing of each other (a Poisson process of this ``seed``).
    """

    address: Address
    codes: str
    tokens: str
    records: str
    acknowledged: str
    connections: int
    phases: Sequence[Phase]
    seconds: float
    timeout_s: float
    evenly: bool
    seed: int
    no: int = 0
    of: int = 1

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def load(cls, line: str) -> "Orders":
        data = orjson.loads(line)
        phases = [Phase(**phase) for phase in data["phases"]]
        return cls(**{**data, "address": tuple(data["address"]), "phases": phases})


@dataclass
class About:
    """What a generator says of itself: CPU in seconds, and the first answers that were not to be."""

    seconds: float
    cpu_s: float
    wrong: list[str]


def due_times(phases: Iterable[Phase], *, no: int, of: int, evenly: bool, seed: int) -> "array[float]":
    """This share's moments at which a request is due, in seconds from the start, ascending."""
    due_s, begins_s = array("d"), 0.0
    chance = random.Random(seed * of + no)
    for phase in phases:
        ends_s = begins_s + phase.seconds
        if evenly:
            at_s = _at_distances(phase.rate, begins_s, no, of)
        else:
            at_s = _by_chance(chance, phase.rate / of, begins_s)
        for moment_s in at_s:
            if moment_s >= ends_s:
                break
            due_s.append(moment_s)
        begins_s = ends_s
    return due_s


def _at_distances(rate: float, from_s: float, no: int, of: int) -> Iterator[float]:
    return (from_s + n / rate for n in count(no, of))


def _by_chance(chance: random.Random, rate: float, at_s: float) -> Iterator[float]:
    while True:
        at_s += chance.expovariate(rate)
        yield at_s


class _Recorder(Caller):
    """Keeps a record of each request, beside what its loop does."""

    def prepare(self, lead_s: float) -> None:
        """Times in the records count from so many seconds after the beginning."""
        self._lead_s = lead_s
        self.records = Records()
        self.accepted: list[str] = []
        self.wrong: list[str] = []
        self._without: set[int] = set()  # requests that found no free connection

    def _begin(self) -> None:
        self._zero_s = self._began_s + self._lead_s
        sys.stdout.write(f"began {self._zero_s}\n")
        sys.stdout.flush()
        super()._begin()  # type: ignore[safe-super]

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        outcome, scan_id = told_at_a_glance(status, body)
        if outcome in FIRST:
            end = End.ACCEPTED
            self.accepted.append(scan_id)
        elif outcome in TRY_AGAIN:
            end = End.REFUSED
        else:
            end = End.WRONG
            if len(self.wrong) < WRONG_SHOWN:
                self.wrong.append(f"expected accepted, got {status} {body[:300].decode(errors='replace')}")
        self._record(connection.index, connection.counts_from_s, connection.sent_s, end)
        super().answered(connection, status, body)

    def lost(self, connection: Connection, reason: str) -> None:
        if reason:
            self._record(connection.index, connection.counts_from_s, connection.sent_s, End.NEVER_ANSWERED)
        super().lost(connection, reason)

    def _record(self, index: int, due_s: float, sent_s: float, end: End) -> None:
        zero_s = self._zero_s
        self.records.add(
            due_s - zero_s,
            sent_s - zero_s,
            perf_counter() - zero_s,
            end | FOUND_NO_CONNECTION if index in self._without else end,
        )


class _Open(_Recorder, OpenLoop):
    def _take(self) -> tuple[bytes, int] | None:
        taken = super()._take()
        if taken is not None and not self._idle:
            self._without.add(taken[1])
        return taken

    def _give_up_waiting(self, since_s: float) -> None:
        while self._waiting and self._waiting[0][2] < since_s:
            _, index, due_s = self._waiting.popleft()
            self.failures["never sent"] += 1
            self._record(index, due_s, perf_counter(), End.NEVER_SENT)


class _Closed(_Recorder, ClosedLoop):
    pass


async def generate(orders: Orders) -> tuple[_Recorder, About]:
    """Does this process's share."""
    requests = scan_requests(
        read_lines(Path(orders.codes), "codes"),
        read_lines(Path(orders.tokens), "tokens"),
        start=orders.no,
        step=orders.of,
    )
    due_s = due_times(orders.phases, no=orders.no, of=orders.of, evenly=orders.evenly, seed=orders.seed)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not await asyncio.to_thread(sys.stdin.readline):  # all begin together
        raise LoadTestError("whoever gave the orders is gone")
    caller: _Recorder
    if orders.phases:
        due_s = array("d", (LEAD_S + moment_s for moment_s in due_s))
        caller = _Open(orders.address, requests, None, orders.timeout_s, iter(due_s))
    else:
        caller = _Closed(orders.address, requests, None, orders.timeout_s)
    lead_s = LEAD_S if orders.phases else 0.0
    caller.prepare(lead_s)
    connections = max(1, orders.connections // orders.of)
    rest_s = 2 * orders.timeout_s if orders.phases else 0.0
    outcome = await caller.run(connections, lead_s + orders.seconds + rest_s)
    return caller, About(outcome.seconds, outcome.cpu_s, caller.wrong)


def main() -> None:
    """Exit code 1, and what is wrong on standard error, where it cannot be done."""
    try:
        orders = Orders.load(sys.stdin.readline())
        allow_connections(orders.connections // orders.of)
        # A walk over ten thousand connections takes longer than the service does to refuse; a run is short.
        gc.disable()
        caller, about = uvloop.run(generate(orders))
    except LoadTestError as error:
        sys.exit(str(error))
    caller.records.write(Path(orders.records))
    Path(orders.acknowledged).write_text("\n".join([*caller.accepted, ""]), "ascii")
    said: dict[str, Any] = asdict(about)
    sys.stdout.buffer.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
