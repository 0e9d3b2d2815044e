"""Clients that hang up, at every stage of a scan; and phones beside them that look whose answers they get."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from scanner.codes import CodeId
from tests.brand import Brand
from tests.faults.seeds import share
from tests.phone import Phone, Reply, scan_request

STAGES = (
    "before anything",
    "in the head",
    "after the head",
    "in the body",
    "after the request",
    "while the claim is away",
    "in the answer",
    "behind a second request",
)
WAYS = ("FIN", "RST")
CLOSE_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: what is left is thrown away, by an RST


PRIZES = 20
PRIZE = """
[[pool.prize]]
id = "p{n}"
kind = "points"
amount = {n}
odds = "0.05"
"""
TELLING = """
[[pool]]
id = "telling"
draw = "odds"
""" + "".join(PRIZE.format(n=n) for n in range(1, PRIZES + 1))
"""What the store says to one code is told from what it says to another: each draws one of many prizes."""


class Due(NamedTuple):
    """What a code's answer must say."""

    scan_id: str
    amount: int


@dataclass
class Codes:
    """A lot's codes, each for one person."""

    brand: Brand
    lot: int
    serials: Iterator[int]

    def take(self) -> tuple[str, Due]:
        """A code that nobody has had, and what is due to it."""
        serial, table = next(self.serials), self.brand.keyring.table()
        code = CodeId(self.brand.keyring.minting_kid, self.lot, serial)
        u = table.draw(*code, b"telling")
        return self.brand.code(self.lot, serial), Due(table.scan_id(*code), (u * PRIZES >> 48) + 1)


@dataclass
class Crowd:
    """``is_away`` returns once claims of the service are under way. ``wrong`` are answers that were not for
    who got them."""

    port: int
    codes: Codes
    rng: random.Random
    is_away: Callable[[], Awaitable[None]]
    hung_up: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: list[tuple[bytes, Due]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    answered: int = 0
    unknown: int = 0

    def __post_init__(self) -> None:
        # Few members, so that what a worker remembers of them does not grow with the crowd.
        self._tokens = [self.codes.brand.token(f"m{n}") for n in range(20)]

    def _scan(self) -> tuple[bytes, Due]:
        code, due = self.codes.take()
        return scan_request(self.rng.choice(self._tokens), code), due

    async def hang_up(self, stage: str, way: str) -> None:
        """One client, which goes at this stage."""
        self.hung_up[stage, way] += 1
        request, due = self._scan()
        loop, one = asyncio.get_running_loop(), socket.socket()
        head = request.index(b"\r\n\r\n") + 4
        length = {
            "before anything": 0,
            "in the head": self.rng.randrange(1, head),
            "after the head": head,
            "in the body": self.rng.randrange(head, len(request)),
        }.get(stage, len(request))
        try:
            one.setblocking(False)
            await loop.sock_connect(one, ("127.0.0.1", self.port))
            if self.rng.random() < 0.5:  # one who has been answered before, on this connection
                await self._first(one)
            await loop.sock_sendall(one, request[:length])
            if stage == "behind a second request":
                second, _ = self._scan()
                await loop.sock_sendall(one, second[: self.rng.randrange(1, len(second))])
            elif stage == "while the claim is away":
                await self.is_away()
            elif stage == "in the answer":
                await loop.sock_recv(one, self.rng.randrange(1, 200))
            if way == "RST":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_AT_ONCE)
        except ConnectionError:
            pass  # the server has let go of it first
        finally:
            one.close()
        self.left.append((request, due))

    async def _first(self, one: socket.socket) -> None:
        request, due = self._scan()
        loop, heard = asyncio.get_running_loop(), b""
        await loop.sock_sendall(one, request)
        while not heard.endswith(b"}"):
            data = await loop.sock_recv(one, 4096)
            if not data:
                raise ConnectionResetError("closed before its answer")
            heard += data
        self._held(Reply(int(heard.split()[1]), {}, heard.partition(b"\r\n\r\n")[2]), due)

    async def hang_ups(self, count: int, at_once: int = 40) -> None:
        """So many clients, who go at every stage and in both ways, alike often."""
        goes = iter([(STAGES[n % len(STAGES)], WAYS[n // len(STAGES) % 2]) for n in range(count)])

        async def one() -> None:
            for stage, way in goes:
                await self.hang_up(stage, way)

        async with asyncio.timeout(share(120, 1_200)):
            await asyncio.gather(*(one() for _ in range(at_once)))

    async def phone(self, is_over: asyncio.Event) -> None:
        """One connection that goes on scanning, some codes twice, some requests two at once."""
        async with asyncio.timeout(share(120, 1_200)), Phone(self.port) as phone:
            while not is_over.is_set():
                scans = [self._scan() for _ in range(self.rng.choice((1, 1, 2)))]
                scans += scans[: self.rng.choice((0, 1))]
                phone._writer.write(b"".join(request for request, _ in scans))
                for _, due in scans:
                    self._held(await phone.receive(), due)

    async def ask_those_who_left(self, count: int) -> None:
        """Scans that nobody waited for are made again: they come to the one answer."""
        async with asyncio.timeout(share(120, 1_200)), Phone(self.port) as phone:
            for request, due in self.rng.sample(self.left, min(count, len(self.left))):
                self._held(await phone.send(request), due)

    def _held(self, reply: Reply, due: Due) -> None:
        self.answered += 1
        data = reply.data
        if (reply.status, data["outcome"]) == (503, "unavailable"):
            self.unknown += 1  # the store was slow; whose answer it is, it does not say
        elif reply.status != 200 or Due(data["scan_id"], data["awards"][0]["amount"]) != due:
            self.wrong.append(f"{due} was answered {reply.status} {data}")
