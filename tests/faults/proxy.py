"""A TCP proxy before the store, with faults: what a network and a store that dies do to a connection.

Where a reply is lost its request was executed. Faults come by chance, of dice that are given, or to order.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing throws away what is not sent, and says RST


@dataclass(frozen=True)
class Chances:
    """How many in a hundred requests or replies meet with what."""

    dropped: float = 0  # the reply is lost, the connection ends
    cut: float = 0  # half of the reply comes, then the connection ends
    reset: float = 0  # the connection is reset before the request comes through, or before its reply does
    stalled: float = 0  # the request or the reply waits
    sliced: float = 0  # the reply comes in small pieces
    stall_s: tuple[float, float] = (0.05, 0.5)


class Proxy:
    """``replies_to_drop``: how many of the next replies are lost, each with its connection.

    ``happened`` counts the faults by the names of Chances; ``delay_s`` is what every reply waits, and
    ``bytes_per_s`` how fast replies travel; ``connected`` is how many connections there were.
    """

    def __init__(
        self, store_socket: str | Path, chances: Chances = Chances(), dice: Random | None = None
    ) -> None:
        self._store_socket = str(store_socket)
        self._tasks: set[asyncio.Task[None]] = set()
        self._dice = dice or Random(0)
        self._holds: list[_Held] = []
        self.chances = chances
        self.happened: Counter[str] = Counter()
        self.replies_to_drop = 0
        self.replies_dropped = 0
        self.delay_s = 0.0
        self.bytes_per_s = float("inf")
        self.port = 0
        self.connected = 0

    def leads_to(self, store_socket: str | Path) -> None:
        """Where connections that come from here on lead."""
        self._store_socket = str(store_socket)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def holding_a_reply(self, to: bytes = b"FCALL") -> AsyncIterator[int]:
        """Keeps the next reply to such a command from its client, until the block ends: then it is lost.

        What is yielded is the client's port.
        """
        held = _Held(to, asyncio.get_running_loop().create_future(), asyncio.Event())
        self._holds.append(held)
        try:
            yield await held.port
        finally:
            held.port.cancel()
            held.end.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connected += 1
        task.add_done_callback(self._tasks.discard)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):  # there is no store now; or the proxy ends
            pass
        finally:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_store, to_store = await asyncio.open_unix_connection(self._store_socket)
        line = _Line(reader, writer, from_store, to_store)
        forward = asyncio.create_task(self._forward(line))
        try:
            while await self._answered(line):
                pass
        finally:
            forward.cancel()
            await asyncio.gather(forward, return_exceptions=True)
            to_store.close()

    async def _forward(self, line: "_Line") -> None:
        """Requests, until there are none; the end of the client is the end of the store's side, too."""
        with suppress(OSError):
            while data := await line.reader.read(1 << 16):
                line.asked = data if data.startswith(b"*") else line.asked  # else a large one goes on
                if self._meets("reset", of=2):
                    line.reset()
                    return
                if self._meets("stalled", of=2):
                    await asyncio.sleep(self._dice.uniform(*self.chances.stall_s))
                line.to_store.write(data)
                await line.to_store.drain()
        line.to_store.close()

    async def _answered(self, line: "_Line") -> bool:
        """Passes a reply on. False where the connection ends."""
        data = await line.from_store.read(1 << 16)
        if not data:
            return False
        for held in [held for held in self._holds if held.to in line.asked]:
            self._holds.remove(held)
            if not held.port.done():
                held.port.set_result(line.port)
                await held.end.wait()
                return False
        if self.replies_to_drop:
            self.replies_to_drop -= 1
            self.replies_dropped += 1
            return False
        if self._meets("dropped"):
            return False
        if self._meets("reset", of=2):
            line.reset()
            return False
        if wait_s := self.delay_s + len(data) / self.bytes_per_s:
            await asyncio.sleep(wait_s)
        if self._meets("stalled", of=2):
            await asyncio.sleep(self._dice.uniform(*self.chances.stall_s))
        if self._meets("cut"):
            line.writer.write(data[: len(data) // 2])
            await line.writer.drain()
            line.writer.close()
            return False
        await line.send(data, 1 + len(data) // 8 if self._meets("sliced") else len(data))
        return True

    def _meets(self, fault: str, of: int = 1) -> bool:
        """Whether this one meets with the fault, which has ``of`` places where it may happen."""
        chance: float = getattr(self.chances, fault)
        if chance and self._dice.random() * 100 * of < chance:
            self.happened[fault] += 1
            return True
        return False


@dataclass(frozen=True)
class _Held:
    to: bytes
    port: asyncio.Future[int]
    end: asyncio.Event


@dataclass
class _Line:
    """One client's connection, and the store's that goes with it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    from_store: asyncio.StreamReader
    to_store: asyncio.StreamWriter
    asked: bytes = b""  # the last request's beginning

    @property
    def port(self) -> int:
        return int(self.writer.get_extra_info("peername")[1])

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()
        self.to_store.close()

    async def send(self, data: bytes, piece: int) -> None:
        for start in range(0, len(data), piece):
            self.writer.write(data[start : start + piece])
            await self.writer.drain()
            if piece < len(data):
                await asyncio.sleep(0)
