"""The target of the bridge to NATS JetStream, and what its stream has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scanner.queue.bridges.nats import Connection, JetStreamTarget, NewStream
from tests.nats import NatsServer, ids_in

STREAM = "scanner-main"
MADE = NewStream()


def target_of(server: NatsServer, *, create: NewStream | None = MADE, **values) -> JetStreamTarget:
    connection = Connection(servers=(server.url,), **values.pop("connection", {}))
    return JetStreamTarget(connection, stream=STREAM, brand="main", create=create, **values)


@asynccontextmanager
async def opened(server: NatsServer, **values) -> AsyncIterator[JetStreamTarget]:
    target = target_of(server, **values)
    try:
        await target.check()
        yield target
    finally:
        await target.close()


async def keys_in(server: NatsServer) -> list[str]:
    return await ids_in(server, STREAM)
