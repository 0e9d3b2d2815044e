"""What both loops share: the connections, the counting, the time-outs and the end."""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from time import perf_counter

from loadtests.errors import LoadTestError
from loadtests.generator.connection import Connection
from loadtests.generator.outcome import Outcome, histogram_of, merged
from loadtests.generator.target import Address

OnAnswer = Callable[[int, int, bytes], None]
"""Is called with a request's index, its status and its body."""

SWEEP_S = 0.05
RECONNECT_WAIT_S = 0.1
CONNECT_TIMEOUT_S = 5.0
OPENED_AT_ONCE = 64  # a listening queue of moderate length takes these


class Caller(ABC):
    """Sends ``requests`` over connections, and counts what comes of it; a loop says which one goes when."""

    def __init__(
        self, address: Address, requests: Iterable[bytes], on_answer: OnAnswer | None, timeout_s: float
    ) -> None:
        self._address = address
        self._requests = enumerate(requests)
        self._on_answer = on_answer
        self._timeout_s = timeout_s
        self._open: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._are_taken = self._is_over = False
        self._began_s = 0.0
        self._latencies_us: dict[int, array[int]] = {}
        self.statuses: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.late = 0

    async def run(self, connections: int, seconds_max: float | None) -> Outcome:
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timers: list[asyncio.Task[None]] = []
        try:
            await self._open_all(connections)
            cpu_s, self._began_s = time.thread_time(), perf_counter()
            timers.append(asyncio.create_task(self._sweep()))
            self._begin()
            await asyncio.wait([self._done], timeout=seconds_max)
            seconds, cpu_s = perf_counter() - self._began_s, time.thread_time() - cpu_s
            if self._done.done():
                self._done.result()
        finally:
            self._is_over = True
            for task in [*self._opening, *timers]:
                task.cancel()
            for connection in list(self._open):
                connection.hang_up("out of time")
            self._give_up_waiting(math.inf)
        return self._outcome(seconds, cpu_s)

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        now_s, from_s = perf_counter(), connection.counts_from_s
        second = int(from_s - self._began_s)
        latencies_us = self._latencies_us.get(second)
        if latencies_us is None:
            latencies_us = self._latencies_us[second] = array("Q")
        latencies_us.append(int((now_s - from_s) * 1e6))
        self.statuses[status] += 1
        if self._on_answer is not None:
            try:
                self._on_answer(connection.index, status, body)
            except Exception as error:
                self._finish(error)
        if not self._is_over and not connection.closes:
            self._free(connection, now_s)

    def lost(self, connection: Connection, reason: str) -> None:
        self._open.discard(connection)
        if reason:
            self.failures[reason] += 1
        if not self._is_over:
            self._reopen()
            self._look_for_the_end()

    @abstractmethod
    def _begin(self) -> None:
        """The connections are open, and the clock runs."""

    @abstractmethod
    def _free(self, connection: Connection, now_s: float) -> None:
        """A connection may send the next request."""

    @abstractmethod
    def _could_not_connect(self) -> None:
        """A connection that ended could not be opened again; it is tried once more in a moment."""

    @abstractmethod
    def _give_up_waiting(self, since_s: float) -> None:
        """What has waited for a connection since then has failed."""

    @abstractmethod
    def _look_for_the_end(self) -> None:
        """Calls ``_finish`` where nothing is left to be sent or answered."""

    def _take(self) -> tuple[bytes, int] | None:
        """The next request and its index, or None where none is left."""
        try:
            for index, request in self._requests:
                return request, index
        except Exception as error:  # whoever makes them failed: drive() raises it
            self._finish(error)
        self._are_taken = True
        return None

    @property
    def _is_any_busy(self) -> bool:
        return any(connection.is_busy for connection in self._open)

    def _finish(self, error: Exception | None = None) -> None:
        self._is_over = True
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)

    async def _open_all(self, connections: int) -> None:
        left = connections
        while left:
            now = min(left, OPENED_AT_ONCE)
            left -= now
            opened = await asyncio.gather(*(self._connect() for _ in range(now)), return_exceptions=True)
            for error in opened:
                if isinstance(error, Exception):
                    host, port = self._address
                    raise LoadTestError(
                        f"no connection to {host}:{port}: {str(error) or 'it takes too long'}"
                    )

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(lambda: Connection(self), *self._address)
        self._open.add(connection)
        return connection

    def _reopen(self) -> None:
        async def reopened() -> None:
            while not self._is_over:
                try:
                    connection = await self._connect()
                except (OSError, TimeoutError):
                    self._could_not_connect()
                    self._look_for_the_end()
                    await asyncio.sleep(RECONNECT_WAIT_S)
                else:
                    self._free(connection, perf_counter())
                    return

        task = asyncio.create_task(reopened())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _sweep(self) -> None:
        """Looks for what takes too long: one timer for all, because one a request would cost too much."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = perf_counter()
            for connection in [
                one for one in self._open if one.is_busy and now_s - one.sent_s > self._timeout_s
            ]:
                connection.hang_up("timed out")
            self._give_up_waiting(now_s - self._timeout_s)
            self._look_for_the_end()

    def _outcome(self, seconds: float, cpu_s: float) -> Outcome:
        outcome = Outcome(
            statuses=self.statuses, failures=self.failures, late=self.late, seconds=seconds, cpu_s=cpu_s
        )
        for second, latencies_us in sorted(self._latencies_us.items()):
            histogram = histogram_of(latencies_us)
            outcome.latency_us = merged(outcome.latency_us, histogram)
            outcome.intervals[second] = histogram.encode()
        return outcome
