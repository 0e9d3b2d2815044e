"""A soak: whether a service that has answered millions of scans is as large as one that has answered a few.

The store is not logged, and its stream is trimmed, so that the disk and the ledger do not grow meanwhile.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import psutil

from bench.brand import campaign_file
from bench.growth.own_service import OwnService, own_service
from bench.suites import BenchError
from scanner.codes.format import SERIAL_MAX

PARTS: Final = 10
AT_ONCE: Final = 20_000
"""Codes that are minted, and scanned, before the next ones are."""


@dataclass(frozen=True, slots=True)
class Tenth:
    """After so many scans. Memory is in bytes; what it grew by, since the tenth before, in bytes a scan."""

    scans: int
    workers_rss: int
    store_bytes: int
    workers_growth: float
    store_growth: float


async def soak(scans: int, *, workers: int) -> AsyncIterator[Tenth]:
    """Drives so many scans, in ten parts. Raises BenchError where a worker was restarted on the way."""
    async with own_service(workers=workers, logged=False) as own:
        plan = await own.private.apply(campaign_file())
        part = max(scans // PARTS, 1)
        pids, done = own.supervisor.worker_pids, 0
        rss, data = await _memory(own)
        while done < scans:
            end = min(done + part, scans)
            await _scan(own, plan.id, end - done)
            if own.supervisor.worker_pids != pids:
                raise BenchError("a worker was restarted: what is measured is another process")
            before, (rss, data) = (rss, data), await _memory(own)
            yield Tenth(end, rss, data, (rss - before[0]) / (end - done), (data - before[1]) / (end - done))
            done = end


async def _scan(own: OwnService, campaign: str, scans: int) -> None:
    """All codes of a new lot."""
    assert scans <= SERIAL_MAX + 1, "a tenth fits into a lot"
    lot = await own.private.lot(campaign, scans, kid=own.kid)
    for first in range(0, scans, AT_ONCE):
        await own.scan(own.minted(lot, first, min(AT_ONCE, scans - first)))
        await own.private.trim(AT_ONCE)


async def _memory(own: OwnService) -> tuple[int, int]:
    """The workers' resident memory, and the store's data without the stream."""
    rss = sum(psutil.Process(pid).memory_info().rss for pid in own.supervisor.worker_pids)
    return rss, await own.private.memory_bytes()
