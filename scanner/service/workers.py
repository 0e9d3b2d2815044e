"""The worker processes: one for each row, started again when it dies, replaced in turn when asked."""

import asyncio
import contextlib
import logging
import mmap
import os
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Coroutine, Sequence
from typing import IO

from scanner.service.guard import SHARED_BYTES, make_shared
from scanner.service.listening import Place
from scanner.service.metrics import GAUGES, LAYOUT, ROW_BYTES, Cells, ServiceCollector
from scanner.service.operations import readiness
from scanner.service.signals import end
from scanner.settings import Settings

log = logging.getLogger("scanner")

# A worker that dies at once is started again after a growing wait, so that a fault does not eat a core.
RESTART_WAITS_S = (0.0, 0.2, 0.5, 1.0, 2.0)
STEADY_AFTER_S = 5.0
SUCCESSOR_TIMEOUT_S = 30.0
KILL_AFTER_S = 5.0  # beyond the time that a worker may take
POLL_S = 0.02


class Worker:
    """One process. Nobody else writes to its slot of the cells until it has ended."""

    def __init__(self, process: Process, slot: int, cells: Cells) -> None:
        self.pid = process.pid
        self.slot = slot
        self.cells = cells
        self._process = process

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ended(self) -> int:
        """Waits for its end; its exit code."""
        code = await self._process.wait()
        _clear(self.cells)
        return code

    async def stop(self, timeout_s: float) -> None:
        """Tells it to stop, and waits; kills it where that takes longer."""
        with contextlib.suppress(ProcessLookupError):  # it has ended this moment
            self._process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await self.ended()
        except TimeoutError:
            log.error("worker process %d did not stop and is killed", self.pid)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.ended()


class Workers:
    """All workers of a service. A row is one of ``sockets`` and the worker that accepts from it.

    While a worker is replaced there are two in its row, each with a slot of its own in the cells: the new one
    takes the spare slot, and the old one's is the spare one after that. ``rows`` are the slots ever used,
    whose counts add up to the service's; ``serving`` are those of the workers in charge. The last slot,
    ``service_cells``, is no worker's: there the supervisor tells all of them something.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        rows: list[Cells],
        collector: ServiceCollector,
    ) -> None:
        self._settings = settings
        self._sockets = [one.fileno() for one in sockets]
        self._count = settings.workers_count
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._file.truncate(ROW_BYTES * (self._count + 2) + SHARED_BYTES)
        self._shared = mmap.mmap(self._file.fileno(), 0)
        make_shared(memoryview(self._shared)[-SHARED_BYTES:])
        self.service_cells = Cells(self._shared, self._count + 1)
        self._rows = rows
        self._rows += [Cells(self._shared, slot) for slot in range(self._count)]
        self._collector = collector
        self.serving = list(rows)
        self._slots = list(range(self._count))
        self._spare = self._count
        self._in_charge: list[Worker | None] = [None] * self._count
        self._changing = [asyncio.Lock() for _ in range(self._count)]
        self._alive: set[Worker] = set()
        self._rolling = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_successor = self._is_stopping = False

    @property
    def pids(self) -> list[int]:
        """Of the workers in charge that live."""
        return [worker.pid for worker in self._in_charge if worker is not None and worker.is_alive]

    def start(self) -> None:
        """Keeps a worker in each row from now on."""
        for row in range(self._count):
            self._spawn_task(self._keep(row))

    async def ready(self, timeout_s: float) -> bool:
        """Waits until every worker serves; False where that takes longer."""
        for _ in range(int(timeout_s / POLL_S)):
            accept = all(cells.get("accepts_row") for cells in self.serving)
            if accept and readiness(self.serving, len(self.pids))[0]:
                return True
            await asyncio.sleep(POLL_S)
        return False

    def roll(self) -> None:
        """Replaces the workers, one after the other."""
        if self._is_stopping:
            return
        if len(self._rows) == self._count:
            self._rows.append(Cells(self._shared, self._spare))
        self._spawn_task(self._roll())

    async def stop(self) -> None:
        """Lets the workers answer what they took, then ends them."""
        self._is_stopping = True
        await end(*self._tasks)
        await asyncio.gather(*(self._end(worker) for worker in self._alive))
        self._file.close()

    def _spawn_task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, row: int) -> None:
        """Starts the row's worker again whenever it dies."""
        failures = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                async with self._changing[row]:
                    worker = self._in_charge[row]
                    if worker is None:
                        worker = await self._start(row, self._slots[row], self.is_successor)
                        self._in_charge[row] = worker
                end = f"ended with {await worker.ended()}"
                self._alive.discard(worker)
            except OSError as error:
                end = f"could not be started ({error.strerror})"
            else:
                if self._in_charge[row] is not worker:
                    continue  # another one has replaced it
                self._in_charge[row] = None
            self._collector.restarts += 1
            failures = 0 if clock() - began > STEADY_AFTER_S else failures + 1
            wait_s = RESTART_WAITS_S[min(failures, len(RESTART_WAITS_S) - 1)]
            log.error("worker %d %s; started again in %.1f s", row, end, wait_s)
            await asyncio.sleep(wait_s)

    async def _roll(self) -> None:
        async with self._rolling:
            for row in range(self._count):
                try:
                    done = await self._replace(row)
                except OSError as error:
                    log.error("the new worker %d could not be started (%s)", row, error.strerror)
                    done = False
                if not done:
                    log.error("worker %d and those after it are not replaced; those that served go on", row)
                    return
            log.info("all %d workers are replaced", self._count)

    async def _replace(self, row: int) -> bool:
        new = await self._start(row, self._spare, True)
        if not await self._becomes_ready(new):
            log.error("the new worker %d did not get ready; the log says why", row)
            await self._end(new)
            return False
        async with self._changing[row]:
            old, self._in_charge[row] = self._in_charge[row], new
            self._spare, self._slots[row] = self._slots[row], self._spare
            self.serving[row] = new.cells
        if old is not None:
            await self._end(old)
        return True

    async def _becomes_ready(self, worker: Worker) -> bool:
        for _ in range(int(SUCCESSOR_TIMEOUT_S / POLL_S)):
            if worker.cells.get("accepts_row") and worker.cells.get("store_ready"):
                return True
            if not worker.is_alive:
                return False
            await asyncio.sleep(POLL_S)
        return False

    async def _start(self, row: int, slot: int, is_successor: bool) -> Worker:
        place = Place(row, slot, LAYOUT, self._file.fileno(), self._sockets, is_successor)
        # Standard input is a pipe that nothing is written to: its end tells the worker that we are gone.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scanner.service.worker", place.to_json()),
            stdin=PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for us; we tell the workers
            pass_fds=(self._file.fileno(), *self._sockets),
            env={**os.environ, **self._settings.to_environment()},
        )
        worker = Worker(process, slot, self._rows[slot])
        self._alive.add(worker)
        return worker

    async def _end(self, worker: Worker) -> None:
        bounds = self._settings
        await worker.stop(bounds.drain_s + bounds.shutdown_timeout_s + KILL_AFTER_S)
        self._alive.discard(worker)


def _clear(cells: Cells) -> None:
    for gauge in GAUGES:
        cells.set(gauge, 0)
