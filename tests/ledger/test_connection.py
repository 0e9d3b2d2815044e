"""The connection: what a store must promise, and that nothing is sent twice behind our back."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.client import Client
from scanner.ledger.connection import REQUIRED, check, client_for, open_store
from scanner.ledger.embedded import embedded_store
from scanner.ledger.wire import Wire
from tests.brand import Brand, campaign_toml, settings_for
from tests.faults.proxy import Proxy
from tests.ledger.test_claims import claim_for

BAD = {
    "maxmemory-policy": "allkeys-lru",
    "appendonly": "no",
    "appendfsync": "everysec",
    "no-appendfsync-on-rewrite": "yes",
}


@pytest.mark.parametrize("name", REQUIRED)
async def test_a_store_that_falls_short_is_refused_with_the_line_to_change(brand: Brand, name: str) -> None:
    client = brand.store.client
    await check(client, accept_volatile=False)
    await client.execute_command("CONFIG", "SET", name, BAD[name])
    with pytest.raises(ConfigurationError, match=f"`{name} {REQUIRED[name][0]}`.*--accept-volatile-store"):
        await check(client, accept_volatile=False)


async def test_a_volatile_store_is_accepted_knowingly_and_loudly(
    brand: Brand, caplog: pytest.LogCaptureFixture
) -> None:
    await brand.store.client.execute_command("CONFIG", "SET", "appendfsync", "everysec")
    with caplog.at_level(logging.WARNING, "scanner"):
        await check(brand.store.client, accept_volatile=True)
    assert "appendfsync" in caplog.text


async def test_a_user_who_may_not_read_the_configuration_is_told(brand: Brand) -> None:
    command = brand.store.client.execute_command
    await command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-config")
    url = brand.store.client.connection_pool.connection_kwargs["path"]
    client = client_for(f"unix://limited:secret@{url}", 1000)
    try:
        with pytest.raises(ConfigurationError, match=r"CONFIG GET.*role operator"):
            await check(client, accept_volatile=False)
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    "url", ["http://localhost", "localhost:6379", "redis+cluster://localhost", "redis://h:port"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SCANNER_STORE_URL"):
        client_for(url, 1000)


async def test_a_store_that_is_not_there_is_unavailable(brand: Brand) -> None:
    settings = settings_for(brand.settings.data_dir, store_url="unix:///nonexistent/store.sock")
    with pytest.raises(StoreUnavailableError, match="did not answer"):
        await open_store(settings)


async def test_a_lost_reply_is_not_asked_for_twice_by_the_client(brand: Brand) -> None:
    """One INCR whose reply is lost counts once. Control: redis-py as it comes counts it more than once."""
    path = brand.store.client.connection_pool.connection_kwargs["path"]
    async with Proxy(path) as proxy:
        ours = client_for(proxy.url, 1000)
        theirs = Redis(port=proxy.port)
        for name, client in (("ours", ours), ("theirs", theirs)):
            await client.execute_command("PING")
            proxy.replies_to_drop = 2
            with suppress(RedisConnectionError):
                await client.execute_command("INCR", name)
            proxy.replies_to_drop = 0
            await client.aclose()
    count = brand.store.client.execute_command
    assert await count("GET", "ours") == b"1"
    assert int(await count("GET", "theirs")) > 1


async def test_a_batch_whose_reply_was_lost_is_sent_once_more(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    claims = [await claim_for(brand, lot, serial) for serial in range(3)]
    path = brand.store.client.connection_pool.connection_kwargs["path"]
    async with Proxy(path) as proxy:
        client = client_for(proxy.url, 1000)
        store = replace(brand.store, client=client, wire=Wire(client, 1.0))
        send = ClaimFunction(store)
        await store.wire.call(["PING"])  # the connection stands, so what is lost is the claims' reply
        proxy.replies_to_drop = 1
        answers = await send(claims[:2])
        assert [answer.verdict for answer in answers] == [Verdict.REPLAYED] * 2
        assert (send.sent_again, proxy.replies_dropped) == (1, 1)
        proxy.replies_to_drop = 2
        with pytest.raises(StoreUnavailableError):
            await send(claims[2:])
        assert proxy.replies_dropped == 3
        [answer] = await send(claims[2:])
        assert answer.verdict is Verdict.REPLAYED
        await store.close()
    report = await brand.audit()
    assert (report.claims, report.differences) == (3, [])


async def written_after_a_fail_over(
    brand: Brand, directory: Path, client_of: Callable[[str], Client]
) -> bytes:
    """What is read back after another store has taken the place of the one that a client was connected to:
    that one answers still, as the other's replica. The client asks three times."""
    old, new = brand.store.client, directory / "new"
    async with embedded_store(new) as embedded, Proxy(old.connection_pool.connection_kwargs["path"]) as proxy:
        client = client_of(proxy.url)
        await client.execute_command("SET", "k", "before")
        proxy.leads_to(embedded.socket_path)
        await old.execute_command("REPLICAOF", "127.0.0.1", "1")
        for _ in range(3):
            with suppress(RedisConnectionError, ReadOnlyError):
                pipe = client.pipeline(transaction=True)
                pipe.execute_command("SET", "k", "after")
                await pipe.execute()
        found = await client.execute_command("GET", "k")
        await client.aclose()
        await old.execute_command("REPLICAOF", "NO", "ONE")
        return found


async def test_a_store_that_became_a_replica_is_left(brand: Brand, tmp_path: Path) -> None:
    assert await written_after_a_fail_over(brand, tmp_path, lambda url: client_for(url, 1000)) == b"after"


async def test_control_redis_py_stays_with_the_replica(brand: Brand, tmp_path: Path) -> None:
    assert await written_after_a_fail_over(brand, tmp_path, Redis.from_url) == b"before"


async def test_who_only_reads_leaves_a_replica_that_has_lost_its_primary(
    brand: Brand, tmp_path: Path
) -> None:
    old = brand.store.client
    async with (
        embedded_store(tmp_path / "new") as embedded,
        Proxy(old.connection_pool.connection_kwargs["path"]) as proxy,
    ):
        client, new = client_for(proxy.url, 1000), client_for(embedded.url, 1000)
        assert await client.execute_command("GET", "k") is None
        await new.execute_command("SET", "k", "after")
        proxy.leads_to(embedded.socket_path)
        await old.execute_command("CONFIG", "SET", "replica-serve-stale-data", "no")
        await old.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(RedisConnectionError):
            await client.execute_command("GET", "k")
        assert await client.execute_command("GET", "k") == b"after"
        await client.aclose()
        await new.aclose()
        await old.execute_command("REPLICAOF", "NO", "ONE")
