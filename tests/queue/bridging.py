"""A bridge as it is run, in this process or in one of its own that a test may kill; and what feeds it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from scanner.queue import Consumer
from scanner.queue.bridges.bridge import Progress, Target, carry
from scanner.queue.events import Event, event_of
from tests.brand import Brand, campaign_toml
from tests.queue.lives import Bridge
from tests.running import eventually

KILLS = 5
"""A chapter."""


def bridge(brand: Brand, directory: Path, *arguments: object, broken: str = "", **environment: str) -> Bridge:
    """``scanner queue bridge …`` on the brand's store, or one that is broken on purpose."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {
        "SCANNER_DATA_DIR": str(brand.settings.data_dir),
        "SCANNER_STORE_URL": "",
        "SCANNER_LOG_LEVEL": "info",
    }
    return Bridge(arguments, {**settings, **environment}, directory / "bridge.log", broken)


@asynccontextmanager
async def until_stopped(work: Coroutine[None, None, None], stop: asyncio.Event) -> AsyncIterator[None]:
    """While it works; in the end it is told to stop, and does."""
    working = asyncio.create_task(work)
    try:
        yield
        stop.set()
        async with asyncio.timeout(20):
            await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


@asynccontextmanager
async def carrying(brand: Brand, target: Target) -> AsyncIterator[Progress]:
    """A bridge in this process; in the end it stops."""
    stop, progress = asyncio.Event(), Progress("target", _wait_s=(0.01, 0.1))
    async with Consumer("bridge", "one", store=brand.store, settings=brand.settings, tries=None) as consumer:
        work = carry(consumer, target, brand="main", batch=100, progress=progress, stop=stop)
        try:
            async with until_stopped(work, stop):
                yield progress
        finally:
            await target.close()


async def is_at_a_loss(progress: Progress, tries: int) -> None:
    """Waits until it has tried so often in vain."""

    async def has_tried() -> bool:
        return progress.tries >= tries

    await eventually(has_tried, 40)


async def kill_at_random(brand: Brand, process: Bridge, till: "Till", dice: Random) -> None:
    """Kills it while scans arrive, and lets a last life, a sound one, acknowledge what is left."""
    try:
        for _ in range(KILLS):
            await process.start()
            await till.scan(dice.randrange(1, 30), dice)
            await process.has_said("bridging group")
            scanning = asyncio.create_task(till.scan(60, dice))
            await asyncio.sleep(dice.random() * 0.3)  # at any moment
            await process.kill()
            await scanning
        process.broken = ""  # so what is lost, or there twice, the kills have done
        await process.start()
        await process.has_said("bridging group")
        await eventually(lambda: nothing_is_left(brand), 60)
        await process.end()
    finally:
        await process.remove()


def event(no: int, member: str = "", **fields: str) -> Event:
    scan = {
        **{"type": "scan.accepted", "at": "1764000000000", "id": f"SCAN{no:012d}", "campaign": "spring"},
        **{"member": member or f"m{no}", "rules": "r", "product": "06901234567892", "lot": "1"},
        **{"serial": str(no), "awards": "[]"},
    }
    return event_of(f"1764000000000-{no}", {**scan, **fields})


class Till:
    """Scans that are accepted; it keeps their ids, by member, in the order of the answers."""

    def __init__(self, brand: Brand, members: int = 20) -> None:
        self._brand = brand
        self._scanner = brand.scanner()
        self._members = members
        self.of: dict[str, list[str]] = {}

    async def open(self) -> "Till":
        await self._brand.apply(campaign_toml())
        self._lot, self._next = await self._brand.lot(100_000), 0
        return self

    @property
    def ids(self) -> set[str]:
        return {id for ids in self.of.values() for id in ids}

    async def scan(self, n: int, dice: Random) -> None:
        for _ in range(n):
            member = f"m{dice.randrange(self._members)}"
            answer = await self._scanner.scan(member, self._brand.code(self._lot, self._next))
            self._next += 1
            assert answer["status"] == 200
            self.of.setdefault(member, []).append(str(answer["scan_id"]))


def first_of_each(ids: list[str]) -> list[str]:
    """What is left after deduplication, in the order of the first copies."""
    return list(dict.fromkeys(ids))


def in_their_order(came: list[str], till: Till) -> bool:
    """Whether each member's scans came in the order of their answers, copies aside."""
    first = first_of_each(came)
    return all([id for id in first if id in set(ids)] == ids for ids in till.of.values())


async def groups_of(brand: Brand) -> list[dict[str, object]]:
    groups = await brand.store.client.execute_command("XINFO", "GROUPS", brand.store.keys.events)
    return [{name.decode(): value for name, value in _pairs(group)} for group in groups]


def _pairs(group):
    return group.items() if isinstance(group, dict) else zip(group[::2], group[1::2], strict=True)


async def unacknowledged(brand: Brand) -> int:
    """How many the only group there is has been given, and has not acknowledged."""
    [group] = await groups_of(brand)
    return int(str(group["pending"]))


async def nothing_is_left(brand: Brand) -> bool:
    """Whether the only group there is has been given everything, and has acknowledged it."""
    groups = await groups_of(brand)
    return [(group["pending"], group["lag"]) for group in groups] == [(0, 0)]
