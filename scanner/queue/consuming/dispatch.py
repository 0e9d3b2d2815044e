"""Several events at once, one at a time per member, in order; tries again after growing waits.

Workers take what is ready, each in a task that stays: no event costs a task of its own, and a handler that
never waits is done with many events in one turn of the loop. An event that waits to be tried again keeps its
member's later events back and nobody else's, and takes no worker.

Nothing here knows of the store: ``Outcomes`` does.
"""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from scanner.queue.consuming.answers import RejectedError, TryLaterError
from scanner.queue.consuming.deliveries import Delivery
from scanner.queue.consuming.rate import Rate

log = logging.getLogger("scanner")

Handler = Callable[[Any], Awaitable[None]]

# So many events that are done at once, and the loop has its turn: others want to live, too.
TURN = 100
CANCEL_AGAIN_S = 1.0
LAST_TRY_ENDED = "a consumer ended at each try, while it handled this"


class Outcomes(Protocol):
    """Who is told what becomes of events; as :class:`scanner.queue.consuming.hands.Hands` has it."""

    def begin_at_once(self, deliveries: Iterable[Delivery]) -> list[Delivery]: ...
    async def begin(self, deliveries: Iterable[Delivery]) -> None: ...
    def is_held(self, one: Delivery) -> bool: ...
    def waits(self, more: int) -> None: ...
    def finish(self, done: Iterable[Delivery]) -> bool: ...
    async def settle(self) -> None: ...
    async def bury(self, one: Delivery, reason: str) -> None: ...


