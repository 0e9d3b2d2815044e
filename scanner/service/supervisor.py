"""The supervisor: holds the public port, keeps the workers, answers operators, hands over to a successor."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from pydantic import SecretStr

from scanner.codes import Keyring
from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.identity import TokenKeys
from scanner.ledger.connection import open_store, store_for
from scanner.ledger.embedded import EmbeddedStore, embedded_store
from scanner.service.addresses import Addresses
from scanner.service.handover import HandedOver, Predecessor, offer, predecessor
from scanner.service.metrics import Cells, ServiceCollector
from scanner.service.operations import operations_app
from scanner.service.port import listen, listen_beside
from scanner.service.pressure import QueueWatch
from scanner.service.signals import end
from scanner.service.watching import watched
from scanner.service.workers import SUCCESSOR_TIMEOUT_S, Workers
from scanner.settings import Settings, read_key_file

log = logging.getLogger("scanner")

STORE_LOOK_S = 0.25
FORGERIES_LOOK_S = 1.0


class Supervisor:
    """The service of one process tree. ``rows`` are the cells of all workers that ever were.

    With a predecessor the workers serve on its sockets, beside its own ones; it is told to stop once they do.
    """

    def __init__(
        self, settings: Settings, embedded: EmbeddedStore | None, before: Predecessor | None = None
    ) -> None:
        self.settings = settings
        self.rows: list[Cells] = []
        self.collector = ServiceCollector(self.rows, settings.forgeries_alarm_per_s)
        self.ops_port = 0
        self.is_stopping = False
        self.is_replaced = asyncio.Event()
        self._embedded = embedded
        self._before = before
        self._sockets: list[socket.socket] = []
        self._operations: list[asyncio.Server] = []
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()  # what stop() undoes, also where start() came only half way

    @property
    def worker_pids(self) -> list[int]:
        return self._workers.pids

    async def start(self) -> None:
        before = self._before
        if before is not None:
            self._stack.callback(before.close)
            self._sockets = listen_beside(before.public, self.settings.workers_count)
        else:
            self._sockets = listen(self.settings.host, self.settings.port, self.settings.workers_count)
        update: dict[str, object] = {"port": self._sockets[0].getsockname()[1]}
        if self._embedded:
            update["store_url"] = SecretStr(self._embedded.url)
        self.settings = self.settings.model_copy(update=update)
        self._workers = Workers(self.settings, self._sockets, self.rows, self.collector)
        store = store_for(self.settings)
        self._stack.push_async_callback(store.close)
        self._queue = QueueWatch(store, self.settings, self._workers.service_cells)
        await self._queue.look()  # before a worker takes anything
        self._stack.push_async_callback(self._close_operations)
        self._stack.push_async_callback(self._workers.stop)
        self._stack.callback(self._stop_listening)  # before: what came then would wait in vain
        self._stack.push_async_callback(self._end_tasks)
        if self._embedded:
            self._tasks.append(asyncio.create_task(self._keep_store(self._embedded)))
        self._tasks.append(asyncio.create_task(self._watch_forgeries()))
        self._tasks.append(asyncio.create_task(self._queue.run()))
        if before is None:
            await self._open_operations()
            self._workers.start()
        else:
            self._workers.is_successor = True
            self._workers.start()
            if not await self.ready(SUCCESSOR_TIMEOUT_S):
                raise StoreUnavailableError("the workers did not become ready: the old service goes on")
            await self._open_operations()
            await asyncio.to_thread(before.dismiss)
            self._workers.is_successor = False
        self._offer()

    async def stop(self) -> None:
        """Lets the workers answer what they took, then ends them, then the operations port."""
        self.is_stopping = True
        if self.is_replaced.is_set():
            await self._close_operations()  # the successor's answers count now
        await self._stack.aclose()

    async def ready(self, timeout_s: float) -> bool:
        """Waits until every worker serves; False where that takes longer."""
        return await self._workers.ready(timeout_s)

    def replace_workers(self) -> None:
        """Replaces each, one after the other, by one with the code and the keys that are there now."""
        self._workers.roll()

    async def _open_operations(self) -> None:
        app = operations_app(
            self._workers.serving,
            self.collector,
            lambda: len(self.worker_pids),
            lambda: self.is_stopping,
            self._queue,
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        factory = self._runner.server
        assert factory is not None
        host, port = self.settings.ops_host, self.settings.ops_port
        before = self._before
        open_server = asyncio.get_running_loop().create_server
        try:
            if before and before.handed.ops_host == host and port in (0, before.handed.ops_port):
                self._operations = [await open_server(factory, sock=one) for one in before.operations]
            else:
                self._operations = [await open_server(factory, host, port)]
        except OSError as error:
            raise ConfigurationError(
                f"SCANNER_OPS_PORT {port} on {host} cannot be used: {error.strerror}"
            ) from None
        self.ops_port = self._operations[0].sockets[0].getsockname()[1]

    async def _close_operations(self) -> None:
        for server in self._operations:
            server.close()
        self._operations.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _stop_listening(self) -> None:
        for one in self._sockets:
            one.close()

    async def _end_tasks(self) -> None:
        await end(*self._tasks)

    async def _keep_store(self, embedded: EmbeddedStore) -> None:
        """Starts the embedded store again if it dies."""
        while True:
            await asyncio.sleep(STORE_LOOK_S)
            try:
                await embedded.join()
            except Exception as error:  # tried again in a moment, whatever it was
                log.error("the embedded store is not there: %s", error)

    async def _watch_forgeries(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            for line in self.collector.alarm.feed(self.collector.forgeries, clock()):
                log.warning("%s", line)
            await asyncio.sleep(FORGERIES_LOOK_S)

    def _offer(self) -> None:
        made = offer(self.settings, self._handed_over)
        if made is None:
            return
        self._stack.callback(made.close)

        async def wait() -> None:
            await made.taken()
            log.info("replaced by another service: stopping")
            self.is_replaced.set()

        self._tasks.append(asyncio.create_task(wait()))

    def _handed_over(self) -> HandedOver:
        settings = self.settings
        operations = [one for server in self._operations for one in server.sockets]
        return HandedOver(
            settings.brand,
            settings.host,
            settings.port,
            settings.ops_host,
            self.ops_port,
            public=[one.fileno() for one in self._sockets],
            operations=[one.fileno() for one in operations],
        )


@asynccontextmanager
async def service(settings: Settings, *, replace: bool = False) -> AsyncIterator[Supervisor]:
    """A running service, with the embedded store where no other is named.

    With ``replace`` it takes over from the one that runs on the same data directory and port, where one does.

    Raises:
        ConfigurationError: a key file, a port or the store falls short.
        StoreUnavailableError: the store does not answer at the start.
    """
    async with AsyncExitStack() as stack:
        embedded = None
        if not settings.store_url.get_secret_value():
            embedded = await stack.enter_async_context(embedded_store(settings.data_dir))
        # Once here, so that what is wrong is said in one line and not by every worker.
        Addresses(settings.trusted_proxies)
        Keyring.parse(read_key_file(settings.keys_path))
        TokenKeys.parse(read_key_file(settings.token_keys_path))
        store = await open_store(settings, embedded)
        await store.close()
        await stack.enter_async_context(watched(settings, embedded))
        before = await asyncio.to_thread(predecessor, settings) if replace else None
        supervisor = Supervisor(settings, embedded, before)
        stack.push_async_callback(supervisor.stop)
        await supervisor.start()
        yield supervisor
