"""Two services alike on one store: one with the fast lane, one without; and a wire that leads to either.

Both run in the test's own loop, and the store's time stands still. The servers end each connection (their
keep-alive is short), so that what is compared is all that a client ever gets.
"""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from scanner.ledger.claims import ClaimFunction
from scanner.ledger.frames import Asked
from scanner.service.addresses import Addresses
from scanner.service.connection import Protocol
from scanner.service.fast_lane import connections
from scanner.service.fast_lane.connection import FastProtocol
from scanner.service.fast_lane.lane import FastLane
from scanner.service.guard import Origins
from scanner.service.protocol import Server
from tests.brand import Brand, InProcess, brand_in, campaign_toml
from tests.clock import FrozenClock, frozen_clock
from tests.fuzz.furnished import CLOSED, OPEN, Hand, furnished
from tests.fuzz.seeds import BODY_MAX, scan
from tests.fuzz.wires import ANSWER, Tap, Wire, undated
from tests.phone import Phone, Reply
from tests.running import eventually

SEED_OF_CI = 20270301
SEED = int(
    os.environ.get("SCANNER_TEST_SEED")
    or (random.SystemRandom().randrange(10**9) if "SCANNER_TEST_STEPS" in os.environ else SEED_OF_CI)
)
KEEPALIVE_S, BODY_TIMEOUT_MS = 4, 4000  # a busy machine may take a second from one step to the next
WAIT_S = 60
"""Longer than anything here takes: what waits so long is broken."""

NewLoop = Callable[[], asyncio.AbstractEventLoop]
Furnish = Callable[[Brand], Awaitable[dict[str, int]]]
Step = bytes | None
"""What is written in one piece, and arrives as one read; the n-th None waits for n answers, whichever."""


@contextmanager
def seeded(seed: int = SEED) -> Iterator[random.Random]:
    """Random numbers that can be had again: a failure says how."""
    try:
        yield random.Random(seed)
    except BaseException:
        print(f"\nagain by SCANNER_TEST_SEED={seed}")  # noqa: T201
        raise


@dataclass
class Side:
    """One of the two services. ``taken`` counts the requests that the lane took."""

    brand: Brand
    scanner: InProcess
    connection: Callable[..., Protocol]
    taps: dict[int, Tap] = field(default_factory=dict)
    wires: list[Wire] = field(default_factory=list)
    taken: int = 0

    @property
    def lane(self) -> FastLane:
        return self.connection.args[0]  # type: ignore[attr-defined]

    async def start(self) -> None:
        self.server = Server(
            self.scanner.desks.routes(),
            self.scanner.cells,
            self.brand.settings,
            self.scanner.batcher.admission,
            Origins(Addresses(self.brand.settings.trusted_proxies), self.scanner.throttle),
            self._connection,
        )
        self.runner = web.ServerRunner(self.server, shutdown_timeout=WAIT_S)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, backlog=1024).start()
        self.port = self.runner.addresses[0][1]

    def _connection(self, *args: Any, **kwargs: Any) -> Tap:
        return Tap(self.connection(*args, **kwargs), self.taps)

    def watch(self) -> None:
        """Counts what the lane takes from now on."""
        received = self.lane.received

        def counted(connection: FastProtocol, data: bytes) -> bool:
            is_held = connection.scan is not None
            is_taken = received(connection, data)
            self.taken += is_taken and not is_held
            return is_taken

        self.lane.received = counted  # type: ignore[method-assign]

    async def wire(self, *, receive_bytes: int = 0) -> tuple[Wire, Tap]:
        """A connection, and what the server has of it; the client's system may keep so much for it."""
        loop = asyncio.get_running_loop()
        one = socket.socket()
        one.setblocking(False)
        if receive_bytes:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await loop.sock_connect(one, ("127.0.0.1", self.port))
        transport, wire = await loop.create_connection(Wire, sock=one)
        port = transport.get_extra_info("sockname")[1]
        while port not in self.taps:  # noqa: ASYNC110 (accepted in one of the next turns)
            await asyncio.sleep(0)
        self.wires.append(wire)
        return wire, self.taps.pop(port)

    async def ask(self, requests: Sequence[bytes]) -> list[Reply]:
        """The answers to whole requests, one after another."""
        async with Phone(self.port) as phone:
            replies = [await phone.send(request) for request in requests]
        again = {"retry-after": "1"}  # spread, so it differs
        return [
            reply._replace(headers={**reply.headers, "date": "", **(again if reply.status == 503 else {})})
            for reply in replies
        ]

    async def exchange(self, steps: Sequence[Step]) -> bytes:
        """All that is answered to these bytes, until the server ends the connection."""
        async with asyncio.timeout(WAIT_S):
            wire, tap = await self.wire()
            sent = answers = 0
            for step in steps:
                if step is None:
                    answers += 1
                    await wire.until(lambda answers=answers: len(ANSWER.findall(wire.data)) >= answers)
                elif not wire.is_over:
                    wire.transport.write(step)
                    sent += len(step)
                    await tap.until(sent)
            await wire.until(lambda: False)
            wire.transport.abort()
            self.wires.remove(wire)
        return undated(bytes(wire.data))


