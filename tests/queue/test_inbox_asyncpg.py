"""The inbox for plain asyncpg, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from scanner.errors import ConfigurationError
from scanner.queue.events import Event, event_of
from scanner.queue.inbox import Inbox
from scanner.queue.inbox_asyncpg import AsyncpgInbox
from tests.postgres import Database, Postgres

inbox = AsyncpgInbox("points")


def draws(*numbers: int) -> list[Event]:
    fields = {"type": "draw.made", "at": "1", "campaign": "spring", "member": "m", "rules": "r"}
    fields |= {"pool": "wheel", "request": "r", "by": "m", "kid": "1", "awards": "[]"}
    return [event_of("1-0", {**fields, "id": f"{number:016}"}) for number in numbers]


@pytest.fixture
async def database(postgres: Postgres) -> Database:
    return await postgres.database()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database.dsn, min_size=1, max_size=8) as pool:
        await pool.execute(inbox.create)
        await pool.execute(inbox.create)  # a service runs it at every start
        yield pool


async def give(pool: asyncpg.Pool, events: list[Event], by: AsyncpgInbox = inbox) -> list[Event]:
    async with pool.acquire() as connection, connection.transaction():
        return await by.fresh(connection, events)


async def test_an_event_is_fresh_once(pool: asyncpg.Pool) -> None:
    assert await give(pool, draws(3, 1, 2, 3)) == draws(3, 1, 2)
    assert await give(pool, draws(1, 4)) == draws(4)
    assert await give(pool, []) == []
    assert await pool.fetchval("SELECT min(key) FROM scanner_inbox") == "draw.made/0000000000000001"


async def test_what_is_rolled_back_is_fresh_again(pool: asyncpg.Pool) -> None:
    with suppress(ZeroDivisionError):
        async with pool.acquire() as connection, connection.transaction():
            assert await inbox.fresh(connection, draws(1)) == draws(1)
            raise ZeroDivisionError
    assert await give(pool, draws(1)) == draws(1)


async def test_outside_of_a_transaction_it_is_refused(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(ConfigurationError, match="outside of a transaction"):
            await inbox.fresh(connection, draws(1))
    assert await pool.fetchval("SELECT count(*) FROM scanner_inbox") == 0


async def test_many_consumers_with_the_same_events_at_the_same_time(pool: asyncpg.Pool) -> None:
    for start in range(0, 10_000, 1_000):
        events = draws(*range(start, start + 1_000))
        found = await asyncio.gather(*(give(pool, events[:: 1 if n % 2 else -1]) for n in range(6)))
        assert sorted(map(len, found)) == [0, 0, 0, 0, 0, 1_000]


async def test_names_that_need_quotes(pool: asyncpg.Pool) -> None:
    odd = AsyncpgInbox('Points "and" more', table='in"box', schema="Own")
    await pool.execute('CREATE SCHEMA "Own"')
    await pool.execute(odd.create)
    assert await give(pool, draws(1), by=odd) == draws(1)
    assert await give(pool, draws(1), by=odd) == []


async def test_the_table_is_the_one_of_sqlalchemys_inbox(pool: asyncpg.Pool, database: Database) -> None:
    """A service may change from one to the other, and back."""
    metadata = MetaData()
    other = Inbox(metadata, "points")
    await give(pool, draws(1, 2))
    engine = create_async_engine(database.url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        assert await other.fresh(connection, draws(2, 3)) == draws(3)
    await engine.dispose()
    assert await give(pool, draws(3, 4)) == draws(4)


async def test_the_table_is_the_one_that_sqlalchemy_makes(pool: asyncpg.Pool, database: Database) -> None:
    metadata = MetaData()
    Inbox(metadata, "points", table="made_by_sqlalchemy")
    engine = create_async_engine(database.url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    columns = (
        "SELECT column_name, data_type, is_nullable, column_default, ordinal_position "
        "FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position"
    )
    assert await pool.fetch(columns, "made_by_sqlalchemy") == await pool.fetch(columns, "scanner_inbox")


def test_a_consumer_has_a_name() -> None:
    with pytest.raises(ConfigurationError, match="name of its consumer"):
        AsyncpgInbox("")
