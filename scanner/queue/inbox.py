"""Exactly one effect: the event's key and the effect are committed together, or not at all.

For SQLAlchemy on SQLite (3.38 or later) and PostgreSQL, with any of their drivers. ``docs/exactly-once.md``
says why this suffices, and what does not.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from scanner.errors import ConfigurationError, missing
from scanner.queue.inbox_keys import TABLE, K, in_order, those_of

try:
    from sqlalchemy import (
        ARRAY,
        Column,
        Connection,
        DateTime,
        MetaData,
        Table,
        Text,
        bindparam,
        func,
        literal,
        select,
        true,
    )
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session
except ModuleNotFoundError:
    raise missing("SQLAlchemy", "the inbox", "inbox") from None


class Inbox:
    """What one consumer has done already, as rows of a table in its own database.

    ``consumer`` is whose effects these are, such as the consumer's group: two that share a database each
    give every event their own effect. Inboxes of one MetaData share the table, ``Inbox.table``, which is made
    with the others, by ``create_all`` or a migration. It has a row for each event; rows may be deleted by
    ``recorded_at`` once nothing older can come again.

    ::

        inbox = Inbox(metadata, "points")
        async for events in consumer.batches(500):
            async with sessions.begin() as session:
                for event in await inbox.fresh(session, events):
                    ...  # the effect, by this session
    """

    def __init__(
        self, metadata: MetaData, consumer: str, *, table: str = TABLE, schema: str | None = None
    ) -> None:
        if not consumer:
            raise ConfigurationError("an inbox needs the name of its consumer, such as that of its group")
        schema = schema or metadata.schema
        known = metadata.tables.get(f"{schema}.{table}" if schema else table)
        self.table = _table(metadata, table, schema) if known is None else known
        columns = ["consumer", "key"]
        # One parameter however many keys: the statement is prepared once, and no limit of variables is met.
        listed = func.json_each(bindparam("keys", type_=Text)).table_valued("value").c.value
        unnested = func.unnest(bindparam("keys", type_=ARRAY(Text)))
        self._statements: dict[str, Any] = {
            # Without a condition, SQLite would read ON as the beginning of a join.
            "sqlite": sqlite.insert(self.table)
            .from_select(columns, select(literal(consumer), listed).where(true()))
            .on_conflict_do_nothing()
            .returning(self.table.c.key),
            "postgresql": postgresql.insert(self.table)
            .from_select(columns, select(literal(consumer), unnested))
            .on_conflict_do_nothing()
            .returning(self.table.c.key),
        }

    async def fresh(self, session: AsyncSession | AsyncConnection, events: Sequence[K]) -> list[K]:
        """Records the events in the session's transaction; those that were not recorded yet, in their order.

        Several with one key count as one. Where another transaction has recorded one of them and is not over
        yet, this waits for it. What the transaction's end decides for the effects it decides for the records.

        Raises:
            ConfigurationError: each statement, or a savepoint, would be committed by itself; or the
                database is another one.
        """
        return await session.run_sync(self.fresh_sync, events)

    def fresh_sync(self, session: Session | Connection, events: Sequence[K]) -> list[K]:
        """The same for a plain session or connection."""
        if not events:
            return []
        if isinstance(session, Session):
            connection = session.connection(bind_arguments={"clause": self.table})
        else:
            connection = session
        name = connection.dialect.name
        if name not in self._statements:
            raise ConfigurationError(f"the inbox knows SQLite and PostgreSQL, and this database is {name}")
        if _commits_by_itself(connection):
            raise ConfigurationError(
                "the connection commits each statement by itself (AUTOCOMMIT): an event would be recorded "
                "and its effect lost; use a connection with transactions"
            )
        if _savepoint_commits(connection):
            raise ConfigurationError(
                "this driver of SQLite begins no transaction before a savepoint, whose end would record the "
                "events without their effects: call fresh before begin_nested()"
            )
        keys = in_order(events)
        parameter = orjson.dumps(keys).decode() if name == "sqlite" else keys
        return those_of(events, connection.scalars(self._statements[name], {"keys": parameter}))


def _table(metadata: MetaData, name: str, schema: str | None) -> Table:
    return Table(
        name,
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("recorded_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
        schema=schema,
        sqlite_with_rowid=False,
    )


def _commits_by_itself(connection: Connection) -> bool:
    if not connection.in_transaction():
        connection.begin()  # as its first statement would
    driver = connection.connection
    try:
        if not connection.dialect.detect_autocommit_setting(driver.dbapi_connection):  # type: ignore[arg-type]
            return False
    except NotImplementedError:  # a driver that does not tell
        return False
    # SQLite's may be told to begin nothing by themselves, so that the engine's own BEGIN counts.
    return not getattr(driver.driver_connection, "in_transaction", False)


def _savepoint_commits(connection: Connection) -> bool:
    """Whether the end of the savepoint that this is in may be the end of SQLite's whole transaction: it is
    where the savepoint came first, which nobody can tell afterwards."""
    if connection.dialect.name != "sqlite" or not connection.in_nested_transaction():
        return False
    driver: Any = connection.connection.driver_connection
    legacy = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL, from Python 3.12 on
    return driver.isolation_level is not None and getattr(driver, "autocommit", legacy) == legacy
