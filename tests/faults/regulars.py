"""Phones that come again and again, and services of one brand that change meanwhile."""

import asyncio
import itertools
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from aiohttp import ClientSession

from tests.brand import Brand, brand_in, campaign_toml
from tests.phone import Phone, Reply, scan_request
from tests.running import eventually

CODES, PHONES, WORKERS = 2_000, 32, 2
FRESH_EVERY = 5
THINK_S = 0.1  # between two requests of a phone, so that the machine has time for the rest
LONGEST_STOP_S = 40
SERVING = re.compile(rb"serving on http://[^:]+:(\d+), operations on http://[^:]+:(\d+)")


@dataclass
class Served:
    """A `scanner serve` process."""

    process: asyncio.subprocess.Process
    port: int
    ops_port: int
    log: Path

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    async def is_ready(self) -> bool:
        url = f"http://127.0.0.1:{self.ops_port}/readyz"
        async with ClientSession() as session, session.get(url) as response:
            return response.status == 200

    async def has_ended(self) -> bool:
        async with asyncio.timeout(LONGEST_STOP_S):
            return await self.process.wait() == 0


@dataclass
class Witness:
    """What the phones saw."""

    requests: int = 0
    fresh: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    accepted: set[str] = field(default_factory=set)  # the ids of scans

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.fresh} of them on new connections, {len(self.failed)} failed, "
            f"longest wait {self.slowest_s:.2f} s"
        )

    async def more(self, requests: int = 200) -> None:
        """Waits until so many more were sent."""
        until = self.requests + requests

        async def sent() -> bool:
            return self.requests >= until

        await eventually(sent, 60)


class Regular:
    """A phone that scans again and again: on the connection that it keeps, and now and then on a new one."""

    def __init__(self, port: int, token: str, codes: Iterator[str], witness: Witness) -> None:
        self._port = port
        self._token = token
        self._codes = codes
        self._witness = witness
        self._kept: Phone | None = None

    async def scan_for_ever(self) -> None:
        try:
            for turn in itertools.count(1):
                await asyncio.sleep(THINK_S)
                request = scan_request(self._token, next(self._codes))
                began = time.perf_counter()
                self._witness.requests += 1
                try:
                    reply = await self._send(request, fresh=turn % FRESH_EVERY == 0)
                except (OSError, EOFError) as error:
                    self._witness.failed.append(repr(error))
                    await self._hang_up()
                else:
                    if reply.status == 200:
                        self._witness.accepted.add(str(reply.data["scan_id"]))
                    else:
                        self._witness.failed.append(f"{reply.status} {reply.outcome}")
                self._witness.slowest_s = max(self._witness.slowest_s, time.perf_counter() - began)
        finally:
            await self._hang_up()

    async def _send(self, request: bytes, *, fresh: bool) -> Reply:
        if fresh:
            self._witness.fresh += 1
            async with Phone(self._port) as phone:
                return await phone.send(request)
        if self._kept is None:
            self._kept = await Phone(self._port).__aenter__()
        reply = await self._kept.send(request)
        if reply.headers.get("connection") == "close":
            await self._hang_up()
        return reply

    async def _hang_up(self) -> None:
        if self._kept is not None:
            await self._kept.__aexit__()
            self._kept = None


@asynccontextmanager
async def scanning(host: "Host", *services: Served) -> AsyncIterator[Witness]:
    """Phones that scan all the time, spread over the services."""
    witness, codes, token = Witness(), itertools.cycle(host.codes), host.brand.token("alice")
    phones = [Regular(services[n % len(services)].port, token, codes, witness) for n in range(PHONES)]
    tasks = [asyncio.create_task(phone.scan_for_ever()) for phone in phones]
    try:
        yield witness
        await witness.more()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class NotServingError(Exception):
    """A service ended before it served; its log."""


class Host:
    """Where services of one brand are started. Those that a test leaves behind are killed."""

    def __init__(self, brand: Brand, codes: Sequence[str], **environment: str) -> None:
        self.brand = brand
        self.codes = codes
        self._environment = environment
        self._processes: list[asyncio.subprocess.Process] = []

    async def serve(
        self, *flags: str, instead_of: Served | None = None, path: Path | None = None, **environment: str
    ) -> Served:
        """A service that serves; ``path`` is where its code is, where that is not the one tested here."""
        data_dir = self.brand.settings.data_dir
        log = data_dir / f"service-{len(self._processes)}.log"
        ports = (instead_of.port, instead_of.ops_port) if instead_of else (0, 0)
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scanner", "--data-dir", str(data_dir), "serve"),
                *("--port", str(ports[0]), *flags),
                stderr=file,
                env={
                    **os.environ,
                    "SCANNER_WORKERS": str(WORKERS),
                    "SCANNER_OPS_PORT": str(ports[1]),
                    "SCANNER_SHEDDING": "false",  # this machine may be slow
                    **({"PYTHONPATH": str(path)} if path else {}),
                    **self._environment,
                    **environment,
                },
            )
        self._processes.append(process)

        async def has_said() -> bool:
            return bool(SERVING.search(log.read_bytes())) or process.returncode is not None

        await eventually(has_said, 60)
        found = SERVING.search(log.read_bytes())
        if found is None:
            raise NotServingError(log.read_text())
        return Served(process, int(found[1]), int(found[2]), log)

    async def end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def host_in(data_dir: Path, **environment: str) -> AsyncIterator[Host]:
    async with brand_in(data_dir) as brand:
        await brand.apply(campaign_toml())
        lot = await brand.lot(CODES)
        host = Host(brand, brand.codes(lot, range(CODES)), **environment)
        try:
            yield host
        finally:
            await host.end()


async def faults_of(brand: Brand, witness: Witness) -> list[str]:
    """What does not add up: what was answered against the stream, and the audit."""
    stream: list[str] = []
    last = "0-0"
    while entries := await brand.store.client.xrange(brand.store.keys.events, f"({last}", "+", count=1000):
        last = entries[-1][0].decode()
        stream += [fields[b"id"].decode() for _, fields in entries if fields[b"type"] == b"scan.accepted"]
    faults = [f"{id} is not in the stream" for id in witness.accepted - set(stream)]
    if len(stream) != len(set(stream)):
        faults.append("a scan stands twice in the stream")
    report = await brand.audit()
    return faults + [f"{found.where}: {found.text}" for found in report.differences]
