"""The effect that is measured: of each scan a row and the member's sum, in SQLite, once by the inbox."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Column, Integer, MetaData, Table, Text, event, insert
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from scanner.queue import Event, ScanAccepted
from scanner.queue.inbox import Inbox

metadata = MetaData()
inbox = Inbox(metadata, "bench")
points = Table("points", metadata, Column("scan", Text), Column("member", Text), Column("points", Integer))
sums = Table("sums", metadata, Column("member", Text, primary_key=True), Column("points", Integer))
_GIVEN = upsert(sums)
GIVE = _GIVEN.on_conflict_do_update(
    index_elements=[sums.c.member], set_={"points": sums.c.points + _GIVEN.excluded.points}
)


@dataclass(frozen=True, slots=True)
class Books:
    engine: AsyncEngine

    @classmethod
    @asynccontextmanager
    async def open(cls, path: str) -> AsyncIterator["Books"]:
        """Makes the tables. What is committed is on the disk."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

        @event.listens_for(engine.sync_engine, "connect")
        def set_up(connection: object, record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.close()

        try:
            async with engine.begin() as connection:
                await connection.run_sync(metadata.create_all)
            yield cls(engine)
        finally:
            await engine.dispose()

    async def book(self, events: Sequence[Event]) -> None:
        """One transaction; nothing but scans is booked."""
        scans = [event for event in events if isinstance(event, ScanAccepted)]
        async with self.engine.begin() as connection:
            won = [
                (scan.key, scan.member, sum(award.amount for award in scan.awards_of("points")))
                for scan in await inbox.fresh(connection, scans)
            ]
            if not won:
                return
            rows = [{"scan": scan, "member": member, "points": amount} for scan, member, amount in won]
            await connection.execute(insert(points), rows)
            given: Counter[str] = Counter()
            for _, member, amount in won:
                given[member] += amount
            changes = [{"member": member, "points": amount} for member, amount in given.items()]
            await connection.execute(GIVE, changes)
