"""A tiny HTTP server to generate load against: it answers, stalls, closes and cuts as a test wants it to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from loadtests.generator.target import Address


def answer(body: bytes = b"{}", *lines: str, status: int = 200, length: str = "Content-Length") -> bytes:
    head = [f"HTTP/1.1 {status} Said", "Content-Type: application/json", *lines, f"{length}: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def request(body: bytes = b"{}") -> bytes:
    return b"POST /v1/scans HTTP/1.1\r\nHost: tiny.test\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Asked(NamedTuple):
    """A request, by its number from 0."""

    no: int
    head: bytes
    body: bytes


Say = Callable[[Asked], bytes | None]
"""What is answered; None hangs up without a word."""


@dataclass
class Tiny:
    """It answers what ``say`` says, ``delay_s`` later, and while ``may_answer`` is set."""

    say: Say
    delay_s: float = 0.0
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.writers.append(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays."""
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = [
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        body = await reader.readexactly(length)
        self.bodies.append(body)
        self.arrived.set()
        said = self.say(Asked(len(self.bodies) - 1, head, body))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self.may_answer.wait()
        if said is None:
            return False
        writer.write(said)
        return b"Connection: close" not in said


@asynccontextmanager
async def tiny(say: Say, delay_s: float = 0.0) -> AsyncIterator[tuple[Tiny, Address]]:
    served = Tiny(say, delay_s)
    served.may_answer.set()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    try:
        yield served, server.sockets[0].getsockname()[:2]
    finally:
        # What was accepted at the last moment begins within so many turns. A server that is closed in between
        # forgets it, and its socket stays open.
        for _ in range(20):
            await asyncio.sleep(0)
        server.close()
        for task in served.tasks:
            task.cancel()
        await asyncio.gather(*served.tasks, return_exceptions=True)
        for writer in served.writers:
            writer.transport.abort()  # some have answers left that nobody reads
        await asyncio.gather(*(writer.wait_closed() for writer in served.writers), return_exceptions=True)
