"""Consumers are killed at random while scans arrive: each event has one effect, and none is missing.

Two processes of one group share the work, and are killed in every stage of it (``consuming.STAGES``); what a
dead one had comes to the other, or to the one that follows it.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from scanner.queue.events import read_event
from tests.brand import Brand, brand_in, campaign_toml
from tests.faults.consuming import GROUP, READY, STAGES, found_effects, make_tables
from tests.faults.figures import say
from tests.faults.rig import PATIENCE_MS
from tests.faults.seeds import seeded, share
from tests.postgres import Postgres
from tests.running import PATIENCE_S, eventually

KINDS = "sqlite", "postgresql", "asyncpg"
KILLS = share(12, 201) // len(KINDS)
FORMS = "batches", "handler"
MEMBERS, UNFINISHED_MAX = 40, 200
PROJECT = Path(__file__).parents[2]


class Victim:
    """A consumer's process."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        self._process, self.name, self._log = process, name, log
        self._wanted, self._reached = READY, asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.decode().strip() == self._wanted:
                self._reached.set()
        self._reached.set()

    async def reaches(self, stage: str) -> None:
        """Waits until it gets there once more."""
        await self.ready()
        self._wanted = stage
        self._reached.clear()
        await self.ready()

    async def ready(self) -> None:
        await self._reached.wait()
        assert not self._listening.done(), f"{self.name} ended by itself: {self._log.read_text()}"

    async def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        if self._process.returncode is None:
            self._process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Returns its exit code, once it has one."""
        await self._listening
        return await self._process.wait()


@dataclass
class Effects:
    """The brand whose scans arrive, the database, and the consumers between."""

    brand: Brand
    kind: str
    address: str
    way: str
    dice: Random
    victims: list[Victim] = field(default_factory=list)
    killed_at: Counter[str] = field(default_factory=Counter)

    async def start(self, name: str, *dies: str) -> Victim:
        form, seed = self.dice.choice(FORMS), str(self.dice.randrange(10**6))
        log = self.brand.settings.data_dir / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.consuming"),
                *(self.kind, self.address, self.way, form, name, seed, *dies),
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                cwd=PROJECT,
                env={**os.environ, "SCANNER_DATA_DIR": str(self.brand.settings.data_dir)},
            )
        return Victim(process, name, log)

    async def kill_one(self) -> None:
        """In a stage of its work; another one takes its place, under its name or a new one."""
        number = self.dice.randrange(len(self.victims))
        victim, stage = self.victims[number], self.dice.choice(STAGES)
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(self.dice.randrange(1, 4)):
                await victim.reaches(stage)
        await victim.kill()
        self.killed_at[stage] += 1
        name = (
            victim.name if self.dice.random() < 0.5 else f"{victim.name[:2]}-{sum(self.killed_at.values())}"
        )
        self.victims[number] = await self.start(name)

    async def one_dies(self, stage: str) -> None:
        """By itself, and so exactly there; another one takes its place, under its name."""
        await self.victims[0].ready()
        await self.victims[0].kill()
        self.victims[0] = await self.start(self.victims[0].name, stage)
        async with asyncio.timeout(PATIENCE_S):
            assert await self.victims[0].ended() == -signal.SIGKILL
        self.victims[0] = await self.start(self.victims[0].name)

    async def finish(self) -> None:
        """Lets the consumers finish what there is, and stops them."""
        await eventually(self._all_is_acknowledged, 120)
        await asyncio.gather(*(victim.ready() for victim in self.victims))
        assert [await victim.stop() for victim in self.victims] == [0] * len(self.victims)
        assert await self.brand.store.client.xlen(self.brand.store.keys.dead(GROUP)) == 0

    async def _all_is_acknowledged(self) -> bool:
        return await unfinished(self.brand) == 0

    async def judged(self) -> tuple[list[str], list[str]]:
        """Keys with more than one effect, and keys without one, of all that is in the stream."""
        entries = await self.brand.store.client.xrange(
            self.brand.store.keys.events, "-", "+", count=1_000_000
        )
        keys = {read_event(id, raw).key for id, raw in entries}
        found, recorded = await found_effects(self.address)
        assert set(found) <= keys
        if self.way == "inbox":
            assert recorded == sorted(set(recorded)) == sorted(keys)
        counts = Counter(found)
        return [key for key in keys if counts[key] > 1], [key for key in keys if counts[key] == 0]


async def unfinished(brand: Brand) -> int | None:
    """Entries that the group has not read, or not acknowledged; None where there is no group yet."""
    groups = await brand.store.client.xinfo_groups(brand.store.keys.events)
    return sum(group["lag"] + group["pending"] for group in groups) if groups else None


@asynccontextmanager
async def arriving(brand: Brand, dice: Random) -> AsyncIterator[Counter[str]]:
    """Scans come in bursts for as long as the block runs, and while not too many are unfinished: who is being
    killed falls behind. The counter's ``scans`` says how many."""
    lot, scanner, count = await brand.lot(1_000_000), brand.scanner(), Counter[str]()

    is_over = asyncio.Event()

    async def scans() -> None:
        while not is_over.is_set():
            await asyncio.sleep(dice.random() * 0.1)
            if (await unfinished(brand) or 0) > UNFINISHED_MAX:
                continue
            burst = range(count["scans"], count["scans"] + dice.randrange(1, 20))
            members = [f"m{dice.randrange(MEMBERS)}" for _ in burst]
            codes = brand.codes(lot, burst)
            answers = await asyncio.gather(*(scanner.scan(*one) for one in zip(members, codes, strict=True)))
            assert {answer["outcome"] for answer in answers} == {"accepted"}
            count["scans"] += len(burst)

    task = asyncio.create_task(scans())
    try:
        yield count
    finally:
        is_over.set()
        await task


