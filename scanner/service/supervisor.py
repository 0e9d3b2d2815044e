"""The supervisor: starts workers on one port, restarts those that die, and answers operators."""

import asyncio
import logging
import mmap
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from pydantic import SecretStr

from scanner.codes import Keyring
from scanner.errors import ConfigurationError
from scanner.identity import TokenKeys
from scanner.ledger.connection import open_store
from scanner.ledger.embedded import EmbeddedStore, embedded_store
from scanner.service.metrics import ROW_BYTES, Cells, ServiceCollector
from scanner.service.operations import operations_app, readiness
from scanner.service.port import reserve
from scanner.settings import Settings, read_key_file

log = logging.getLogger("scanner")

# A worker that dies at once is started again after a growing wait, so that a fault does not eat a core.
RESTART_WAITS_S = (0.0, 0.2, 0.5, 1.0, 2.0)
STEADY_AFTER_S = 5.0
STORE_LOOK_S = 0.25


class Supervisor:
    """The service of one process tree."""

    def __init__(self, settings: Settings, embedded: EmbeddedStore | None) -> None:
        self.settings = settings
        self.rows: list[Cells] = []
        self.collector = ServiceCollector(self.rows)
        self.ops_port = 0
        self._embedded = embedded
        self._processes: dict[int, Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()  # what stop() undoes, also where start() came only half way

    @property
    def worker_pids(self) -> list[int]:
        return [process.pid for process in self._processes.values() if process.returncode is None]

    async def start(self) -> None:
        held, port = reserve(self.settings.host, self.settings.port)
        self._stack.callback(held.close)
        update: dict[str, object] = {"port": port}
        if self._embedded:
            update["store_url"] = SecretStr(self._embedded.url)
        self.settings = self.settings.model_copy(update=update)
        self._cells = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (it is one)
        self._cells.truncate(ROW_BYTES * self.settings.workers_count)
        shared = mmap.mmap(self._cells.fileno(), 0)
        self.rows += [Cells(shared, row) for row in range(self.settings.workers_count)]
        await self._open_operations()
        self._stack.push_async_callback(self._end_workers)
        if self._embedded:
            self._tasks.append(asyncio.create_task(self._keep_store(self._embedded)))
        for row in range(len(self.rows)):
            self._tasks.append(asyncio.create_task(self._keep_worker(row)))

    async def stop(self) -> None:
        """Lets the workers answer what they took, then ends them, then the operations port."""
        await self._stack.aclose()

    async def ready(self, timeout_s: float) -> bool:
        """Waits until every worker serves; False where that takes longer."""
        for _ in range(int(timeout_s / 0.02)):
            if readiness(self.rows, len(self.worker_pids))[0]:
                return True
            await asyncio.sleep(0.02)
        return False

    async def _open_operations(self) -> None:
        app = operations_app(self.rows, self.collector, lambda: len(self.worker_pids))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        host, port = self.settings.ops_host, self.settings.ops_port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigurationError(
                f"SCANNER_OPS_PORT {port} on {host} cannot be used: {error.strerror}"
            ) from None
        self.ops_port = runner.addresses[0][1]

    async def _end_workers(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            process.terminate()
        try:
            async with asyncio.timeout(self.settings.shutdown_timeout_s + 5):
                await asyncio.gather(*(process.wait() for process in running))
        except TimeoutError:
            for process in running:
                if process.returncode is None:
                    log.error("worker process %d did not stop and is killed", process.pid)
                    process.kill()
                    await process.wait()

    async def _keep_worker(self, row: int) -> None:
        failures = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            # Standard input is a pipe that nothing is written to: its end tells the worker that we are gone.
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "scanner.service.worker",
                str(row),
                str(self._cells.fileno()),
                stdin=PIPE,
                start_new_session=True,  # Ctrl-C in a terminal is for us; we tell the workers
                pass_fds=(self._cells.fileno(),),
                env={**os.environ, **self.settings.to_environment()},
            )
            self._processes[row] = process
            code = await process.wait()
            for gauge in ("store_ready", "waiting", "away"):
                self.rows[row].set(gauge, 0)
            self.collector.restarts += 1
            failures = 0 if clock() - began > STEADY_AFTER_S else failures + 1
            wait_s = RESTART_WAITS_S[min(failures, len(RESTART_WAITS_S) - 1)]
            log.error("worker %d ended with %d; started again in %.1f s", row, code, wait_s)
            await asyncio.sleep(wait_s)

    async def _keep_store(self, embedded: EmbeddedStore) -> None:
        """Starts the embedded store again if it dies."""
        while True:
            await asyncio.sleep(STORE_LOOK_S)
            try:
                await embedded.join()
            except Exception as error:  # tried again in a moment, whatever it was
                log.error("the embedded store is not there: %s", error)


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Supervisor]:
    """A running service, with the embedded store where no other is named.

    Raises:
        ConfigurationError: a key file, a port or the store falls short.
        StoreUnavailableError: the store does not answer at the start.
    """
    if settings.store_url.get_secret_value():
        async with _supervised(settings, None) as supervisor:
            yield supervisor
        return
    async with embedded_store(settings.data_dir) as embedded, _supervised(settings, embedded) as supervisor:
        yield supervisor


@asynccontextmanager
async def _supervised(settings: Settings, embedded: EmbeddedStore | None) -> AsyncIterator[Supervisor]:
    # Once here, so that what is wrong is said in one line and not by every worker.
    Keyring.parse(read_key_file(settings.keys_path))
    TokenKeys.parse(read_key_file(settings.token_keys_path))
    store = await open_store(settings, embedded)
    await store.close()
    supervisor = Supervisor(settings, embedded)
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()
