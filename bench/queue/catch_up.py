"""A group that stood still for long catches up, while scans arrive at a fixed rate through a real service.

The backlog is written by the claim function. What arrives comes over HTTP and in open loop: however much of
the machine the reader takes, no fewer scans are sent. The reader is the inbox's.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

from bench.brand import campaign_file
from bench.growth.own_service import CONNECTIONS, OwnService, own_service
from bench.queue.filled import Advance, fill
from bench.queue.reading import environment_of, reading
from bench.store import stop_if_cancelled
from bench.suites import BenchError
from loadtests.generator import Outcome, drive
from loadtests.generator.scans import scan_requests

GROUP: Final = "late"
LOOK_S: Final = 0.05
ALONE_S: Final = 3.0
"""Scans arrive for so long before the group begins to read."""
SECONDS_MAX: Final = 600
NEAR_S: Final = 0.25
"""Who is behind by what arrives in so long has caught up: a batch is always on its way."""
ANY_NUMBER: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """``read`` and ``arrived`` are entries a second while it caught up, ``ratio`` the one by the other. The
    rest is of the scans: what was refused, their p99, and how many could not be sent in time."""

    backlog: int
    behind: int
    seconds: float
    read: float
    arrived: float
    ratio: float
    scans: int
    refused: int
    p99_ms: float
    late_share: float


class Place(NamedTuple):
    """Where the group stands: what it has done, and all that there is."""

    at_s: float
    done: int
    added: int

    @property
    def behind(self) -> int:
        return self.added - self.done


async def catch_ups(backlog: int, rate: float, advance: Advance) -> AsyncIterator[CaughtUp]:
    """One row.

    Raises:
        BenchError: it has not caught up in ten minutes, or not all that were sent was accepted or refused.
    """
    async with own_service(workers=1) as own:
        await own.private.set("appendfsync", "no")
        await fill(own.private, backlog, advance, kid=own.kid)
        await own.private.set("appendfsync", "always")
        yield await _caught_up(own, backlog, rate)


async def _caught_up(own: OwnService, backlog: int, rate: float) -> CaughtUp:
    store, is_over = own.private.store, False
    await store.client.xgroup_create(store.keys.events, GROUP, "0")
    requests = takewhile(lambda _: not is_over, scan_requests(await _codes(own, rate), own.tokens))
    settings = own.supervisor.settings
    arriving = asyncio.create_task(
        drive((settings.host, settings.port), requests, connections=CONNECTIONS, rate=rate)
    )
    try:
        await asyncio.sleep(ALONE_S)
        with tempfile.TemporaryDirectory(prefix="scanner-bench-") as name:
            database = str(Path(name, "effects.db"))
            arguments = ("--events", str(ANY_NUMBER), "--group", GROUP, "--database", database)
            async with reading(await environment_of(store), "inbox", *arguments):
                began, ended = await _watched(own, rate)
        is_over = True
        outcome = await arriving
    finally:
        arriving.cancel()
    return _figures(backlog, began, ended, outcome)


async def _codes(own: OwnService, rate: float) -> list[str]:
    plan = await own.private.apply(campaign_file("arrivals"))
    most = int(rate * SECONDS_MAX)
    return own.minted(await own.private.lot(plan.id, most, kid=own.kid), 0, most)


async def _watched(own: OwnService, rate: float) -> tuple[Place, Place]:
    """Where the group stood when it began to read, and when it had caught up."""
    deadline, began = time.perf_counter() + SECONDS_MAX, None
    while time.perf_counter() < deadline:
        stop_if_cancelled()
        place = await _place(own)
        if began is None and place.done:
            began = place
        if began is not None and place.behind <= rate * NEAR_S:
            return began, place
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"in {SECONDS_MAX} s the group has not caught up")


async def _place(own: OwnService) -> Place:
    client, events = own.private.store.client, own.private.store.keys.events
    pipe = client.pipeline(transaction=True)
    pipe.xinfo_groups(events)
    pipe.xinfo_stream(events)
    [group], stream = await pipe.execute()
    done = int(group["entries-read"] or 0) - int(group["pending"])
    return Place(time.perf_counter(), done, int(stream["entries-added"]))


def _figures(backlog: int, began: Place, ended: Place, outcome: Outcome) -> CaughtUp:
    if outcome.failures or set(outcome.statuses) - {200, 503}:
        raise BenchError(f"of the scans: {dict(outcome.statuses)}, {dict(outcome.failures)}")
    seconds = ended.at_s - began.at_s
    read, arrived = (ended.done - began.done) / seconds, (ended.added - began.added) / seconds
    return CaughtUp(
        backlog=backlog,
        behind=began.behind,
        seconds=seconds,
        read=read,
        arrived=arrived,
        ratio=read / arrived,
        scans=outcome.answers,
        refused=outcome.statuses[503],
        p99_ms=outcome.percentile_us(99) / 1000,
        late_share=outcome.late / outcome.requests,
    )
