"""The wire against a store that plays a part: who gets which reply, and what a line's end means."""

import asyncio
from contextlib import asynccontextmanager

import hiredis
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from scanner.ledger.connection import client_for
from scanner.ledger.wire import Wire, _Line, _taken_from


class Part:
    """A server that answers ECHO with its argument, and everything else with ``said``; nothing while it is
    ``silent``. ``lines`` counts connections, ``held`` keeps replies back until it is set."""

    def __init__(self) -> None:
        self.lines = 0
        self.silent = False
        self.said = b"+OK\r\n"
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines += 1
        commands = hiredis.Reader()
        try:
            while data := await reader.read(65536):
                commands.feed(data)
                while (command := commands.gets()) is not False:
                    await self.go_on.wait()
                    if command[0] == b"ECHO":
                        writer.write(b"$%d\r\n%s\r\n" % (len(command[1]), command[1]))
                    elif not self.silent:
                        writer.write(b"+OK\r\n" if command[0] == b"CLIENT" else self.said)
        finally:
            writer.close()


@asynccontextmanager
async def playing(timeout_ms: int = 2000):
    part = Part()
    server = await asyncio.start_server(part.serve, "127.0.0.1", 0)
    client = client_for(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_ms)
    wire = Wire(client, timeout_ms / 1000)
    try:
        yield part, wire
    finally:
        wire.close()
        await client.aclose()
        server.close()
        await server.wait_closed()


async def echoes(wire: Wire, *words: bytes) -> list[bytes]:
    return await asyncio.gather(*(wire.call(["ECHO", word]) for word in words))


async def test_callers_share_a_line_and_each_gets_its_reply() -> None:
    async with playing() as (part, wire):
        words = [b"%d" % n for n in range(50)]
        assert await echoes(wire, *words) == words
        assert part.lines == 1


async def test_a_command_that_cannot_be_packed_takes_nobodys_reply() -> None:
    async with playing() as (_, wire):
        assert await echoes(wire, b"first") == [b"first"]
        for bad in ([None], ["\ud800"]):
            with pytest.raises((TypeError, ValueError)):
                await wire.call(bad)  # type: ignore[arg-type]
        assert await echoes(wire, b"a", b"b", b"c") == [b"a", b"b", b"c"]


async def test_a_caller_who_left_keeps_its_place() -> None:
    async with playing() as (part, wire):
        await echoes(wire, b"first")
        part.go_on.clear()
        gone = asyncio.create_task(wire.call(["ECHO", b"gone"]))
        stays = asyncio.create_task(wire.call(["ECHO", b"stays"]))
        await asyncio.sleep(0)
        gone.cancel()
        part.go_on.set()
        assert await stays == b"stays"


async def test_an_error_reply_is_its_callers_alone() -> None:
    async with playing() as (part, wire):
        part.said = b"-ERR no such thing\r\n"
        with pytest.raises(ResponseError, match="no such thing"):
            await wire.call(["NONSENSE"])
        assert await echoes(wire, b"a") == [b"a"]
        assert part.lines == 1


@pytest.mark.parametrize("said", [b"-LOADING the data\r\n", b"-READONLY a replica\r\n", b"!nonsense\r\n"])
async def test_a_store_that_is_not_the_one_ends_the_line(said: bytes) -> None:
    async with playing() as (part, wire):
        part.said = said
        with pytest.raises(RedisConnectionError):
            await wire.call(["FCALL"])
        assert await echoes(wire, b"a") == [b"a"]
        assert part.lines == 2


async def test_a_reply_that_does_not_come_ends_the_line_for_all_on_it() -> None:
    async with playing(timeout_ms=100) as (part, wire):
        await echoes(wire, b"first")
        part.silent = True
        calls = await asyncio.gather(*(wire.call(["FCALL"]) for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in calls] == [RedisTimeoutError] * 3
        part.silent = False
        assert await wire.call(["FCALL"]) == b"OK"
        assert part.lines == 2


async def test_all_who_wait_for_a_line_share_one_opening_and_its_failure() -> None:
    async with playing(timeout_ms=100) as (part, wire):
        part.go_on.clear()  # it accepts, and says nothing
        calls = await asyncio.gather(*(wire.call(["FCALL"]) for _ in range(8)), return_exceptions=True)
        assert all(isinstance(error, RedisTimeoutError | RedisConnectionError) for error in calls)
        assert part.lines == 1
        part.go_on.set()
        assert await echoes(wire, b"a") == [b"a"]


@pytest.mark.parametrize("told", ["the line", "who had the connection before"])
async def test_a_line_that_was_lost_before_its_first_use_is_opened_anew(told: str) -> None:
    """Who waits for a connection goes on some turns of the loop after it was made; it may be gone then."""
    async with playing() as (part, wire):
        connection = wire._client.connection_pool.make_connection()
        await connection.connect()
        stream = _taken_from(connection)
        if told == "the line":
            wire._line = line = _Line(stream, 2.0)
        stream.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if told != "the line":
            wire._line = line = _Line(stream, 2.0)
        with pytest.raises(RedisConnectionError):
            await line.call(["ECHO", b"lost"])
        assert await echoes(wire, b"a") == [b"a"]
        assert part.lines == 2


async def test_uvloop_s_word_for_a_lost_connection_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is lost in the midst of redis-py's greeting: its next write finds no handle."""

    async def connect(self: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    async with playing() as (_, wire):
        with monkeypatch.context() as patch:
            patch.setattr("redis.asyncio.connection.AbstractConnection.connect", connect)
            with pytest.raises(RedisConnectionError, match="the handler is closed"):
                await wire.call(["ECHO", b"lost"])
        assert await echoes(wire, b"a") == [b"a"]
