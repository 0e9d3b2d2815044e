"""The unit: an aiohttp handler that reads the body and answers a constant, the one of ``scanner demo``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.compare.peers.serving import Place, Serving
from bench.compare.process import LOG, address_of, running
from scanner.cli import yardstick


@asynccontextmanager
async def empty(place: Place) -> AsyncIterator[Serving]:
    """It serves until its standard input ends, or it is told to end."""
    log = place.directory / LOG
    arguments = [sys.executable, "-c", f"from {yardstick.__name__} import serve; serve()"]
    with log.open("wb") as file:
        async with running(
            arguments, core=place.cores.service, log=file, directory=place.directory
        ) as process:
            yield Serving(await address_of(process, log), process.pid)
