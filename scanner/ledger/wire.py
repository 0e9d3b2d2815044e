"""The connection that claims travel on: a command in one write, its reply as the C reader has it.

redis-py opens it, with its TLS and its credentials; from then on this protocol stands in the place of its
streams. Between a batch and the socket redis-py has a pool, a lock, a time-out and a stream, which together
cost more than the scans of a small batch do. Nothing is ever sent again here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scanner.errors import ConfigurationError
from scanner.ledger.client import Client

Command = Sequence[str | bytes | int]

Ask = Callable[..., Awaitable[Any]]
"""Sends a command on a certain connection. Its reply as redis-py has it, an error of the store's included."""

READ_FIRST_S = 0.001
# The codes of errors by which a store says that it is none to talk to, or not yet.
NOT_NOW = ("LOADING", "READONLY", "MASTERDOWN")


class Wire:
    """Calls the store over one connection, which is opened when it is needed, and again after it broke.

    ``on_open`` is awaited before a claim is sent on a new one, with a way to ask there: it may lead to
    another store. What it raises is what the callers get.
    """

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._line: _Line | None = None
        self._opening: asyncio.Task[_Line] | None = None
        self.on_open: Callable[[Ask], Awaitable[None]] | None = None

    async def call(self, command: Command) -> Any:
        """The reply to one command.

        Raises:
            redis.exceptions.ResponseError: the store said no.
            redis.exceptions.ConnectionError, TimeoutError: no reply; it may have been executed.
        """
        line = self._line
        if line is None or line.broken:
            line = await self._opened()
        return await line.call(command)

    def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._line is not None:
            self._line.end(RedisConnectionError("the connection was closed"))
            self._line = None

    async def _opened(self) -> "_Line":
        """A new line. Who comes meanwhile shares it, or its failure: nobody waits for one after another."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._was_opened)
        return await asyncio.shield(self._opening)

    async def _open(self) -> "_Line":
        connection = self._client.connection_pool.make_connection()
        try:
            await connection.connect()
        except RuntimeError as error:  # uvloop's, where it was lost in the midst of redis-py's greeting
            raise RedisConnectionError(f"the connection was lost: {error}") from error
        if self.on_open is not None:
            try:
                await self.on_open(partial(_asked, self._client, connection))
            except BaseException:
                await connection.disconnect()
                raise
        self._line = _Line(_taken_from(connection), self._timeout_s)
        return self._line

    def _was_opened(self, opening: "asyncio.Task[_Line]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # marked as seen: who asked may be gone


class _Line(asyncio.Protocol):
    """One open connection. Replies come in the order of the commands."""

    def __init__(self, stream: asyncio.StreamWriter, timeout_s: float) -> None:
        self._stream = stream  # kept: without it the transport would be closed
        self._timeout_s = timeout_s
        self._asked: deque[asyncio.Future[Any]] = deque()
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=_error)
        self._loop = asyncio.get_running_loop()
        self.broken = False
        self._transport = stream.transport
        self._transport.set_protocol(self)

    async def call(self, command: Command) -> Any:
        data = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]
        if self.broken or self._transport.is_closing():
            # Lost before its first use; perhaps redis-py's protocol was told, and this one never will be.
            error = RedisConnectionError("the connection was lost; nothing was sent")
            self.end(error)
            raise error
        self._transport.write(data)
        future = self._loop.create_future()
        self._asked.append(future)
        timer = self._loop.call_later(self._timeout_s, self._look_again, future)
        try:
            return await future
        finally:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:  # no reply of RESP2 is False
                self._give(self._asked.popleft(), reply)
        except (RedisConnectionError, IndexError) as error:
            self.end(RedisConnectionError(f"the store's reply is not one: {error!r}"))

    def _give(self, future: asyncio.Future[Any], reply: Any) -> None:
        if isinstance(reply, RedisConnectionError):  # this store is not the one to talk to, for now
            self._asked.appendleft(future)
            self.end(reply)
        elif not future.done():
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(RedisConnectionError(f"the connection was lost: {exc or 'the store closed it'}"))

    def _look_again(self, future: asyncio.Future[Any]) -> None:
        # Where this process was held up, timers come before the socket is read: the reply may lie there.
        self._loop.call_later(READ_FIRST_S, self._give_up, future)

    def _give_up(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            # Whatever still comes would be taken for the answer to something else: the line goes with it.
            self.end(RedisTimeoutError(f"no reply within {self._timeout_s} s"))

    def end(self, error: Exception) -> None:
        self.broken = True
        while self._asked:
            future = self._asked.popleft()
            if not future.done():
                future.set_exception(error)
        self._transport.abort()


async def _asked(client: Any, connection: Any, *command: str) -> Any:
    await connection.send_command(*command)
    try:
        return await client.parse_response(connection, command[0])
    except ResponseError as error:
        return error


def _error(text: str) -> Exception:
    """The error that an error reply stands for. These stores have executed nothing, and may yet be the right
    one, or another has taken their place: the connection is made anew."""
    return (RedisConnectionError if text.partition(" ")[0] in NOT_NOW else ResponseError)(text)


def _taken_from(connection: Any) -> asyncio.StreamWriter:
    """The stream under a connection of redis-py, which has no public name for it, and gives it up."""
    stream = getattr(connection, "_writer", None)
    if not isinstance(stream, asyncio.StreamWriter):
        raise ConfigurationError("this redis-py keeps its connections otherwise; install the locked version")
    connection._reader = connection._writer = None
    return stream
