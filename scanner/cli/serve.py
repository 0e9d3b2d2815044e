"""scanner serve: the service."""

import asyncio
import logging
from typing import Annotated

import typer

from scanner.cli.console import settings_of
from scanner.errors import StoreUnavailableError
from scanner.service.signals import stop_event
from scanner.service.supervisor import service
from scanner.settings import Settings

READY_TIMEOUT_S = 30


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address of the public port. [SCANNER_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="Public port; 0 takes a free one. [SCANNER_PORT]")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes. [SCANNER_WORKERS]")] = None,
    accept_volatile_store: Annotated[
        bool | None,
        typer.Option("--accept-volatile-store", help="Run on a store that may lose what it acknowledged."),
    ] = None,
) -> None:
    """Runs the service until SIGTERM, then answers what it took.

    Example: scanner serve --host 0.0.0.0 --port 8080 --workers 4
    """
    settings = settings_of(
        context, host=host, port=port, workers=workers, accept_volatile_store=accept_volatile_store
    )
    set_up_log(settings)
    asyncio.run(_serve(settings))


def set_up_log(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s service %(levelname)s %(message)s"
    )


async def _serve(settings: Settings) -> None:
    async with service(settings) as supervisor:
        if not await supervisor.ready(READY_TIMEOUT_S):
            raise StoreUnavailableError("the workers did not become ready; the log says why")
        logging.getLogger("scanner").info(
            "serving on http://%s:%d, operations on http://%s:%d",
            supervisor.settings.host,
            supervisor.settings.port,
            supervisor.settings.ops_host,
            supervisor.ops_port,
        )
        await stop_event().wait()
