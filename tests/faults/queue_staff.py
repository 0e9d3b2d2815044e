"""Who reads the stream while it is killed: some consumers in one group, and the keeper of the archive.

    async with rig(directory, dice, **KEEPING) as on, staffed(on, directory, dice) as staff:
        async with on.crowd() as crowd:
            await staff.strike("keeper", crowd)
            await crowd.stop()
        await staff.rest()

About half of the blows fall at random, half at a moment that was chosen before: a consumer dies by itself at
a stage of its n-th batch, and the keeper by strace at its n-th system call of a kind.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from scanner.ledger.watermark import entry_id
from scanner.queue.archive import Position, position
from tests.faults.crowd import Crowd
from tests.faults.queue_consumer import FORMS, GROUP, STAGES
from tests.faults.queue_effects import Effects
from tests.faults.queue_processes import Doomed
from tests.faults.rig import Rig
from tests.faults.strace import traced
from tests.running import eventually

Victim = Literal["consumer", "keeper", "store"]
KEEPING = {"archive_every_s": 1, "stream_keep_s": 0}
"""Settings of a keeper that copies often, and keeps nothing for long."""
CHOSEN = 50
"""Of a hundred lives, those that end at a chosen moment."""
YOUNG = 20
"""Of a hundred blows at random, those that may fall before the victim has begun its work."""
TORN = 50
"""Of a hundred keepers that are killed, those that leave a line of the manifest behind that is not whole."""
KEEPERS_CALLS = ("fsync", "sendto", "rename")
"""Files and manifest reach the disk; a command to the store leaves; a file gets its name."""
REST_S = 120


@dataclass
class Staff:
    on: Rig
    dice: Random
    database: Path
    keeper: Doomed
    consumers: list[Doomed]
    struck: Counter[str] = field(default_factory=Counter)
    """Kills, by whom and how."""
    chosen: set[Doomed] = field(default_factory=set)
    """The consumers whose end is chosen already."""

    async def strike(self, victim: Victim, crowd: Crowd) -> None:
        """Kills one of them while scans arrive, and starts it again."""
        await crowd.more(self.dice.randrange(1, 40))
        if victim == "store":
            await self.on.store.kill()
            await asyncio.sleep(self.dice.uniform(0, 0.3))
            await self.on.store.start()
            self.struck["store"] += 1
        elif victim == "keeper":
            while not await self._strike_keeper():
                await self.keeper.start()
            await self.keeper.start()
        else:
            consumer = self.dice.choice(self.consumers)
            while not await self._strike_consumer(consumer):
                await self.hire(consumer)
            await self.hire(consumer)

    async def hire(self, consumer: Doomed, dies: str | None = None) -> None:
        """Starts it; where nothing is said, it is by chance that its end is chosen."""
        self.chosen.discard(consumer)
        if dies is None and self.dice.randrange(100) < CHOSEN:
            dies = f"{self.dice.choice(STAGES)}:{self.dice.randrange(1, 8)}"
        if dies:
            self.chosen.add(consumer)
        await consumer.start(*(("--dies", dies) if dies else ()))

    async def _strike_consumer(self, consumer: Doomed) -> bool:
        how = "at a chosen moment" if consumer in self.chosen else "at random"
        if consumer in self.chosen:
            is_dead = await consumer.dead()
        else:
            if self.dice.randrange(100) >= YOUNG:
                await consumer.has_said("reading")
            await asyncio.sleep(self.dice.uniform(0, 0.3))
            is_dead = await consumer.kill()
        self.struck[f"consumer {how}"] += is_dead
        return is_dead

    async def _strike_keeper(self) -> bool:
        if self.dice.randrange(100) >= YOUNG:
            await self.has_kept_more()
        if shutil.which("strace") and self.dice.randrange(100) < CHOSEN and not self.keeper.has_died:
            how = self.dice.choice(KEEPERS_CALLS)
            inject = f"{how}:signal=SIGKILL:when={self.dice.randrange(1, 9)}"
            log = self.database.parent / "keeper.strace"
            async with traced(self.keeper.pid, log, inject=inject, calls=how):
                is_dead = await self.keeper.dead()
        else:
            how = "random"
            await asyncio.sleep(self.dice.uniform(0, 0.3))
            is_dead = await self.keeper.kill()
        self.struck[f"keeper at {how}"] += is_dead
        if is_dead and self.dice.randrange(100) < TORN:
            self._tear()
        return is_dead

    def _tear(self) -> None:
        """Leaves what a power cut leaves of a line that was being written."""
        manifest = self.on.brand.settings.archive_path / "manifest.jsonl"
        if manifest.exists():
            with manifest.open("ab") as file:
                file.write(self.dice.choice((b'{"no":17,"first":"17953', bytes(50))))
            self.struck["manifest torn"] += 1

    async def has_kept_more(self) -> None:
        """Waits until the keeper has added to the archive."""
        before = self._position()

        async def has_more() -> bool:
            return self._position() != before or self.keeper.has_died

        await eventually(has_more, REST_S)

    def _position(self) -> Position | None:
        return position(self.on.brand.settings.archive_path)

    async def rest(self, *, keeps: bool = True) -> None:
        """With no scans coming: all is read, booked and archived; then everybody ends in order. Where nobody
        ``keeps`` any more, nothing more is archived."""
        for consumer in self.chosen.copy():
            # Where it has not come to its moment yet.
            self.struck["consumer at a chosen moment"] += await consumer.kill()
            await self.hire(consumer, "")
        await eventually(self.is_all_read, REST_S)
        for consumer in self.consumers:
            await consumer.end()
        if keeps:
            if self.keeper.has_died:
                assert not await self.keeper.dead()  # it could not start
                await self.keeper.start()
            await eventually(self.is_all_kept, REST_S)
            await self.keeper.end()

    async def is_all_read(self) -> bool:
        client, keys = self.on.brand.store.client, self.on.brand.store.keys
        groups = [one for one in await client.xinfo_groups(keys.events) if one["name"] == GROUP.encode()]
        if not groups or groups[0]["pending"] or await client.xlen(keys.again(GROUP)):
            return False
        return entry_id(groups[0]["last-delivered-id"]) >= entry_id(await self._last())

    async def is_all_kept(self) -> bool:
        at = self._position()
        return at is not None and entry_id(at.entry) >= entry_id(await self._last())

    async def _last(self) -> bytes:
        client, keys = self.on.brand.store.client, self.on.brand.store.keys
        return (await client.xinfo_stream(keys.events))["last-generated-id"]


@asynccontextmanager
async def staffed(
    on: Rig,
    directory: Path,
    dice: Random,
    *,
    keeper: str = "scanner queue keep",
    breaks: str = "",
    dies: str | None = None,
) -> AsyncIterator[Staff]:
    """``keeper`` is the module and its arguments; ``breaks`` is the mistake that the consumers make, and
    ``dies`` the end of their first lives, "" for none."""
    database = directory / "effects.db"
    async with Effects(database) as effects:
        await effects.create()
    environment = on.brand.settings.model_copy(update={"store_timeout_ms": 2_000}).to_environment()
    staff = Staff(
        on,
        dice,
        database,
        Doomed(keeper.split(), environment, directory / "keeper.log"),
        [
            Doomed(
                ("tests.faults.queue_consumer", str(database), "--form", form, "--breaks", breaks),
                environment,
                directory / f"{form}.log",
            )
            for form in FORMS
        ],
    )
    # Else the keeper may trim before the group is there, and consumers would refuse to begin behind that.
    await on.brand.store.client.xgroup_create(on.brand.store.keys.events, GROUP, "0", mkstream=True)
    try:
        await staff.keeper.start()
        for consumer in staff.consumers:
            await staff.hire(consumer, dies)
        yield staff
    finally:
        for process in (staff.keeper, *staff.consumers):
            await process.remove()
