"""One peer's turn in a round: a fresh store and a fresh service, checked, measured, and checked again."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

from bench.compare.brand import Brand
from bench.compare.checks import SERIALS, check_answers, check_empty, check_ledger
from bench.compare.client import Client, Driven, Job
from bench.compare.cores import Cores
from bench.compare.peers import LOT, Peer, Place, Serving
from bench.compare.process import CompareError, cpu_seconds

IDLE_S = 1.0
# A worker looks at its store four times a second, whatever comes in. What forgeries cause is counted beyond
# what it does when idle, and beyond so many: looks are few, and no two seconds hold the same number.
LOOKS_COMMANDS = 20

Figures = dict[str, float]
"""Figures of one turn by name; a name ends in its unit, ``_us`` being microseconds a scan."""


@dataclass(frozen=True)
class Size:
    """How much a turn asks: requests of each part, seconds of open loop, connections."""

    warm: int
    closed: int
    open_s: float
    alone: int
    forged: int
    connections: int = 64


@dataclass(frozen=True)
class Rig:
    """What all turns share."""

    brand: Brand
    cores: Cores
    client: Client
    size: Size


async def turn(peer: Peer, rig: Rig, directory: Path, rate: float | None) -> Figures:
    """The peer's figures. ``rate`` is requests a second in open loop; None measures throughput alone.

    Raises:
        CompareError: the peer does not do the job.
        UnavailableError: it cannot run here.
    """
    size, warm = rig.size, rig.size.warm * peer.warm_times
    opened = 0 if rate is None else max(int(rate * size.open_s), 1)
    codes = SERIALS + warm + size.closed + opened + (0 if rate is None else size.alone)
    async with peer.start(Place(rig.brand, codes, rig.cores, directory)) as serving:
        check = check_answers if peer.does_the_job else check_empty
        accepted = await check(serving, rig.brand) + codes - SERIALS
        measure, serials = Measure(serving, rig), iter(range(SERIALS, codes))

        def scans(count: int) -> list[bytes]:
            return rig.brand.scans(LOT, islice(serials, count))

        await measure.driven(scans(warm), size.connections)
        figures = await measure.closed(scans(size.closed))
        if rate is not None:
            figures |= await measure.opened(scans(opened), rate)
            alone = await measure.driven(scans(size.alone), connections=1)
            figures["alone_p50_us"] = alone.p50_us
            if peer.does_the_job:
                figures |= await measure.forged(rig.brand.forgeries(LOT, range(size.forged)))
        if peer.does_the_job:
            await check_ledger(serving, accepted)
    return figures


class Measure:
    """Drives a peer that serves, and reads what that cost it and its store."""

    def __init__(self, serving: Serving, rig: Rig) -> None:
        self._serving = serving
        self._rig = rig
        self._before = self._cpu_s()

    async def closed(self, requests: Sequence[bytes]) -> Figures:
        """As fast as the peer answers."""
        claims, batches = await self._serving.batches()
        driven = await self.driven(requests, self._rig.size.connections)
        figures = self._cost("", len(requests))
        figures["throughput_per_s"] = len(requests) / driven.seconds
        figures["service_busy_share"] = figures["service_us"] * len(requests) / 1e6 / driven.seconds
        figures["client_busy_share"] = driven.busy
        claims_after, batches_after = await self._serving.batches()
        if batches_after > batches:
            figures["claims_per_batch"] = (claims_after - claims) / (batches_after - batches)
        return figures

    async def opened(self, requests: Sequence[bytes], rate: float) -> Figures:
        """At the same rate for every peer; latency counts from the moment at which a request is due."""
        driven = await self.driven(requests, self._rig.size.connections, rate)
        figures = self._cost("open_", len(requests))
        figures["open_p50_ms"] = driven.p50_us / 1000
        figures["open_p99_ms"] = driven.p99_us / 1000
        figures["open_kept_share"] = len(requests) / driven.seconds / rate
        figures["open_late_share"] = driven.late
        return figures

    async def forged(self, requests: Sequence[bytes]) -> Figures:
        """Forged codes: what refusing one costs, and how many commands the store executed meanwhile, beside
        those of as many seconds without a scan."""
        idle, idle_s = await self._commands(asyncio.sleep(IDLE_S))
        driving = self.driven(requests, self._rig.size.connections, status="404")
        commands, seconds = await self._commands(driving)
        figures = self._cost("forged_", len(requests))
        looks = idle / idle_s * seconds
        if commands > looks + LOOKS_COMMANDS:
            raise CompareError(
                f"while {len(requests):,} forged codes came its store executed {commands:,} commands, "
                f"and {looks:.0f} are its own looks"
            )
        figures |= {"forged_commands": commands, "forged_looks": looks}
        return figures

    async def driven(
        self, requests: Sequence[bytes], connections: int, rate: float | None = None, status: str = "200"
    ) -> Driven:
        """Drives the requests; what it cost is known until the next time."""

        def begin() -> None:
            self._before = self._cpu_s()

        job = Job(self._serving.address, requests, connections, rate)
        driven = await self._rig.client.drive(job, begin)
        self._after = self._cpu_s()
        if driven.statuses != {status: len(requests)} or driven.failures:
            raise CompareError(
                f"{len(requests):,} requests, and not all were answered {status}: "
                f"{driven.statuses}, failed {driven.failures}"
            )
        return driven

    async def _commands(self, work: Awaitable[object]) -> tuple[int, float]:
        """How many commands the store executed during the work, and how many seconds it took."""
        before, began_s = await self._serving.commands(), perf_counter()
        await work
        seconds, after = perf_counter() - began_s, await self._serving.commands()
        return sum(after.values()) - sum(before.values()), seconds

    def _cost(self, name: str, count: int) -> Figures:
        service_s, store_s = (after - before for before, after in zip(self._before, self._after, strict=True))
        figures = {f"{name}service_us": service_s * 1e6 / count}
        if self._serving.store is not None:
            figures[f"{name}store_us"] = store_s * 1e6 / count
        return figures

    def _cpu_s(self) -> tuple[float, float]:
        """CPU seconds of the service and of the store so far."""
        store = self._serving.store
        if store is None:
            return cpu_seconds(self._serving.pid), 0.0
        if store.pid is None:
            raise CompareError("its store is gone")
        return cpu_seconds(self._serving.pid), cpu_seconds(store.pid)
