"""Thousands of connections that say nothing, or too slowly: the server closes them all, and phones scan on.

Nothing here judges how fast that is: the seconds and the goodput are printed. How fast the machine is must
not decide whether a test passes.
"""

import asyncio
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.brand import campaign_toml
from tests.faults.figures import say
from tests.faults.seeds import share
from tests.phone import scan_request
from tests.running import Running, eventually, running

WANTED, PHONES = 2_000, 16
TIMEOUT_MS = share(2_000, 10_000)
DRIPS = 5
"""So many bytes come, one by one, until the time is over: who trickles is as late as who is silent."""
MEASURED = share(1_000, 10_000)
FILES_BESIDE = 500
NEVER_MS, NEVER_S = 600_000, 3_600

HEAD = b"POST /v1/scans HTTP/1.1\r\nHost: scanner.test\r\nContent-Type: application/json\r\n"
KINDS = {
    "silent": b"",
    "half a head": HEAD + b"X-Slow: ",
    # Of somebody whose token is good: a stranger's body is not waited for at all.
    "slow body": HEAD + b"Authorization: Bearer TOKEN\r\nContent-Length: 4000\r\n\r\n{",
}


class Slow(asyncio.Protocol):
    """One connection that is open until the server closes it."""

    def __init__(self, kind: str, token: str) -> None:
        self.kind, self.heard, self.is_open = kind, b"", True
        self._begins = KINDS[kind].replace(b"TOKEN", token.encode())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._begins)

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False

    def drip(self) -> None:
        if self.is_open and self.kind != "silent":
            self.transport.write(b"x")


class Crowd:
    """Slow connections of all kinds, alike often."""

    def __init__(self) -> None:
        self.all: list[Slow] = []

    @property
    def open(self) -> int:
        return sum(one.is_open for one in self.all)

    async def connect(self, run: Running, number: int) -> None:
        loop, kinds, token = asyncio.get_running_loop(), list(KINDS), run.brand.token("bob")
        for start in range(0, number, 100):
            made = (
                loop.create_connection(lambda n=n: Slow(kinds[n % len(kinds)], token), "127.0.0.1", run.port)
                for n in range(start, min(start + 100, number))
            )
            self.all += [slow for _, slow in await asyncio.gather(*made)]

    async def drip(self) -> None:
        while True:
            await asyncio.sleep(TIMEOUT_MS / 1000 / DRIPS)
            for one in self.all:
                one.drip()

    async def are_closed(self, timeout_s: float) -> None:
        """Returns when the server has closed them all. Raises TimeoutError."""

        async def is_none_open() -> bool:
            return self.open == 0

        await eventually(is_none_open, timeout_s)

    def hang_up(self) -> None:
        for one in self.all:
            one.transport.abort()


class Phones:
    """Members who scan one code after another; what was shed is asked again."""

    def __init__(self, run: Running, codes: Callable[[], str]) -> None:
        self._run, self._codes = run, codes
        self.outcomes: Counter[str] = Counter()

    async def scan(self) -> None:
        token = self._run.brand.token("alice")
        async with self._run.phone() as phone:
            while True:
                request = scan_request(token, self._codes())
                while (outcome := (await phone.send(request)).outcome) == "overloaded":
                    self.outcomes[outcome] += 1
                    await asyncio.sleep(0.02)
                self.outcomes[outcome] += 1

    async def rate(self, scans: int) -> float:
        """Accepted scans a second, until there are so many more."""
        before, began = self.outcomes["accepted"], time.perf_counter()

        async def are_done() -> bool:
            return self.outcomes["accepted"] >= before + scans

        await eventually(are_done, 120)
        return (self.outcomes["accepted"] - before) / (time.perf_counter() - began)


@pytest.fixture
def many_files() -> int:
    """As many open files as this process, and who it starts, may have; how many connections that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(WANTED, hard - FILES_BESIDE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def scanned(tmp_path: Path, **settings: object) -> AsyncIterator[tuple[Running, Phones]]:
    """A service, and phones that scan for as long as the block runs."""
    async with running(tmp_path / "data", **settings) as run:
        await run.brand.apply(campaign_toml())
        lot, serials = await run.brand.lot(1 << 24), count()
        phones = Phones(run, lambda: run.brand.code(lot, next(serials)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(phones.scan()) for _ in range(PHONES)]
            yield run, phones
            for task in tasks:
                task.cancel()


async def test_connections_that_are_slow_are_closed(tmp_path: Path, many_files: int) -> None:
    timeouts = {"head_timeout_ms": TIMEOUT_MS, "body_timeout_ms": TIMEOUT_MS}
    async with scanned(tmp_path, **timeouts) as (run, phones):
        crowd = Crowd()
        before = await phones.rate(MEASURED)
        accepted, began = phones.outcomes["accepted"], time.perf_counter()
        await crowd.connect(run, many_files)
        dripping = asyncio.create_task(crowd.drip())
        connected = time.perf_counter()
        await crowd.are_closed(120)
        closed = time.perf_counter()
        during = (phones.outcomes["accepted"] - accepted) / (closed - began)
        dripping.cancel()
        after = await phones.rate(MEASURED)
        assert phones.outcomes.keys() <= {"accepted", "overloaded"}
        answered = Counter(one.heard[:12].decode() for one in crowd.all if one.kind == "slow body")
        assert answered == {"HTTP/1.1 408": answered.total()}
        assert run.supervisor.collector.restarts == 0
        say(
            f"slow connections: {many_files}, all closed {closed - connected:.1f} s after the last one "
            f"(time-outs {TIMEOUT_MS / 1000:g} s); goodput {during / before:.2f} of before during, "
            f"{after / before:.2f} after; {phones.outcomes['overloaded']} scans of "
            f"{phones.outcomes['accepted']} were asked twice"
        )


async def test_control_without_timeouts_they_stay(tmp_path: Path) -> None:
    timeouts = {
        "head_timeout_ms": NEVER_MS,
        "body_timeout_ms": NEVER_MS,
        "keepalive_timeout_s": NEVER_S,
        "shutdown_timeout_s": 1,
    }
    async with scanned(tmp_path, **timeouts) as (run, _):
        crowd = Crowd()
        await crowd.connect(run, 60)
        with pytest.raises(TimeoutError):
            await crowd.are_closed(2 * TIMEOUT_MS / 1000)
        assert crowd.open == 60
        crowd.hang_up()
