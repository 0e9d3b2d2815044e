"""A whole service: CPU a scan of its workers and of its store, by how many workers and campaigns there are.

Phones keep it busy over loopback, and everything shares the machine: so CPU is counted, and held against that
of an empty aiohttp handler of the same moment.
"""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.brand import campaign_file
from bench.growth.own_service import CONNECTIONS, OwnService, own_service
from scanner.cli.yardstick import cpu_seconds, empty_handler_cpu_us

WORKERS: Final = (1, 2)
CAMPAIGNS: Final = (1, 10, 100)
ROUNDS: Final = 3
SCANS: Final = 5_000
"""A round, and before the first one: processes' CPU is counted in hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Serving:
    """CPU in microseconds a scan, of all workers and of the store's main thread; medians over the rounds."""

    workers: int
    campaigns: int
    service_us: float
    store_us: float
    empty_us: float
    ratio: float
    claims_per_batch: float


async def servings(scans: int = SCANS) -> AsyncIterator[Serving]:
    """Each number of workers with each number of campaigns."""
    for workers in WORKERS:
        async with own_service(workers=workers) as own:
            for campaigns in CAMPAIGNS:
                yield await _serving(own, workers, campaigns, scans)


async def _serving(own: OwnService, workers: int, campaigns: int, scans: int) -> Serving:
    codes = await _codes(own, campaigns, (ROUNDS + 1) * scans)
    await own.scan(codes[:scans])
    claims, batches = own.counted("claims"), own.counted("batches")
    rounds = []
    for start in range(scans, len(codes), scans):
        empty_us = await empty_handler_cpu_us(CONNECTIONS)
        service_s, store_s = await _cpu(own)
        await own.scan(codes[start : start + scans])
        service_end_s, store_end_s = await _cpu(own)
        rounds.append(
            ((service_end_s - service_s) * 1e6 / scans, (store_end_s - store_s) * 1e6 / scans, empty_us)
        )
    return Serving(
        workers,
        campaigns,
        *(median(column) for column in zip(*rounds, strict=True)),
        ratio=median(service_us / empty_us for service_us, _, empty_us in rounds),
        claims_per_batch=(own.counted("claims") - claims) / (own.counted("batches") - batches),
    )


async def _codes(own: OwnService, campaigns: int, count: int) -> list[str]:
    """Codes of so many campaigns, each with a lot of its own, in the order of a crowd: none."""
    codes: list[str] = []
    size = -(-count // campaigns)
    for no in range(campaigns):
        plan = await own.private.apply(campaign_file(f"of{campaigns}-{no}"))
        lot = await own.private.lot(plan.id, size, kid=own.kid)
        codes += own.minted(lot, 0, size)
    return random.Random(campaigns).sample(codes, count)


async def _cpu(own: OwnService) -> tuple[float, float]:
    """Seconds so far: of the workers, of the store."""
    return sum(map(cpu_seconds, own.supervisor.worker_pids)), await own.private.cpu_s()