@asynccontextmanager
async def consumed(
    kind: str, way: str, tmp_path: Path, request: pytest.FixtureRequest, dice: Random
) -> AsyncIterator[Effects]:
    if kind == "sqlite":
        address = f"sqlite+aiosqlite:///{tmp_path}/effects.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        address = (await server.database()).url
    await make_tables(address)
    async with AsyncExitStack() as stack:
        brand = await stack.enter_async_context(brand_in(tmp_path / "data", store_timeout_ms=PATIENCE_MS))
        await brand.apply(campaign_toml())
        effects = Effects(brand, kind, address, way, dice)
        try:
            effects.victims = [await effects.start(f"c{number}") for number in range(2)]
            yield effects
        finally:
            for victim in effects.victims:
                await victim.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_each_event_has_exactly_one_effect(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with seeded() as dice:
        async with consumed(kind, "inbox", tmp_path, request, dice) as effects:
            async with arriving(effects.brand, dice) as count:
                for _ in range(KILLS):
                    await effects.kill_one()
            await effects.finish()
            assert await effects.judged() == ([], [])
        say(
            f"consumers on {kind} killed {KILLS} times ({dict(effects.killed_at)}), {count['scans']} scans: "
            "each has one effect, 0 missing, 0 twice"
        )


CONTROLS = {
    "none": ("without an inbox", ["committed"]),
    "apart": ("recorded in a transaction of its own before the effect", ["recorded", "begun", "done"]),
}


@pytest.mark.parametrize("way", CONTROLS)
async def test_control_another_way_is_caught(
    way: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    what, stages = CONTROLS[way]
    with seeded() as dice:
        async with consumed("sqlite", way, tmp_path, request, dice) as effects:
            async with arriving(effects.brand, dice):
                for stage in stages:
                    await effects.one_dies(stage)
            await effects.finish()
            twice, missing = await effects.judged()
            assert twice if way == "none" else missing
            assert not (missing if way == "none" else twice)
            found = f"{len(twice)} events have several effects, {len(missing)} have none"
            say(f"control, {what}, killed at {', '.join(stages)}: {found}")
