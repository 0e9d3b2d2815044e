"""Both ends of a connection: what a client gets, and how much of what it sends has arrived."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from scanner.service.connection import Protocol

ANSWER = re.compile(rb"HTTP/1\.[01] \d{3} ")


class Tap(asyncio.Protocol):
    """Stands between a transport and its connection, and knows how much has arrived."""

    def __init__(self, connection: Protocol, taps: dict[int, "Tap"]) -> None:
        self.connection = connection
        self.received, self.is_lost, self.changed = 0, False, asyncio.Event()
        self._taps = taps
        for name in ("eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(connection, name))

    def connection_made(self, transport: Any) -> None:
        self._taps[transport.get_extra_info("peername")[1]] = self
        self.connection.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.connection.data_received(data)
        self.received += len(data)
        self.changed.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.connection.connection_lost(exc)
        self.is_lost = True
        self.changed.set()

    async def until(self, received: int) -> None:
        while self.received < received and not self.is_lost:
            self.changed.clear()
            await self.changed.wait()


class Wire(asyncio.Protocol):
    """A client's end: bytes in, bytes out."""

    def __init__(self) -> None:
        self.data, self.is_over, self.changed = bytearray(), False, asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.is_over = True
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not (self.is_over or condition()):
            self.changed.clear()
            await self.changed.wait()


def undated(data: bytes) -> bytes:
    """Answers without what differs from one to the next: the date, and the spread times to come again at."""
    data = re.sub(rb"\r\nDate: [^\r\n]+", b"\r\nDate: -", data)
    return re.sub(rb"\r\nRetry-After: [1-4]\r\n", b"\r\nRetry-After: 1\r\n", data)
