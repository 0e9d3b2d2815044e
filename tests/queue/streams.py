"""A stream of made-up scans on a real store, and a look at what its groups and consumers make of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from scanner.ledger.connection import Store, store_for
from scanner.ledger.embedded import EmbeddedStore, embedded_store
from scanner.ledger.keys import Keys
from scanner.queue import Consumer
from scanner.settings import Settings
from tests.brand import settings_for
from tests.running import eventually


def award(kind: str) -> dict[str, object]:
    return {"pool": kind, "prize": "p", "kind": kind, "amount": 5, "beneficiary": "member"}


class Stream:
    """``settings`` lead to its store; ``made`` are the entries so far, by partition."""

    def __init__(self, store: Store, settings: Settings, embedded: EmbeddedStore) -> None:
        self.store, self.settings, self.embedded = store, settings, embedded
        self._serial = 0

    def keys(self, partition: int = 0) -> Keys:
        return Keys(self.store.keys.brand, partition)

    async def ask(self, *command: str | bytes | int) -> Any:
        return await self.store.client.execute_command(*command)

    async def raw(self, *command: str | bytes | int) -> Any:
        """The reply as the store sends it."""
        return await self.store.wire.call(command)

    async def scan(
        self, member: str = "m", *, partition: int = 0, kind: str = "points", id: str = "*", **fields: str
    ) -> str:
        """One accepted scan; its entry."""
        self._serial += 1
        whole = {
            "type": "scan.accepted",
            "at": "1795362542031",
            "campaign": "spring",
            "product": "06901234567892",
            "lot": "1",
            "rules": "r",
            "awards": orjson.dumps([award(kind)]).decode(),
            "member": member,
            "id": f"SCAN{self._serial:012d}",
            "serial": str(self._serial),
        } | fields
        pairs = (part for pair in whole.items() for part in pair)
        return (await self.ask("XADD", self.keys(partition).events, id, *pairs)).decode()

    async def scans(self, n: int, members: int = 7, **more: Any) -> list[str]:
        return [await self.scan(f"m{no % members}", **more) for no in range(n)]

    def consumer(self, group: str = "points", name: str | None = None, **options: Any) -> Consumer:
        """As a service has it, which does not share the test's connection."""
        return Consumer(group, name, settings=self.settings, **options)

    async def pending(self, group: str = "points", *, partition: int = 0) -> list[tuple[str, str, int]]:
        """(entry, consumer, how often given out), as the group has it."""
        client: Any = self.store.client
        found = await client.xpending_range(self.keys(partition).events, group, "-", "+", 10_000)
        return [
            (one["message_id"].decode(), one["consumer"].decode(), one["times_delivered"]) for one in found
        ]

    async def consumers(self, group: str = "points") -> set[str]:
        found = await self.ask("XINFO CONSUMERS", self.keys().events, group)
        return {one["name"].decode() for one in found}

    async def groups(self) -> list[dict[str, Any]]:
        if not await self.ask("EXISTS", self.keys().events):
            return []
        return await self.ask("XINFO GROUPS", self.keys().events)

    async def dead(self, group: str = "points", *, partition: int = 0) -> list[dict[str, str]]:
        found = await self.store.client.xrange(self.keys(partition).dead(group), "-", "+", count=10_000)
        return [{name.decode(): value.decode() for name, value in raw.items()} for _, raw in found]

    async def entry(self, id: str, *, partition: int = 0) -> dict[bytes, bytes]:
        [(_, fields)] = await self.store.client.xrange(self.keys(partition).events, id, id, count=1)
        return fields

    async def nothing_left(self, group: str = "points") -> None:
        """Waits until the group has been given all there is, and all of it is acknowledged."""

        async def is_done() -> bool:
            infos = [one for one in await self.groups() if one["name"] == group.encode()]
            return bool(infos) and infos[0]["lag"] == infos[0]["pending"] == 0

        await eventually(is_done)


@asynccontextmanager
async def stream_in(directory: Path, **values: object) -> AsyncIterator[Stream]:
    """A store of its own in the directory, which a consumer finds by its data directory."""
    settings = settings_for(directory, **values)
    async with embedded_store(directory) as embedded:
        store = store_for(settings, embedded)
        try:
            yield Stream(store, settings, embedded)
        finally:
            await store.close()


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[None]:
    """The consumer's ``run`` for as long as the block does, then stopped as a service would be."""
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        consumer.stop()
        await task
