"""A planned fail-over: the primary becomes a replica of the one that takes its place, and goes on answering.
Its address leads to the new one, but no connection is closed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError

from scanner.ledger import connection
from scanner.ledger.connection import store_for
from scanner.queue import Event, RejectedError
from scanner.queue import keeper as keeper_module
from scanner.queue.archive import position
from scanner.queue.consuming import letters
from scanner.queue.keeper import Keeper
from scanner.settings import Settings
from tests.brand import brand_in, campaign_toml, settings_for
from tests.faults.proxy import Proxy
from tests.queue.streams import Stream, running, stream_in
from tests.running import eventually


class Pair:
    """Two stores: ``new`` has all that ``old`` has. ``settings`` lead to the primary."""

    def __init__(self, old: Stream, new: Stream, proxy: Proxy, settings: Settings) -> None:
        self.old, self.new, self.settings = old, new, settings
        self._proxy = proxy

    async def follow(self, replica: Stream, primary: Stream) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for name, value in (("bind", "127.0.0.1"), ("repl-diskless-sync-delay", "0"), ("port", str(port))):
            await primary.ask("CONFIG", "SET", name, value)
        await replica.ask("REPLICAOF", "127.0.0.1", str(port))

    async def fail_over(self) -> None:
        async def has_all() -> bool:
            info = await self.new.store.client.info("replication")
            events = self.old.keys().events
            lasts = [await one.ask("XREVRANGE", events, "+", "-", "COUNT", 1) for one in (self.old, self.new)]
            return info["master_link_status"] == "up" and lasts[0] == lasts[1]

        await eventually(has_all)
        await self.new.ask("REPLICAOF", "NO", "ONE")
        self._proxy.leads_to(self.new.embedded.socket_path)
        await self.follow(self.old, self.new)

    async def refusals(self) -> int:
        """How often the old one has said that it is a replica."""
        info = await self.old.store.client.info("errorstats")
        return int(info.get("errorstat_READONLY", {"count": 0})["count"])


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with (
        stream_in(tmp_path / "old") as old,
        stream_in(tmp_path / "new") as new,
        Proxy(old.embedded.socket_path) as proxy,
    ):
        pair = Pair(old, new, proxy, settings_for(tmp_path / "data", store_url=proxy.url))
        old.settings = new.settings = pair.settings
        await pair.follow(new, old)
        yield pair


class Consuming:
    """A consumer that takes no event of ``bad``, but where that was retried."""

    def __init__(self, stream: Stream) -> None:
        self.seen: list[str] = []
        self.consumer = stream.consumer(name="w")

        @self.consumer.handler
        async def take(event: Event) -> None:
            if event.data()["member"] == "bad" and not self.consumer.is_repeat(event):
                raise RejectedError("no")
            self.seen.append(event.entry)


@asynccontextmanager
async def failed_over(pair: Pair, consuming: Consuming) -> AsyncIterator[None]:
    """A consumer goes on after a fail-over, before which it had each of its connections."""
    async with running(consuming.consumer):
        for member in ("good", "bad"):
            await pair.old.scan(member)
        await eventually(lambda: is_dead(pair.old, 1))
        await pair.old.nothing_left()
        await pair.fail_over()
        yield


async def is_dead(stream: Stream, letters: int) -> bool:
    return len(await stream.dead()) == letters


async def test_a_consumer_goes_on_with_the_new_primary(pair: Pair) -> None:
    consuming = Consuming(pair.old)
    async with failed_over(pair, consuming):
        made = [await pair.new.scan(member) for member in ("good", "bad", "good")]
        await eventually(lambda: is_dead(pair.new, 2))
        assert await letters.retry(pair.new.store, "points", [made[1]]) == 1

        async def nothing_is_retried() -> bool:
            return not await pair.new.ask("XLEN", pair.new.keys().again("points"))

        await eventually(nothing_is_retried)
        await pair.new.nothing_left()
        assert sorted(consuming.seen[1:]) == sorted(made)
        assert await pair.refusals() <= 3  # each connection hears it once


async def test_control_redis_py_s_connections_stay_with_the_old_one(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_Parser", DefaultParser)
    async with failed_over(pair, Consuming(pair.old)):
        await pair.new.scan("bad")

        async def is_asked_again_and_again() -> bool:
            return await pair.refusals() > 6

        await eventually(is_asked_again_and_again)
        assert await is_dead(pair.new, 1)
        await pair.old.ask("REPLICAOF", "NO", "ONE")  # else the consumer would never end


async def test_the_keeper_goes_on_with_the_new_primary(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BEAT_S", "_WAIT_S"):
        monkeypatch.setattr(keeper_module, name, 0.01)
    archive, stop = tmp_path / "archive", asyncio.Event()
    archive.mkdir()

    async def archived(entry: str) -> None:
        async def is_there() -> bool:
            found = position(archive)
            return found is not None and found.entry == entry

        await eventually(is_there)

    store = store_for(pair.settings)
    await connection.load_functions(store)
    keeping = asyncio.create_task(Keeper(store, archive, every_s=0.05, keep_s=0).run(stop))
    try:
        await archived((await pair.old.scans(20))[-1])
        await pair.fail_over()
        await archived((await pair.new.scans(20))[-1])
        stop.set()
        await keeping
    finally:
        keeping.cancel()
        await store.close()


async def test_scans_go_on_and_none_is_forgotten(pair: Pair, tmp_path: Path) -> None:
    async with brand_in(tmp_path / "data", store_url=pair.settings.store_url) as brand:
        await brand.apply(campaign_toml())
        first, second = brand.codes(await brand.lot(2), [0, 1])
        scanner = brand.scanner()
        assert (await scanner.scan("alice", first))["outcome"] == "accepted"
        await pair.fail_over()
        assert (await scanner.scan("alice", second))["outcome"] == "accepted"
        again = await scanner.scan("alice", first)
        assert (again["outcome"], again["replayed"]) == ("accepted", True)
        assert (await scanner.scan("bob", first))["outcome"] == "claimed"
        with pytest.raises(RedisConnectionError):
            await brand.lot(1)  # the connection that operations share hears of it now
        assert (await scanner.scan("bob", brand.code(await brand.lot(1), 0)))["outcome"] == "accepted"
        report = await brand.audit()
        assert (report.claims, report.differences) == (3, [])
