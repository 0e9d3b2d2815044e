"""A consumer to be killed: a process of its own, whose effects stand in a database, a row each time.

    python -m tests.faults.consuming KIND ADDRESS WAY FORM NAME SEED [STAGE]

KIND is ``sqlite``, ``postgresql`` (both by SQLAlchemy) or ``asyncpg``; WAY is ``inbox``, or one of those that
fail: ``none`` has no inbox, ``apart`` commits its records before the effects. FORM is ``batches`` or
``handler``. It says on its output how far it has come with what was given to it, and dawdles a little there;
at STAGE it kills itself, the first time that it comes there with an event that is new to it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Column, MetaData, Table, Text, select
from sqlalchemy.event import listens_for
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from scanner.queue import Consumer, Event
from scanner.queue.inbox import Inbox
from scanner.queue.inbox_asyncpg import AsyncpgInbox

GROUP = "effects"
STAGES = "given", "recorded", "begun", "done", "committed"
"""Of a batch: it came; its records are made; some of its effects are; all are; they are committed, and
nothing is acknowledged."""
READY = "ready"
DAWDLES, DAWDLES_S = 0.2, 0.01

metadata = MetaData()
effects = Table("effects", metadata, Column("key", Text, nullable=False))
inbox = Inbox(metadata, GROUP)
own_inbox = AsyncpgInbox(GROUP)


class Transaction(Protocol):
    async def fresh(self, events: Sequence[Event]) -> list[Event]: ...
    async def effect(self, event: Event) -> None: ...


class Database(Protocol):
    def begin(self) -> Any: ...
    async def close(self) -> None: ...


class _Sqlalchemy:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with self._engine.begin() as connection:
            yield _ByConnection(connection)

    async def close(self) -> None:
        await self._engine.dispose()


class _ByConnection:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def fresh(self, events: Sequence[Event]) -> list[Event]:
        return await inbox.fresh(self._connection, events)

    async def effect(self, event: Event) -> None:
        await self._connection.execute(effects.insert().values(key=event.key))


class _Asyncpg:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield _ByAsyncpg(connection)

    async def close(self) -> None:
        await self._pool.close()


class _ByAsyncpg:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fresh(self, events: Sequence[Event]) -> list[Event]:
        return await own_inbox.fresh(self._connection, events)

    async def effect(self, event: Event) -> None:
        await self._connection.execute("INSERT INTO effects (key) VALUES ($1)", event.key)


def engine_of(address: str) -> AsyncEngine:
    engine = create_async_engine(address)
    if engine.dialect.name == "sqlite":

        @listens_for(engine.sync_engine, "connect")
        def durable(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA busy_timeout = 60000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    return engine


async def make_tables(address: str) -> None:
    engine = engine_of(address)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()


async def found_effects(address: str) -> tuple[list[str], list[str]]:
    """The keys of all effects, and all recorded keys, sorted."""
    engine = engine_of(address)
    async with engine.connect() as connection:
        keys = sorted(await connection.scalars(select(effects.c.key)))
        recorded = sorted(await connection.scalars(select(inbox.table.c.key)))
    await engine.dispose()
    return keys, recorded


async def database_of(kind: str, address: str) -> Database:
    if kind != "asyncpg":
        return _Sqlalchemy(engine_of(address))
    return _Asyncpg(await asyncpg.create_pool(address.replace("+asyncpg", ""), min_size=1, max_size=4))


class Work:
    """What is done with events, in one of the ways."""

    def __init__(self, database: Database, way: str, dice: Random, dies: str) -> None:
        self._database, self._way, self._dice, self._dies = database, way, dice, dies

    async def __call__(self, events: Sequence[Event]) -> None:
        await self._at("given", events)
        if self._way == "apart":
            async with self._database.begin() as transaction:
                fresh = await transaction.fresh(events)
            await self._at("recorded", fresh)
            async with self._database.begin() as transaction:
                await self._effects(transaction, fresh)
        else:
            async with self._database.begin() as transaction:
                fresh = await transaction.fresh(events) if self._way == "inbox" else events
                await self._at("recorded", fresh)
                await self._effects(transaction, fresh)
        await self._at("committed", fresh)

    async def _effects(self, transaction: Transaction, events: Sequence[Event]) -> None:
        some = self._dice.randrange(len(events)) if events else 0
        for number, event in enumerate(events):
            await transaction.effect(event)
            if number == some:
                await self._at("begun", events)
        await self._at("done", events)

    async def _at(self, stage: str, fresh: Sequence[Event]) -> None:
        os.write(1, f"{stage}\n".encode())
        if stage == self._dies and fresh:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._dice.random() < DAWDLES:
            await asyncio.sleep(self._dice.random() * DAWDLES_S)


async def consume(kind: str, address: str, way: str, form: str, name: str, seed: str, dies: str = "") -> None:
    dice = Random(int(seed))
    database = await database_of(kind, address)
    work = Work(database, way, dice, dies)
    # Killed again and again while they have the same events, these consumers are no sign of a bad one.
    patient = {"tries": 1000, "wait_s": (0.0, 0.05), "take_over_s": 0.5}
    consumer = Consumer(GROUP, name, concurrency=4, **patient)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)

    @consumer.handler
    async def one(event: Event) -> None:
        await work([event])

    async with consumer:
        os.write(1, f"{READY}\n".encode())
        if form == "handler":
            await consumer.run()
        else:
            async for events in consumer.batches(dice.randrange(1, 100), wait_s=0.01):
                await work(events)
    await database.close()


if __name__ == "__main__":
    asyncio.run(consume(*sys.argv[1:]))
