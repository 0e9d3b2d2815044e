"""Sends prepared requests and waits for each answer, in closed or in open loop.

Closed: each connection sends its next request as soon as its answer came, so a service that stalls is asked
less while it does. Open: requests fall due by the clock, whatever the service does, and latency counts from
then on; what finds no free connection waits, and its waiting counts.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from time import perf_counter

from loadtests.errors import LoadTestError
from loadtests.generator.caller import Caller, OnAnswer
from loadtests.generator.connection import Connection
from loadtests.generator.outcome import Outcome
from loadtests.generator.target import Address, require_own

LATE_S = 0.005  # event loops keep time to a millisecond or two; this is a lag that somebody else causes


async def drive(
    address: Address,
    requests: Iterable[bytes],
    *,
    connections: int,
    rate: float | Iterable[float] | None = None,
    on_answer: OnAnswer | None = None,
    timeout_s: float = 10.0,
    seconds_max: float | None = None,
    i_own_this_host: bool = False,
) -> Outcome:
    """Sends each request once, over so many keep-alive connections, and says what came of it.

    ``rate`` is None for closed loop, requests a second for open loop, or the seconds, from the start and
    ascending, at which requests are due. It ends with the shorter of requests and due times. ``requests`` is
    read as it is used: one that takes long to make the next belongs into a list.

    A request fails where it is not answered ``timeout_s`` after it was sent, where its connection ends, and,
    in open loop, where it waited ``timeout_s`` for a connection. A connection that ended is opened again.
    After ``seconds_max`` nothing more is sent, and what is under way has failed. What fails has no latency.

    Event loops keep time to a millisecond; in open loop that much of the latency may be the generator's.

    Raises:
        LoadTestError: nobody listens there, or it is no loopback address and not said to be one's own.
    """
    require_own(address, i_own_this_host=i_own_this_host)
    if connections < 1:
        raise LoadTestError("at least one connection is needed")
    caller: Caller
    if rate is None:
        caller = ClosedLoop(address, requests, on_answer, timeout_s)
    else:
        due = _steady(rate) if isinstance(rate, int | float) else iter(rate)
        caller = OpenLoop(address, requests, on_answer, timeout_s, due)
    return await caller.run(connections, seconds_max)


def _steady(rate: float) -> Iterator[float]:
    if rate <= 0:
        raise LoadTestError("the rate must be more than 0")
    return (n / rate for n in itertools.count())


class ClosedLoop(Caller):
    """Each connection sends the next request as soon as its answer came."""

    def _begin(self) -> None:
        for connection in list(self._open):
            self._free(connection, perf_counter())

    def _free(self, connection: Connection, now_s: float) -> None:
        taken = self._take()
        if taken is None:
            self._look_for_the_end()
        else:
            connection.send(*taken, now_s)

    def _could_not_connect(self) -> None:
        """The request that this connection would have sent has failed: else a dead service had no end."""
        if self._take() is not None:
            self.failures["no connection"] += 1

    def _give_up_waiting(self, since_s: float) -> None:
        """Nothing waits: a request is taken when a connection is free for it."""

    def _look_for_the_end(self) -> None:
        if self._are_taken and not self._is_any_busy:
            self._finish()


class OpenLoop(Caller):
    """Requests fall due by the clock; the free connection takes the one that has waited longest."""

    def __init__(
        self,
        address: Address,
        requests: Iterable[bytes],
        on_answer: OnAnswer | None,
        timeout_s: float,
        due_s: Iterator[float],
    ) -> None:
        super().__init__(address, requests, on_answer, timeout_s)
        self._due_s = due_s
        self._next_s: float | None = None  # None: none is due any more
        self._waiting: deque[tuple[bytes, int, float]] = deque()
        self._idle: deque[Connection] = deque()

    def _begin(self) -> None:
        self._idle.extend(self._open)
        self._next_s = next(self._due_s, None)
        self._tick()

    def _tick(self) -> None:
        """Takes up what has fallen due, and comes again when the next one does."""
        if self._is_over:
            return
        while self._next_s is not None:
            now_s = perf_counter()
            due_s = self._began_s + self._next_s
            if due_s > now_s:
                break
            taken = self._take()
            if taken is None:
                self._next_s = None
                break
            self.late += now_s - due_s > LATE_S
            self._waiting.append((*taken, due_s))
            self._send_waiting()
            self._next_s = next(self._due_s, None)
        if self._next_s is None:
            self._look_for_the_end()
        else:
            wait_s = max(self._began_s + self._next_s - perf_counter(), 0.001)
            asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _send_waiting(self) -> None:
        while self._waiting and self._idle:
            connection = self._idle.popleft()
            if connection in self._open:  # else it was closed while it was idle
                connection.send(*self._waiting.popleft())

    def _free(self, connection: Connection, now_s: float) -> None:
        self._idle.append(connection)
        if self._waiting:
            self._send_waiting()
        elif self._next_s is None:
            self._look_for_the_end()

    def _could_not_connect(self) -> None:
        """The requests wait for another connection, or until they have waited too long."""

    def _give_up_waiting(self, since_s: float) -> None:
        while self._waiting and self._waiting[0][2] < since_s:
            self._waiting.popleft()
            self.failures["never sent"] += 1

    def _look_for_the_end(self) -> None:
        if self._next_s is None and not self._waiting and not self._is_any_busy:
            self._finish()
