"""What a consumer of the tests does with a scan: a row in its own SQLite database, and the member's sum.

Nothing in the tables keeps a row from standing there twice: only the inbox does.
"""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Column, Integer, MetaData, Table, Text, event, insert
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from scanner.queue import ScanAccepted
from scanner.queue.inbox import Inbox

BUSY_S = 60
"""How long a writer waits for the others."""

metadata = MetaData()
inbox = Inbox(metadata, "points")
effects = Table(
    "effects",
    metadata,
    Column("key", Text, nullable=False),
    Column("member", Text, nullable=False),
    Column("points", Integer, nullable=False),
)
sums = Table(
    "sums",
    metadata,
    Column("member", Text, primary_key=True),
    Column("points", Integer, nullable=False),
)


class Effect(NamedTuple):
    key: str
    member: str
    points: int


def effect_of(scan: ScanAccepted) -> Effect:
    points = sum(award.amount for award in scan.awards_of("points"))
    return Effect(scan.key, scan.member, points)


class Transaction:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def book(self, scans: Sequence[ScanAccepted], *, with_inbox: bool = True) -> None:
        fresh = await inbox.fresh(self._connection, scans) if with_inbox else scans
        rows = [effect_of(scan)._asdict() for scan in fresh]
        if not rows:
            return
        await self._connection.execute(insert(effects), rows)
        given = upsert(sums)
        change = {"points": sums.c.points + given.excluded.points}
        await self._connection.execute(
            given.on_conflict_do_update(index_elements=[sums.c.member], set_=change),
            [{"member": row["member"], "points": row["points"]} for row in rows],
        )


class Effects:
    """The database."""

    def __init__(self, path: str | Path) -> None:
        self._path = path

    async def __aenter__(self) -> "Effects":
        self._engine = engine_for(self._path)
        return self

    async def create(self) -> None:
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def __aexit__(self, *error: object) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with self._engine.begin() as connection:
            yield Transaction(connection)


def engine_for(path: str | Path) -> AsyncEngine:
    """WAL and synchronous=FULL: what is committed is on the disk; and writers wait for each other."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": BUSY_S})

    @event.listens_for(engine.sync_engine, "connect")
    def _set(connection: object, record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    return engine


def read_effects(path: Path) -> tuple[list[Effect], dict[str, int]]:
    """All rows as they stand there, doubles included, and the members' sums."""
    with sqlite3.connect(path) as database:
        rows = [Effect(*row) for row in database.execute("SELECT key, member, points FROM effects")]
        members = dict(database.execute("SELECT member, points FROM sums"))
    database.close()
    return rows, members
