"""What the inbox adds to an effect on SQLite, in batches: the rest of the transaction is the yardstick's.

Both write into a file with a write-ahead log and ``synchronous = FULL``, and commit once a batch: one records
the batch's keys in the inbox and then inserts an effect for each event that is new, by SQLAlchemy; the other
inserts the same rows by the driver alone, one after the other, and knows no event again.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Column, MetaData, Table, Text
from sqlalchemy.event import listens_for
from sqlalchemy.ext.asyncio import create_async_engine

from bench.cost import Cost
from bench.yardsticks import Yardstick
from scanner.queue.inbox import Inbox

BATCH = 500
SETTINGS = "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"
_numbers = count()


class _Keyed(NamedTuple):
    key: str


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="scanner-bench-") as directory:
        yield Path(directory)


def bench_sqlite(cost: Cost, runner: asyncio.Runner, directory: Path) -> None:
    metadata = MetaData()
    inbox = Inbox(metadata, "bench")
    effects = Table("effects", metadata, Column("key", Text, nullable=False))
    engine = create_async_engine(f"sqlite+aiosqlite:///{directory}/inbox.db")

    @listens_for(engine.sync_engine, "connect")
    def durable(connection, _record) -> None:
        for line in SETTINGS:
            connection.execute(line)

    async def make() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def handle() -> None:
        async with engine.begin() as connection:
            fresh = await inbox.fresh(connection, [_Keyed(key) for key in _keys()])
            assert len(fresh) == BATCH
            await connection.execute(effects.insert(), [{"key": one.key} for one in fresh])

    plain = sqlite3.connect(directory / "plain.db")
    for line in SETTINGS:
        plain.execute(line)
    plain.execute("CREATE TABLE inbox (consumer TEXT, key TEXT, PRIMARY KEY (consumer, key)) WITHOUT ROWID")
    plain.execute("CREATE TABLE effects (key TEXT NOT NULL)")

    def bare() -> None:
        keys = _keys()
        plain.executemany("INSERT INTO inbox VALUES ('bench', ?)", [(key,) for key in keys])
        plain.executemany("INSERT INTO effects VALUES (?)", [(key,) for key in keys])
        plain.commit()

    runner.run(make())
    try:
        cost(lambda: runner.run(handle()), of=BATCH, against=Yardstick("sqlite", bare, BATCH))
    finally:
        runner.run(engine.dispose())
        plain.close()


def _keys() -> list[str]:
    """Of events that never came before, as spread as scan_ids are."""
    return [f"{next(_numbers) * 0x9E3779B97F4A7C15 % 2**64:016X}" for _ in range(BATCH)]