@dataclass
class Lanes:
    """Both services. ``lots`` are numbers by what the lot is for, the same in both brands."""

    fast: Side
    plain: Side
    clocks: Sequence[FrozenClock]
    lots: dict[str, int]

    async def both(self, steps: Sequence[Step]) -> tuple[bytes, bytes]:
        fast, plain = await asyncio.gather(self.fast.exchange(steps), self.plain.exchange(steps))
        return fast, plain

    async def ask(self, requests: Sequence[bytes]) -> tuple[list[Reply], list[Reply]]:
        """The same of whole requests, each answered before the next."""
        return await self.fast.ask(requests), await self.plain.ask(requests)

    async def forward(self, seconds: float) -> None:
        now_ms = self.clocks[0].now_ms + round(seconds * 1000)
        for clock in self.clocks:
            await clock.set(now_ms)

    async def entries(self) -> tuple[list[dict[bytes, bytes]], list[dict[bytes, bytes]]]:
        """Both ledgers, without the entries' ids."""
        found = []
        for brand in (self.fast.brand, self.plain.brand):
            stream = await brand.store.client.xrange(brand.store.keys.events, "-", "+")
            found.append([fields for _, fields in stream])
        return found[0], found[1]


@asynccontextmanager
async def lanes_in(data_dir: Path, furnish: Furnish = furnished, **values: object) -> AsyncIterator[Lanes]:
    """Two brands on the directory's store, served with and without the lane."""
    values = {
        "keepalive_timeout_s": KEEPALIVE_S,
        "body_timeout_ms": BODY_TIMEOUT_MS,
        "body_max_bytes": BODY_MAX,
        **values,
    }
    async with (
        brand_in(data_dir, brand="main", **values) as one,
        brand_in(data_dir, brand="other", **values, fast_lane=False) as other,
    ):
        clocks = [await frozen_clock(brand, OPEN) for brand in (one, other)]
        found = [await furnish(clock.brand) for clock in clocks]
        assert found[0] == found[1]
        for clock in clocks:
            await clock.set(CLOSED)
        async with served(clocks[0].brand) as fast, served(clocks[1].brand) as plain:
            fast.watch()
            yield Lanes(fast, plain, clocks, found[0])


@asynccontextmanager
async def served(brand: Brand, **limits: int) -> AsyncIterator[Side]:
    """One brand's service, on a port of its own."""
    scanner = brand.scanner(**limits)
    await scanner.directory.refresh()
    desks = scanner.desks
    connection = connections(
        desks.desk, desks.scans, desks.guard, scanner.batcher, scanner.cells, brand.settings
    )
    side = Side(brand, scanner, connection)
    await side.start()
    try:
        yield side
    finally:
        for wire in side.wires:
            wire.transport.abort()
        await side.runner.cleanup()
        await scanner.batcher.drain()


class Gate:
    """Stands before the store, and may be shut. ``said`` is given for each claim in the store's place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_open, self.arrived = asyncio.Event(), 0
        self.said: bytes | Exception | None = None
        replies = ClaimFunction.replies

        async def gated(function: ClaimFunction, batch: Sequence[Asked]) -> list[bytes]:
            self.arrived += len(batch)
            await self.is_open.wait()
            if isinstance(self.said, Exception):
                raise self.said
            return await replies(function, batch) if self.said is None else [self.said] * len(batch)

        monkeypatch.setattr(ClaimFunction, "replies", gated)

    async def until(self, arrived: int) -> None:
        async def has_arrived() -> bool:
            return self.arrived >= arrived

        await eventually(has_arrived)


class Shop:
    """A service, and scans for it."""

    def __init__(self, side: Side, lot: int) -> None:
        self.side = side
        brand = side.brand
        self.hand = Hand(brand, brand.keyring.table(), {"plain": lot}, 0)

    def scan(self, k: int) -> bytes:
        return scan(self.hand, k=k)

    async def outstanding(self, gate: Gate, k: int = 0) -> tuple[Wire, Tap]:
        """A connection with a scan of which the store has not said anything yet."""
        wire, tap = await self.side.wire()
        before = gate.arrived
        wire.transport.write(self.scan(k))
        await gate.until(before + 1)
        assert tap.connection.scan is not None
        return wire, tap


@asynccontextmanager
async def shop_in(
    data_dir: Path, limits: Mapping[str, int] | None = None, **values: object
) -> AsyncIterator[Shop]:
    async with brand_in(data_dir, **values) as brand:
        await brand.apply(campaign_toml())
        lot = await brand.lot(100)
        async with served(brand, **(limits or {})) as side:
            if brand.settings.fast_lane:
                side.watch()
            yield Shop(side, lot)


LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
"""The loop that serves, and the one whose transports are written in Python."""


ShopTest = Callable[[Shop, Gate], Coroutine[None, None, None]]


def with_a_shop(**values: object) -> Callable[[ShopTest], Callable[..., None]]:
    """Runs a test in both loops, the store's gate shut; the values are settings."""

    def decorated(test: ShopTest) -> Callable[..., None]:
        @LOOPS
        def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_loop: NewLoop) -> None:
            async def play() -> None:
                gate = Gate(monkeypatch)
                async with shop_in(tmp_path / "data", **values) as shop:
                    try:
                        await test(shop, gate)
                    finally:
                        gate.is_open.set()

            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(play())

        run.__name__ = test.__name__
        return run

    return decorated
