"""Points, tiers and tags: a small service that is built on the stream. docs/tutorial.md explains it.

    python examples/points_service/service.py

POINTS_DATABASE   sqlite+aiosqlite:///points.db by default, or postgresql+asyncpg://user:password@host/name
POINTS_PORT       8090 by default; 0 takes a free one
POINTS_NAME       this process among those of the service; it stays the same across restarts
SCANNER_…         where the stream is: the settings of scanner, such as SCANNER_STORE_URL
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web
from sqlalchemy import BigInteger, Column, Computed, Integer, MetaData, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.event import listens_for
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from scanner.errors import ScannerError
from scanner.queue import Consumer, Event
from scanner.queue.inbox import Inbox

GROUP = "points"
# What is won by a scan, a draw and a friend. A locked packet (grant.made) is no award yet: the scan that
# unlocks it has it among its own.
TYPES = {"scan.accepted", "draw.made", "share.claimed"}
BENEFICIARIES = {"member", "seller", "inviter", "giver"}
RECENT = 10

metadata = MetaData()
inbox = Inbox(metadata, GROUP)
members = Table(
    "members",
    metadata,
    Column("id", Text, primary_key=True),
    Column("points", BigInteger, nullable=False),
    Column("scans", Integer, nullable=False),
    # The database's own: whatever changes the points, the tier is theirs.
    Column(
        "tier",
        Text,
        Computed(
            "CASE WHEN points >= 1000 THEN 'gold' WHEN points >= 100 THEN 'silver' ELSE 'bronze' END",
            persisted=True,
        ),
    ),
)
bookings = Table(
    "bookings",
    metadata,
    Column("event", Text, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("member", Text, nullable=False, index=True),
    Column("points", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", BigInteger, nullable=False),  # ms since 1970
)
tags = Table(
    "tags",
    metadata,
    Column("member", Text, primary_key=True),
    Column("tag", Text, primary_key=True),
)


def bookings_of(event: Event) -> Iterator[dict[str, Any]]:
    """The points of an event, each with whom they go to: the member, the seller, the inviter or the giver."""
    for line, award in enumerate(event.awards_of("points")):
        if award.beneficiary in BENEFICIARIES:  # others may come, and are not for this version to book
            yield {
                "event": event.key,
                "line": line,
                "member": getattr(event, award.beneficiary),
                "points": award.amount,
                "why": f"{award.pool}/{award.prize}",
                "at": event.at,
            }


def tags_of(event: Any) -> Iterator[tuple[str, str]]:
    """What a scan says of its member: which product, by which channel, and what kinds of awards it won."""
    if event.type == "scan.accepted":
        yield event.member, f"product:{event.product}"
        if event.channel:
            yield event.member, f"channel:{event.channel}"
        for award in event.awards:
            if award.beneficiary == "member":
                yield event.member, f"won:{award.kind}"


async def book(engine: AsyncEngine, events: Sequence[Event]) -> None:
    """Books what was not booked yet: all of it in one transaction, or nothing."""
    async with engine.begin() as connection:
        fresh = await inbox.fresh(connection, events)
        lines = [line for one in fresh for line in bookings_of(one)]
        if lines:
            await connection.execute(bookings.insert(), lines)
        await add_to_members(connection, fresh, lines)
        await add_tags(connection, {pair for one in fresh for pair in tags_of(one)})


async def book_when_possible(engine: AsyncEngine, events: Sequence[Event], stopping: asyncio.Event) -> None:
    """Waits while the database is away or busy: that is no fault of the events, and no try of theirs."""
    wait_s = 0.1
    while True:
        try:
            return await book(engine, events)
        except (DataError, IntegrityError, ProgrammingError):
            raise  # it would say so again
        except (OSError, DBAPIError) as error:
            if stopping.is_set():
                raise
            print(f"points: the database is asked again, because {error.args[0]}", file=sys.stderr)  # noqa: T201
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), wait_s)
        wait_s = min(2 * wait_s, 5)


async def add_to_members(
    connection: AsyncConnection, fresh: Sequence[Event], lines: Sequence[dict[str, Any]]
) -> None:
    points: Counter[str] = Counter()
    for line in lines:
        points[line["member"]] += line["points"]
    scans = Counter(one.member for one in fresh if one.type == "scan.accepted")  # type: ignore[attr-defined]
    new = insert_into(members, connection)
    added = new.on_conflict_do_update(
        index_elements=["id"],
        set_={
            "points": members.c.points + new.excluded.points,
            "scans": members.c.scans + new.excluded.scans,
        },
    )
    # Sorted, as the inbox's keys are: two processes that book at once wait for each other in one direction.
    who = sorted(points.keys() | scans.keys())
    if who:
        rows = [{"id": id, "points": points[id], "scans": scans[id]} for id in who]
        await connection.execute(added, rows)


async def add_tags(connection: AsyncConnection, pairs: set[tuple[str, str]]) -> None:
    if pairs:
        rows = [{"member": member, "tag": tag} for member, tag in sorted(pairs)]
        await connection.execute(insert_into(tags, connection).on_conflict_do_nothing(), rows)


def insert_into(table: Table, connection: AsyncConnection) -> Any:
    """SQLite and PostgreSQL have the same ON CONFLICT."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


async def open_database(url: str) -> AsyncEngine:
    # Who won what is not for the log.
    engine = create_async_engine(url, hide_parameters=True, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":

        @listens_for(engine.sync_engine, "connect")
        def durable(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)  # a service that lives long has migrations for this
    return engine


def api(engine: AsyncEngine) -> web.Application:
    routes = web.RouteTableDef()

    @routes.get("/members/{id}")
    async def member(request: web.Request) -> web.Response:
        id = request.match_info["id"]
        async with engine.connect() as connection:
            found = (await connection.execute(select(members).where(members.c.id == id))).mappings().first()
            if found is None:
                return web.json_response({"error": "nobody of this name has won or scanned yet"}, status=404)
            theirs = select(tags.c.tag).where(tags.c.member == id).order_by(tags.c.tag)
            last = (
                select(bookings.c.points, bookings.c.why, bookings.c.at)
                .where(bookings.c.member == id)
                .order_by(bookings.c.at.desc(), bookings.c.event)
                .limit(RECENT)
            )
            said = {
                **found,
                "tags": list(await connection.scalars(theirs)),
                "recent": [dict(row) for row in (await connection.execute(last)).mappings()],
            }
        return web.json_response(said)

    app = web.Application()
    app.add_routes(routes)
    return app


async def serve(database: str, port: int, name: str) -> None:
    """Answers, and books, until it is told to stop. What goes wrong in a batch ends it: nothing of that batch
    was booked or acknowledged, and it comes again after the restart."""
    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        consumer.stop()

    engine = await open_database(database)
    runner = web.AppRunner(api(engine))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    try:
        async with Consumer(GROUP, name, types=TYPES) as consumer:
            await site.start()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop)
            print(f"points on http://127.0.0.1:{runner.addresses[0][1]}/members/…", flush=True)  # noqa: T201
            async for events in consumer.batches(500):
                await book_when_possible(engine, events, stopping)
    finally:
        await runner.cleanup()
        await engine.dispose()


if __name__ == "__main__":
    get = os.environ.get
    try:
        asyncio.run(
            serve(
                get("POINTS_DATABASE", "sqlite+aiosqlite:///points.db"),
                int(get("POINTS_PORT", "8090")),
                get("POINTS_NAME", "points-1"),
            )
        )
    except (ScannerError, SQLAlchemyError, OSError) as error:
        sys.exit(f"points: {error}")
