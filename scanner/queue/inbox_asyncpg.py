"""The inbox for plain asyncpg, without SQLAlchemy; its table is the one of :mod:`scanner.queue.inbox`."""

from collections.abc import Sequence
from typing import Any, Protocol

from scanner.errors import ConfigurationError
from scanner.queue.inbox_keys import TABLE, K, in_order, those_of


class Connection(Protocol):
    """What is used of an ``asyncpg.Connection``, or of one of a pool."""

    def is_in_transaction(self) -> bool: ...
    async def fetch(self, query: str, *args: Any) -> Sequence[Any]: ...


class AsyncpgInbox:
    """What one consumer has done already, as rows of a table in its own database.

    ``consumer`` is whose effects these are, such as the consumer's group. ``create`` makes the table where it
    is not there: run it once, with the migrations.

    ::

        inbox = AsyncpgInbox("points")
        async for events in consumer.batches(500):
            async with connection.transaction():
                for event in await inbox.fresh(connection, events):
                    ...  # the effect, by this connection
    """

    def __init__(self, consumer: str, *, table: str = TABLE, schema: str | None = None) -> None:
        if not consumer:
            raise ConfigurationError("an inbox needs the name of its consumer, such as that of its group")
        self._consumer = consumer
        name = f"{_quoted(schema)}.{_quoted(table)}" if schema else _quoted(table)
        self.create = f"""CREATE TABLE IF NOT EXISTS {name} (
  consumer text NOT NULL,
  key text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, key)
)"""
        self._insert = (
            f"INSERT INTO {name} (consumer, key) SELECT $1, unnest($2::text[]) "
            "ON CONFLICT DO NOTHING RETURNING key"
        )

    async def fresh(self, connection: Connection, events: Sequence[K]) -> list[K]:
        """Records the events in the connection's transaction; those that were not recorded yet, in order.

        As :meth:`scanner.queue.inbox.Inbox.fresh`.

        Raises:
            ConfigurationError: the connection is not in a transaction.
        """
        if not connection.is_in_transaction():
            raise ConfigurationError(
                "fresh() outside of a transaction would record an event and lose its effect: "
                "call it inside `async with connection.transaction():`"
            )
        if not events:
            return []
        rows = await connection.fetch(self._insert, self._consumer, in_order(events))
        return those_of(events, (row["key"] for row in rows))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
