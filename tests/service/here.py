"""A brand's endpoints on a port of this very process: for limits to be tried, and faults to be planted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web

from scanner.service.addresses import Addresses
from scanner.service.admission import Admission
from scanner.service.fast_lane import connections
from scanner.service.guard import Origins
from scanner.service.protocol import Server
from tests.brand import Brand


@asynccontextmanager
async def serving_here(brand: Brand, **settings: object) -> AsyncIterator[int]:
    """The port, while the block runs; ``settings`` are other than the brand's."""
    brand = replace(brand, settings=brand.settings.model_copy(update=settings))
    one = brand.scanner()
    await one.directory.refresh()
    desks = one.desks
    connection = connections(desks.desk, desks.scans, desks.guard, one.batcher, one.cells, brand.settings)
    origins = Origins(Addresses(""), one.throttle)
    admission = Admission(one.cells, brand.settings)
    server = Server(desks.routes(), one.cells, brand.settings, admission, origins, connection)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
        await one.batcher.drain()
