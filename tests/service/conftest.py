"""The server of ``echo.py`` on a port, and a phone that is connected to it."""

import pytest
from aiohttp import web

from scanner.service.addresses import Addresses
from scanner.service.admission import Admission
from scanner.service.guard import Origins
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.service.protocol import Server
from scanner.service.throttle import THROTTLE_BYTES, Throttle
from scanner.settings import load_settings
from tests.phone import Phone
from tests.service.echo import BODY_MAX, Echo


@pytest.fixture
async def echo():
    return Echo()


@pytest.fixture
def cells():
    return Cells(bytearray(ROW_BYTES), 0)


@pytest.fixture
async def runner(echo, cells):
    settings = load_settings(body_max_bytes=BODY_MAX, body_timeout_ms=100)
    origins = Origins(Addresses(""), Throttle(bytearray(THROTTLE_BYTES), bytes(32)))
    server = Server(echo.routes, cells, settings, Admission(cells, settings), origins)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner
    finally:
        await runner.cleanup()


@pytest.fixture
def port(runner):
    return runner.addresses[0][1]


@pytest.fixture
async def phone(port):
    async with Phone(port) as phone:
        yield phone
