"""A group that has stood still for a day: it blocks trimming, is seen, and catches up while scans arrive.

How fast it catches up is a figure of ``python -m bench.queue catch-up``; nothing here is timed.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from scanner.ledger.watermark import entry_id
from scanner.queue.archive import position
from tests.brand import Brand, brand_in, campaign_toml
from tests.faults.figures import say
from tests.faults.queue_consumer import GROUP
from tests.faults.queue_effects import Effects, read_effects
from tests.faults.queue_processes import Doomed, command
from tests.faults.queue_staff import KEEPING
from tests.faults.queue_yesterday import DAY_MS, move_back
from tests.phone import scan_request
from tests.running import Running, eventually, serving

MISSED, ARRIVING = 300, 200
OTHER = "quick"
DAY_S = DAY_MS / 1000


@asynccontextmanager
async def of_yesterday(room: Path, *groups: str) -> AsyncIterator[tuple[Running, list[str], int]]:
    """A service whose ledger ends yesterday, with groups that have read nothing of it; codes that are free;
    and how many entries there are."""
    async with brand_in(room / "data", **KEEPING) as brand:
        await brand.apply(campaign_toml())
        codes = brand.codes(await brand.lot(MISSED + ARRIVING), range(MISSED + ARRIVING))
        scanner = brand.scanner()
        for no, code in enumerate(codes[:MISSED]):
            assert (await scanner.scan(f"m{no % 20}", code))["outcome"] == "accepted"
        entries = await move_back(brand, room)
        for group in groups:
            await brand.store.client.xgroup_create(brand.store.keys.events, group, "0")
        async with serving(brand) as run:
            yield run, codes[MISSED:], entries


class Stream:
    def __init__(self, brand: Brand) -> None:
        self._client, self._keys = brand.store.client, brand.store.keys
        self._archive = brand.settings.archive_path

    async def length(self) -> int:
        return await self._client.xlen(self._keys.events)

    async def is_archived(self) -> bool:
        at = position(self._archive)
        info = await self._client.xinfo_stream(self._keys.events)
        return at is not None and at.entry == info["last-generated-id"].decode()

    async def is_done(self, group: str) -> bool:
        """Whether the group has finished all that there is."""
        groups = {one["name"].decode(): one for one in await self._client.xinfo_groups(self._keys.events)}
        info, found = await self._client.xinfo_stream(self._keys.events), groups[group]
        is_read = entry_id(found["last-delivered-id"]) >= entry_id(info["last-generated-id"])
        return is_read and not found["pending"]

    async def read_all(self, group: str) -> None:
        """What a consumer that keeps up would have done."""
        while found := await self._client.xreadgroup(group, "c", {self._keys.events: ">"}, count=1000):
            [[_, entries]] = found
            await self._client.xack(self._keys.events, group, *(id for id, _ in entries))


async def metric(run: Running, name: str, group: str) -> float:
    _, text = await run.operations("/metrics")
    found = re.search(rf'^scanner_queue_{name}{{group="{group}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else -1


async def test_a_group_that_stopped_for_a_day(tmp_path: Path) -> None:
    database = tmp_path / "effects.db"
    async with Effects(database) as effects:
        await effects.create()
    async with of_yesterday(tmp_path, GROUP, OTHER) as (run, codes, entries):
        brand, stream = run.brand, Stream(run.brand)
        environment = brand.settings.to_environment() | {"SCANNER_LOG_LEVEL": "info"}
        keeper = Doomed(("scanner", "queue", "keep"), environment, tmp_path / "keeper.log")
        consumer = Doomed(
            ("tests.faults.queue_consumer", str(database)), environment, tmp_path / "consumer.log"
        )

        async def is_seen() -> bool:
            return await metric(run, "lag_entries", GROUP) == entries

        async def is_trimmed() -> bool:
            return await stream.length() < entries

        async def is_caught_up() -> bool:
            return await stream.is_done(GROUP)

        try:
            # All is copied, and the group that keeps up has finished it: the other one blocks the trimming.
            await stream.read_all(OTHER)
            await keeper.start()
            await eventually(stream.is_archived, 60)
            await keeper.has_said(f"group {GROUP} still needs 0-0")
            assert await stream.length() == entries

            await eventually(is_seen)
            assert await metric(run, "oldest_seconds", GROUP) >= DAY_S
            assert await metric(run, "lag_entries", OTHER) == 0
            code, text = await command(environment, "queue", "status", "--json")
            assert code == 0, text
            groups = {group["name"]: group for group in orjson.loads(text)["groups"]}
            assert groups[GROUP]["lag"] == entries
            assert groups[GROUP]["oldest_s"] >= DAY_S
            assert groups[OTHER]["oldest_s"] is None

            # It begins to read while scans arrive; and once it has read them all, the old ones may go.
            requests = [scan_request(brand.token("alice"), code) for code in codes]
            arriving = asyncio.create_task(run.scan_all(requests, 2))
            await consumer.start()
            assert {reply.outcome for reply in await arriving} == {"accepted"}
            await eventually(is_caught_up, 60)
            await stream.read_all(OTHER)
            await eventually(is_trimmed, 60)
            assert len(read_effects(database)[0]) == MISSED + ARRIVING
            await consumer.end()
            await keeper.end()
        finally:
            await consumer.remove()
            await keeper.remove()
        code, text = await command(environment, "audit", "--all")
        assert code == 0, text
        say(
            f"the queue: {entries} entries of yesterday were kept for the group that had not read them, and "
            f"trimmed after it had; {await stream.length()} are left"
        )


async def test_control_without_that_group_nothing_blocks(tmp_path: Path) -> None:
    """What is held up above is held up by the group, and by nothing else."""
    async with of_yesterday(tmp_path, OTHER) as (run, _, entries):
        stream = Stream(run.brand)
        await stream.read_all(OTHER)
        code, text = await command(run.brand.settings.to_environment(), "queue", "keep", "--once")
        assert code == 0, text
        assert await stream.is_archived()
        assert await stream.length() < entries
