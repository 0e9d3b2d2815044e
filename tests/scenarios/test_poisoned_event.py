"""One event that cannot be handled: it is tried so often, goes to the dead letters, and holds nobody up.

After the mistake is mended, `scanner queue retry` hands it out once more, and it has its effect once.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from scanner.queue import Consumer, ScanAccepted
from tests.brand import campaign_toml
from tests.faults.queue_consumer import GROUP
from tests.faults.queue_effects import Effects, read_effects
from tests.faults.queue_processes import Doomed, command
from tests.phone import scan_request
from tests.running import PATIENCE_S, Running, eventually, running

MEMBERS, SCANS, TRIES = ("alice", "bob", "carol", "dora"), 6, 3
POISONED = "alice", 1
"""Whose scan it is, and the how manieth of hers."""


@dataclass
class Town:
    """A service at which every member has scanned so often; the scans' ids by member, in order."""

    run: Running
    scans: dict[str, list[str]]

    @property
    def poison(self) -> str:
        member, no = POISONED
        return self.scans[member][no]

    @property
    def others(self) -> set[str]:
        return {id for ids in self.scans.values() for id in ids} - {self.poison}

    async def letters(self) -> list[dict[str, str]]:
        store = self.run.brand.store
        found = await store.client.xrange(store.keys.dead(GROUP), "-", "+")
        return [{name.decode(): value.decode() for name, value in raw.items()} for _, raw in found]

    async def is_dead(self) -> bool:
        return bool(await self.letters())

    async def command(self, *arguments: str) -> str:
        code, text = await command(self.run.brand.settings.to_environment(), *arguments)
        assert code == 0, text
        return text


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with running(tmp_path / "data") as run:
        brand = run.brand
        await brand.apply(campaign_toml())
        codes = iter(brand.codes(await brand.lot(100), range(100)))
        scans: dict[str, list[str]] = {member: [] for member in MEMBERS}
        for _ in range(SCANS):
            for member in MEMBERS:
                [reply] = await run.scan_all([scan_request(brand.token(member), next(codes))], 1)
                assert reply.outcome == "accepted"
                scans[member].append(str(reply.data["scan_id"]))
        yield Town(run, scans)


async def test_a_handler_that_fails(town: Town) -> None:
    """In a consumer of this process: its effects are what it did, in order."""
    done: list[tuple[str, str]] = []
    is_mended, tried, seen_late = False, 0, asyncio.Event()

    async def give(event: ScanAccepted) -> None:
        nonlocal tried
        if event.key == town.poison and not is_mended:
            tried += 1
            # Nobody else waits for it: by its last try all others have had theirs.
            if tried == TRIES:
                await asyncio.wait_for(seen_late.wait(), PATIENCE_S)
            raise LookupError("no such product")
        done.append((event.member, event.key))
        if len([member for member, _ in done if member != POISONED[0]]) == SCANS * (len(MEMBERS) - 1):
            seen_late.set()

    async def consume() -> asyncio.Task[None]:
        consumer = Consumer(
            GROUP,
            settings=town.run.brand.settings,
            store=town.run.brand.store,
            types={"scan.accepted"},
            tries=TRIES,
            wait_s=(0.01, 0.05),
        )
        consumer.handler(give)
        stop = asyncio.Event()
        stops.append(stop)
        return asyncio.create_task(consumer.run(stop))

    async def all_are_done() -> bool:
        return {key for _, key in done} == (town.others if not is_mended else town.others | {town.poison})

    stops: list[asyncio.Event] = []
    running = await consume()
    await eventually(town.is_dead)
    await eventually(all_are_done)
    [letter] = await town.letters()
    assert (letter["tries"], tried) == (str(TRIES), TRIES)
    assert "LookupError: no such product" in letter["reason"]
    assert orjson.loads(letter["fields"])["id"] == town.poison
    # Each member's own in order, alice's later ones after the one that was given up.
    for member in MEMBERS:
        assert [key for who, key in done if who == member] == [
            id for id in town.scans[member] if id != town.poison
        ]
    assert town.poison in await town.command("queue", "dead", GROUP, "--json")

    is_mended = True
    await town.command("queue", "retry", GROUP, "--all")
    await eventually(all_are_done)
    stops[0].set()
    await running
    assert len(done) == len(set(done)) == SCANS * len(MEMBERS)
    assert await town.letters() == []
    store = town.run.brand.store
    assert await store.client.xlen(store.keys.again(GROUP)) == 0


@pytest.mark.parametrize("form", ["each", "batches", "handler"])
async def test_a_handler_that_kills_its_process(town: Town, tmp_path: Path, form: str) -> None:
    """In a process of its own, which is started again each time, as whatever looks after it would."""
    database = tmp_path / "effects.db"
    async with Effects(database) as effects:
        await effects.create()
    consumer = Doomed(
        ("tests.faults.queue_consumer", str(database), "--form", form, "--tries", str(TRIES)),
        town.run.brand.settings.to_environment(),
        tmp_path / "consumer.log",
    )

    def booked() -> list[str]:
        return [effect.key for effect in read_effects(database)[0]]

    async def is_dead_or_ended() -> bool:
        return consumer.has_died or (await town.is_dead() and set(booked()) == town.others)

    async def all_are_booked() -> bool:
        return set(booked()) == town.others | {town.poison}

    try:
        while not (await town.is_dead() and set(booked()) == town.others):
            assert consumer.kills <= TRIES + 1, "it is tried for ever"
            await consumer.start("--poison", town.poison)
            await eventually(is_dead_or_ended, 60)
            if consumer.has_died:
                await consumer.dead()
        await consumer.end()
        assert consumer.kills >= TRIES
        told = [(orjson.loads(one["fields"])["id"], one["tries"]) for one in await town.letters()]
        assert told == [(town.poison, str(TRIES))]

        await town.command("queue", "retry", GROUP, "--all")
        await consumer.start()
        await eventually(all_are_booked, 60)
        await consumer.end()
        assert len(booked()) == len(set(booked()))
        assert await town.letters() == []
    finally:
        await consumer.remove()