class Dispatcher:
    """Hands events to a handler until each has succeeded, or is buried after ``tries`` tries."""

    def __init__(
        self,
        handler: Handler,
        outcomes: Outcomes,
        fail: Callable[[BaseException], None],
        *,
        concurrency: int,
        rate: Rate,
        tries: int | None,
        wait_s: tuple[float, float],
    ) -> None:
        self._handler = handler
        self._outcomes = outcomes
        self._fail = fail
        self._rate = rate
        self._tries = tries
        self._wait_s = wait_s
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Delivery] = deque()
        # Whose events are under way, and what has come after for the same member.
        self._lanes: dict[bytes, deque[Delivery] | None] = {}
        self._later: list[tuple[float, int, Delivery]] = []
        self._off: set[bytes] = set()  # the lanes of those
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None
        # An event that was begun before, and never ended, may be what ends consumers: one of them at a time,
        # so that it does not take others with it to the dead letters.
        self._suspects: deque[Delivery] = deque()
        self._has_suspect = False
        self._idle: deque[asyncio.Future[None]] = deque()
        self._turn = 0
        self._is_stopping = False
        self._without_event: set[asyncio.Task[Any]] = set()  # they wait for their turn by the rate
        self._workers = [asyncio.create_task(self._work()) for _ in range(concurrency)]

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Takes on what has come, in its order."""
        lanes, ready, waiting = self._lanes, self._ready, 0
        for one in deliveries:
            if one.lane not in lanes:
                lanes[one.lane] = None
                ready.append(one)
                continue
            if (behind := lanes[one.lane]) is None:
                lanes[one.lane] = deque((one,))
            else:
                behind.append(one)
            waiting += one.lane in self._off
        if waiting:
            self._outcomes.waits(waiting)
        self._wake()

    async def stop(self, finish_s: float) -> None:
        """Begins nothing any more, and gives what was begun so long to end; then it is cancelled."""
        self._is_stopping = True
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            if not (waiter := self._idle.popleft()).done():
                waiter.set_result(None)
        for worker in self._without_event:
            worker.cancel()
        try:
            await asyncio.wait(self._workers, timeout=finish_s)
        finally:
            while left := [worker for worker in self._workers if not worker.done()]:
                for worker in left:
                    worker.cancel()
                await asyncio.wait(left, timeout=CANCEL_AGAIN_S)

    async def _work(self) -> None:
        ready = self._ready
        try:
            while not self._is_stopping:
                if not ready:
                    waiter = self._loop.create_future()
                    self._idle.append(waiter)
                    await waiter
                    continue
                if self._rate.per_s is not None:
                    await self._take_rate()
                    if not ready or self._is_stopping:
                        self._rate.put_back()
                        continue
                one = ready.popleft()
                if one.is_suspect and self._tries is not None:
                    await self._handle_suspect(one)
                else:
                    await self._handle(one)
                self._turn += 1
                if self._turn == 1:
                    self._loop.call_soon(self._next_turn)
                if self._turn >= TURN:
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not self._is_stopping:
                self._fail(RuntimeError("something cancelled a task in which a consumer's handler runs"))
            raise
        except BaseException as error:  # the store's refusal, a fault of ours, or nothing to be caught
            self._fail(error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise

    async def _take_rate(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        self._without_event.add(worker)
        try:
            await self._rate.take()
        finally:
            self._without_event.discard(worker)

    async def _handle_suspect(self, one: Delivery) -> None:
        if self._has_suspect:
            self._suspects.append(one)
            return
        self._has_suspect = True
        try:
            await self._handle(one)
        finally:
            self._has_suspect = False
            if self._suspects:
                self._ready.appendleft(self._suspects.popleft())
                self._wake()

    async def _handle(self, one: Delivery) -> None:
        outcomes = self._outcomes
        if fault := one.fault():
            await outcomes.bury(one, fault)
            return self._done(one)
        if self._tries is not None and one.begun >= self._tries:
            await outcomes.bury(one, LAST_TRY_ENDED)
            return self._done(one)
        was_recorded = one.is_recorded
        if slow := outcomes.begin_at_once((one,)):
            await outcomes.begin(slow)
        if not outcomes.is_held(one):  # another consumer's by now
            return self._done(one)
        cancelled_before = _times_cancelled()
        try:
            await self._handler(one.event)
        except TryLaterError as later:
            one.begun, one.is_recorded = one.begun - 1, was_recorded
            return self._put_off(one, later.after_s)
        except RejectedError as error:
            await outcomes.bury(one, str(error))
            return self._done(one)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _times_cancelled() > cancelled_before:
                raise  # else it is the handler's own: something that it waited for was cancelled
            log.info("entry %s failed at try %d: %s", one.entry.decode(), one.begun, type(error).__name__)
            if self._tries is not None and one.begun >= self._tries:
                await outcomes.bury(one, f"{type(error).__name__}: {error}")
                return self._done(one)
            return self._put_off(one, wait_after(one.begun, self._wait_s))
        has_room = outcomes.finish((one,))
        if one.times:
            await outcomes.settle()
        elif has_room:
            await asyncio.sleep(0)
        return self._done(one)

    def _done(self, one: Delivery) -> None:
        behind = self._lanes[one.lane]
        if behind:
            self._ready.append(behind.popleft())
            self._wake()
        else:
            del self._lanes[one.lane]

    def _put_off(self, one: Delivery, wait_s: float) -> None:
        self._serial += 1  # heaps compare it where times are equal
        heapq.heappush(self._later, (self._loop.time() + wait_s, self._serial, one))
        self._off.add(one.lane)
        self._outcomes.waits(self._length(one.lane))
        self._set_timer()

    def _length(self, lane: bytes) -> int:
        """The one that is under way, and all behind it."""
        return 1 + len(self._lanes[lane] or ())

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._later[0][0], self._take_up) if self._later else None

    def _take_up(self) -> None:
        """What has waited long enough is ready, before what has never been tried."""
        now = self._loop.time()
        due = []
        while self._later and self._later[0][0] <= now:
            due.append(one := heapq.heappop(self._later)[2])
            self._off.discard(one.lane)
            self._outcomes.waits(-self._length(one.lane))
        self._ready.extendleft(reversed(due))
        self._wake()
        self._set_timer()

    def _next_turn(self) -> None:
        self._turn = 0

    def _wake(self) -> None:
        wanted = len(self._ready)
        while wanted and self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                wanted -= 1


def wait_after(tries: int, wait_s: tuple[float, float]) -> float:
    """How long to wait after so many tries: twice as long each time, within bounds."""
    first, longest = wait_s
    return min(longest, first * 2.0 ** min(tries - 1, 64))


def _times_cancelled() -> int:
    """How often this task was asked to end, and nobody has taken that back."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
