"""scanner serve: the service."""

import asyncio
import contextlib
import logging
from typing import Annotated

import typer

from scanner.cli.console import settings_of
from scanner.errors import StoreUnavailableError
from scanner.service.signals import on_hangup, stop_event
from scanner.service.supervisor import Supervisor, service
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
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take over the ports of the service that runs here, and stop it."),
    ] = False,
) -> None:
    """Runs the service until SIGTERM, then answers what it took. SIGHUP replaces the workers one by one.

    Example: scanner serve --host 0.0.0.0 --port 8080 --workers 4
    """
    settings = settings_of(
        context, host=host, port=port, workers=workers, accept_volatile_store=accept_volatile_store
    )
    set_up_log(settings)
    asyncio.run(_serve(settings, replace=replace))


def set_up_log(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s service %(levelname)s %(message)s"
    )


async def _serve(settings: Settings, *, replace: bool) -> None:
    async with service(settings, replace=replace) as supervisor:
        if not await supervisor.ready(READY_TIMEOUT_S):
            raise StoreUnavailableError("the workers did not become ready; the log says why")
        stop = stop_event()
        on_hangup(supervisor.replace_workers, stop)
        logging.getLogger("scanner").info(
            "serving on http://%s:%d, operations on http://%s:%d",
            supervisor.settings.host,
            supervisor.settings.port,
            supervisor.settings.ops_host,
            supervisor.ops_port,
        )
        await _until_told(supervisor, stop)


async def _until_told(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Waits for a signal to stop, and then until balancers have seen that; or for a successor."""
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.is_replaced.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not supervisor.is_replaced.is_set():
        supervisor.is_stopping = True
        with contextlib.suppress(TimeoutError):  # a second signal cuts it short
            await asyncio.wait_for(stop_event().wait(), supervisor.settings.drain_s)
