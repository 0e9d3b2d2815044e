"""A running service to test against: worker processes, a port, and a store that may be killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession

from scanner.ledger.embedded import EmbeddedStore
from scanner.service.supervisor import Supervisor, service
from tests.brand import Brand, brand_in
from tests.phone import Phone, Reply, scan_request

PATIENCE_S = 60
"""For what takes a moment: so long only where it hangs, on however slow a machine."""


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = PATIENCE_S) -> None:
    """Waits until the condition holds; fails the test where that takes longer."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 (another process's state sets no event)
            await asyncio.sleep(0.02)


@dataclass
class Running:
    """A brand and the service that serves it."""

    brand: Brand
    supervisor: Supervisor
    embedded: EmbeddedStore

    @property
    def port(self) -> int:
        return self.supervisor.settings.port

    def phone(self) -> Phone:
        return Phone(self.port)

    async def scan(self, member: str, code: str, **body: object) -> Reply:
        async with self.phone() as phone:
            return await phone.send(scan_request(self.brand.token(member), code, **body))

    async def scan_all(self, requests: Sequence[bytes], connections: int = 32) -> list[Reply]:
        """Sends all requests over some connections; the replies in the requests' order."""
        replies: dict[int, Reply] = {}
        queue = iter(enumerate(requests))

        async def one() -> None:
            async with self.phone() as phone:
                for place, request in queue:
                    replies[place] = await phone.send(request)

        await asyncio.gather(*(one() for _ in range(connections)))
        return [replies[place] for place in range(len(requests))]

    async def operations(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.supervisor.ops_port}{path}"
        async with ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def is_ready(self) -> bool:
        return (await self.operations("/readyz"))[0] == 200

    def kill_store(self) -> int:
        pid = self.embedded.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid


@asynccontextmanager
async def running(data_dir: Path, **settings: object) -> AsyncIterator[Running]:
    """A brand and its service in the directory, ready to serve."""
    async with brand_in(data_dir, **settings) as brand, serving(brand) as run:
        yield run


@asynccontextmanager
async def serving(brand: Brand) -> AsyncIterator[Running]:
    async with service(brand.settings) as supervisor:
        assert await supervisor.ready(PATIENCE_S)
        yield Running(brand, supervisor, EmbeddedStore(brand.settings.data_dir))
