"""The inbox on real databases: what is new, to whom, and for how long."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Engine,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from scanner.errors import ConfigurationError
from scanner.queue import inbox_keys
from scanner.queue.events import Event, event_of
from scanner.queue.inbox import Inbox
from scanner.queue.inbox_keys import KEY_CHARS_MAX, K, in_order, recorded, those_of
from tests.postgres import Postgres
from tests.running import PATIENCE_S

metadata = MetaData()
effects = Table("effects", metadata, Column("key", Text, nullable=False))
inbox = Inbox(metadata, "points")


def scan(id: str) -> Event:
    fields = {"type": "scan.accepted", "at": "1", "id": id, "campaign": "spring", "member": "m", "rules": "r"}
    fields |= {"product": "06901234567892", "lot": "1", "serial": "2", "awards": "[]"}
    return event_of("1-0", fields)


def scans(*numbers: int) -> list[Event]:
    return [scan(f"{number:016}") for number in numbers]


class _Keyed(NamedTuple):
    key: str


@pytest.fixture(params=["sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    if request.param.startswith("sqlite"):
        url = f"{request.param}:///{tmp_path}/effects.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = (await server.database()).dsn.replace("postgresql", request.param, 1)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield engine
    await engine.dispose()


async def give(engine: AsyncEngine, events: Sequence[K], by: Inbox = inbox) -> list[K]:
    """The fresh ones, with their effects committed."""
    async with AsyncSession(engine) as session, session.begin():
        fresh = await by.fresh(session, events)
        if fresh:
            await session.execute(insert(effects), [{"key": recorded(one.key)} for one in fresh])
    return fresh


async def given_effects(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return sorted((await connection.scalars(select(effects.c.key))).all())


async def recorded_keys(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return set((await connection.scalars(select(inbox.table.c.key))).all())


async def test_an_event_is_fresh_once(engine: AsyncEngine) -> None:
    assert await give(engine, scans(3, 1, 2)) == scans(3, 1, 2)  # in their own order
    assert await give(engine, scans(1, 4, 3)) == scans(4)
    assert await give(engine, scans(1, 2, 3, 4)) == []
    assert await given_effects(engine) == [one.key for one in scans(1, 2, 3, 4)]


async def test_several_copies_in_one_list_count_once(engine: AsyncEngine) -> None:
    assert await give(engine, scans(2, 1, 2, 2, 1)) == scans(2, 1)


async def test_nothing_is_asked_for_no_events(engine: AsyncEngine) -> None:
    assert await give(engine, []) == []


async def test_more_at_once_than_a_statement_has_variables(engine: AsyncEngine) -> None:
    many = [_Keyed(f"{number:016}") for number in range(40_000)]
    async with engine.begin() as connection:
        assert await inbox.fresh(connection, many[::2]) == many[::2]
    async with engine.begin() as connection:
        assert await inbox.fresh(connection, many[:1_000]) == many[1:1_000:2]


async def test_a_connection_serves_as_well_as_a_session(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        assert await inbox.fresh(connection, scans(1, 2)) == scans(1, 2)
    async with engine.begin() as connection:
        assert await inbox.fresh(connection, scans(2, 3)) == scans(3)


async def test_what_is_rolled_back_is_fresh_again(engine: AsyncEngine) -> None:
    with suppress(ZeroDivisionError):
        async with AsyncSession(engine) as session, session.begin():
            assert await inbox.fresh(session, scans(1)) == scans(1)
            raise ZeroDivisionError
    assert await recorded_keys(engine) == set()
    async with AsyncSession(engine) as session:  # left without a commit
        assert await inbox.fresh(session, scans(1)) == scans(1)
    assert await recorded_keys(engine) == set()
    async with AsyncSession(engine) as session, session.begin():
        with suppress(ZeroDivisionError, ConfigurationError):  # SQLite's is refused: see below
            async with session.begin_nested():
                await inbox.fresh(session, scans(1))
                raise ZeroDivisionError
        assert await inbox.fresh(session, scans(1)) == scans(1)
    assert await give(engine, scans(1)) == []


async def test_each_consumer_of_a_database_has_its_own_effects(engine: AsyncEngine) -> None:
    """Points and cash are groups of their own, and an event may have both."""
    cash = Inbox(metadata, "cash")
    assert cash.table is inbox.table
    assert await give(engine, scans(1)) == scans(1)
    assert await give(engine, scans(1), by=cash) == scans(1)
    assert await give(engine, scans(1), by=cash) == []


async def test_keys_of_any_length_and_form(engine: AsyncEngine) -> None:
    """None is refused, and none is cut so that it looks like another."""
    long = "x" * 5_000
    odd = [_Keyed(key) for key in (long, long + "1", "a\0b", "a\0c", 'q"\\', "红包", "x" * KEY_CHARS_MAX)]
    assert await give(engine, odd) == odd
    assert await give(engine, odd) == []
    assert max(map(len, await recorded_keys(engine))) <= KEY_CHARS_MAX


async def test_a_connection_that_commits_by_itself_is_refused(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
            await inbox.fresh(connection, scans(1))
    assert await recorded_keys(engine) == set()


async def test_a_savepoint_never_keeps_records_without_their_effects(engine: AsyncEngine) -> None:
    """The savepoint is the transaction's first statement, and the process ends before the commit."""
    refuses = engine.dialect.name == "sqlite"

    async def crash() -> None:
        async with AsyncSession(engine) as session, session.begin():
            async with session.begin_nested():
                assert await inbox.fresh(session, scans(1)) == scans(1)
            raise ZeroDivisionError("division")

    with pytest.raises(ConfigurationError if refuses else ZeroDivisionError, match=r"begin_nested|division"):
        await crash()
    assert await recorded_keys(engine) == set()


async def test_two_consumers_with_the_same_events_at_the_same_time(engine: AsyncEngine) -> None:
    """In any order of theirs: each waits for the other, neither for ever, and one has the effect."""
    dice = random.Random(6)

    async def one(events: list[Event]) -> None:
        while True:
            with suppress(DBAPIError):  # SQLite's "database is locked" under load: it is tried again
                await give(engine, events)
                return

    for start in range(0, 2_000, 100):
        events = scans(*range(start, start + 100))
        await asyncio.gather(*(one(dice.sample(events, 80)) for _ in range(6)), one(events))
    assert await given_effects(engine) == [one.key for one in scans(*range(2_000))]


@pytest.fixture
async def server(postgres: Postgres) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine((await postgres.database()).url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("first_commits", [True, False])
async def test_postgres_waits_for_whoever_was_first(server: AsyncEngine, first_commits: bool) -> None:
    async with AsyncSession(server) as first, AsyncSession(server) as second:
        assert await inbox.fresh(first, scans(1, 2)) == scans(1, 2)
        waiting = asyncio.create_task(inbox.fresh(second, scans(2, 3)))
        await _somebody_waits(server)
        assert not waiting.done()
        await (first.commit() if first_commits else first.rollback())
        assert await waiting == (scans(3) if first_commits else scans(2, 3))


async def test_postgres_of_a_stricter_isolation_refuses_and_it_is_tried_again(server: AsyncEngine) -> None:
    strict = server.execution_options(isolation_level="REPEATABLE READ")
    async with AsyncSession(strict) as first, AsyncSession(strict) as second:
        await inbox.fresh(first, scans(1))
        waiting = asyncio.create_task(inbox.fresh(second, scans(1, 2)))
        await _somebody_waits(server)
        await first.commit()
        with pytest.raises(DBAPIError, match="could not serialize"):
            await waiting
    assert await give(strict, scans(1, 2)) == scans(2)


async def _somebody_waits(engine: AsyncEngine) -> None:
    waits = (
        select(func.count())
        .select_from(Table("pg_locks", MetaData(), Column("granted")))
        .where(Column("granted").is_(False))
    )
    async with asyncio.timeout(PATIENCE_S), engine.connect() as connection:
        while not await connection.scalar(waits):  # noqa: ASYNC110 (the server's state sets no event)
            await asyncio.sleep(0.01)


async def _cross(engine: AsyncEngine, rounds: Iterable[int]) -> int:
    """Two with the same thousand events in opposite orders; how many transactions were ended as deadlocks."""
    deadlocks = 0

    async def one(events: list[Event]) -> None:
        nonlocal deadlocks
        try:
            await give(engine, events)
        except DBAPIError as error:
            if "deadlock" not in str(error):
                raise
            deadlocks += 1

    for number in rounds:
        events = scans(*range(number * 1_000, number * 1_000 + 1_000))
        await asyncio.gather(one(events), one(events[::-1]))
    return deadlocks


async def test_opposite_orders_are_no_deadlock(server: AsyncEngine) -> None:
    assert await _cross(server, range(10)) == 0


async def test_control_keys_in_the_events_order_are_a_deadlock(
    server: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.queue.inbox.in_order", lambda events: [recorded(one.key) for one in events])
    for number in range(1_000):  # the first few have one, where the machine does two things at once
        if await _cross(server, [number]):
            return
    raise AssertionError("there was none")


@pytest.fixture(params=["sqlite", "postgresql+psycopg"])
async def plain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/effects.db"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = (await server.database()).dsn.replace("postgresql", request.param, 1)
    engine = create_engine(url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


async def test_the_same_without_asyncio(plain: Engine) -> None:
    with Session(plain) as session, session.begin():
        assert inbox.fresh_sync(session, scans(2, 1)) == scans(2, 1)
    with plain.begin() as connection:
        assert inbox.fresh_sync(connection, scans(1, 3)) == scans(3)
    with (
        plain.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(ConfigurationError, match="AUTOCOMMIT"),
    ):
        inbox.fresh_sync(connection, scans(4))


@given(st.lists(st.tuples(st.lists(st.integers(0, 9).map(str)), st.booleans())))
def test_fresh_is_what_no_committed_transaction_has_had(transactions: list[tuple[list[str], bool]]) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    committed: set[str] = set()
    for keys, commits in transactions:
        with engine.connect() as connection:
            fresh = inbox.fresh_sync(connection, [_Keyed(key) for key in keys])
            assert [one.key for one in fresh] == [key for key in dict.fromkeys(keys) if key not in committed]
            assert inbox.fresh_sync(connection, [_Keyed(key) for key in keys]) == []
            if commits:
                connection.commit()
                committed |= set(keys)
            else:
                connection.rollback()
    engine.dispose()


async def test_sqlite_with_a_begin_of_the_engines_own(tmp_path: Path) -> None:
    """As SQLAlchemy's documentation has it: the driver is told to begin nothing, and the engine begins."""
    engine = create_engine(f"sqlite:///{tmp_path}/effects.db")

    @event.listens_for(engine, "connect")
    def nothing_by_itself(connection, _record) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    metadata.create_all(engine)
    with engine.connect() as connection:
        assert inbox.fresh_sync(connection, scans(1)) == scans(1)
        connection.rollback()
        assert inbox.fresh_sync(connection, scans(1)) == scans(1)
        connection.commit()
        assert inbox.fresh_sync(connection, scans(1)) == []
    engine.dispose()


async def test_the_table_is_one_of_the_services_own(engine: AsyncEngine) -> None:
    """It stands in the MetaData, where migrations look, and can be named."""
    own = MetaData()
    named = Inbox(own, "points", table="done_already")
    assert own.tables["done_already"] is named.table
    async with engine.begin() as connection:
        await connection.run_sync(own.create_all)
        columns = await connection.run_sync(lambda sync: inspect(sync).get_columns("done_already"))
        key = await connection.run_sync(lambda sync: inspect(sync).get_pk_constraint("done_already"))
        assert await named.fresh(connection, scans(1)) == scans(1)
        assert await connection.scalar(select(named.table.c.recorded_at)) is not None
    assert [column["name"] for column in columns] == ["consumer", "key", "recorded_at"]
    assert key["constrained_columns"] == ["consumer", "key"]


async def test_a_schema_of_its_own(server: AsyncEngine) -> None:
    own = MetaData()
    apart = Inbox(own, "points", schema="apart")
    assert Inbox(own, "cash", schema="apart").table is apart.table
    theirs = MetaData(schema="apart")
    assert (
        Inbox(theirs, "points").table is Inbox(theirs, "cash").table is theirs.tables["apart.scanner_inbox"]
    )
    async with server.begin() as connection:
        await connection.exec_driver_sql("CREATE SCHEMA apart")
        await connection.run_sync(own.create_all)
        assert await apart.fresh(connection, scans(1)) == scans(1)


def test_a_consumer_has_a_name() -> None:
    with pytest.raises(ConfigurationError, match="name of its consumer"):
        Inbox(MetaData(), "")


def test_without_sqlalchemy_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['sqlalchemy'] = None; import scanner.queue.inbox"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "the inbox needs SQLAlchemy: install scanner with its extra `inbox`" in done.stderr
    assert "pip install scanner" not in done.stderr  # what the index has under that name is not ours


def test_another_database_is_refused() -> None:
    class Elsewhere:
        class dialect:  # noqa: N801
            name = "mysql"

    with pytest.raises(ConfigurationError, match="this database is mysql"):
        inbox.fresh_sync(Elsewhere(), scans(1))


@given(keys=st.lists(st.text(st.characters(codec="utf-8"), max_size=200)), known=st.sets(st.text(max_size=3)))
def test_each_key_is_inserted_once_and_each_new_one_is_handed_over_once(
    keys: list[str], known: set[str]
) -> None:
    events = [_Keyed(key) for key in keys]
    inserted = in_order(events)
    assert inserted == sorted(set(inserted))
    assert len(inserted) == len(set(keys))
    assert all(len(key) <= KEY_CHARS_MAX and key.isprintable() for key in inserted)
    fresh = those_of(events, [key for key in inserted if key not in known])
    expected = [key for key in dict.fromkeys(keys) if inbox_keys.recorded(key) not in known]
    assert [event.key for event in fresh] == expected
