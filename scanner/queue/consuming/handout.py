"""Events on their way to a loop: one by one or in lists, in order, acknowledged when the loop comes back."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable
from contextlib import suppress

from scanner.errors import ConfigurationError
from scanner.queue.consuming.deliveries import Delivery
from scanner.queue.consuming.dispatch import LAST_TRY_ENDED, wait_after
from scanner.queue.consuming.intake import Intake
from scanner.queue.consuming.rate import Rate
from scanner.queue.events import Event

# A list that was given before without an end comes in ever smaller ones, so that one bad event is found.
SMALLER = 8


class Handout:
    """What has come, what the loop has, and whether it goes on.

    Coming back acknowledges what was given: so only the task that it was given to may, until that has ended.
    """

    def __init__(self, tries: int | None, wait_s: tuple[float, float]) -> None:
        self._tries = tries
        self._wait_s = wait_s
        self._arrived: deque[Delivery] = deque()
        self._given: list[Delivery] = []
        self._not_before = 0.0
        self._news = asyncio.Event()
        self._fault: BaseException | None = None
        self._is_stopping = False
        self._user: asyncio.Task[object] | None = None
        self._waits: set[asyncio.Timeout] = set()

    def put(self, deliveries: Iterable[Delivery]) -> None:
        self._arrived.extend(deliveries)
        self._news.set()

    def take_all(self) -> list[Delivery]:
        """What has come and was not given yet, for another to give."""
        arrived, self._arrived = self._arrived, deque()
        return list(arrived)

    def enter(self) -> None:
        """What comes, and comes back, is this task's from here on.

        Raises:
            ConfigurationError: another one's, which has not ended.
        """
        user, task = self._user, asyncio.current_task()
        if user is not None and user is not task and not user.done():
            raise ConfigurationError(
                "this consumer is another task's: one loop, or one run, a consumer; for several events at "
                "once register a handler (`concurrency`), or make more consumers"
            )
        self._user = task

    def leave(self) -> None:
        self._user = None

    def stop(self) -> None:
        if not self._is_stopping:
            for wait in self._waits:
                wait.reschedule(0)
        self._is_stopping = True
        self._news.set()

    def fail(self, error: BaseException) -> None:
        self._fault = self._fault or error
        self._news.set()

    async def ended(self) -> None:
        """Returns once it is to stop; raises what has failed."""
        while self._goes_on():
            self._news.clear()
            await self._news.wait()

    def take_back(self) -> None:
        """What was given and never acknowledged comes again first, after a wait as after a failure; errors as
        ``enter``."""
        self.enter()
        if self._given:
            begun = max(one.begun for one in self._given)
            wait_s = wait_after(max(1, begun), self._wait_s)
            self._not_before = asyncio.get_running_loop().time() + wait_s
        self._arrived.extendleft(reversed(self._given))
        self._given = []
        self.leave()

    def forget(self, one: Delivery) -> bool:
        """Coming back does not acknowledge it; whether it was given."""
        given, self._given = self._given, [given for given in self._given if given is not one]
        return len(given) > len(self._given)

    def put_back(self, one: Delivery) -> None:
        """What was forgotten comes again first."""
        self._arrived.appendleft(one)
        self._news.set()

    async def next(self, intake: Intake, rate: Rate, size: int, wait_s: float) -> list[Event]:
        """The next ones, which count as tried from here on; none once it is to stop. What was given last is
        acknowledged. Errors as ``enter``."""
        self.enter()
        try:
            given, self._given = self._given, []
            if given:
                has_room = intake.finish(given)
                if any(one.times for one in given):
                    await self.unless_stopped(intake.settle())
                elif has_room:
                    await asyncio.sleep(0)
            intake.start()
            while self._is_full(size) or await self._some_arrived(size, wait_s):
                first = self._arrived[0]
                limit = self._limit(size, first.begun)
                if fault := first.fault() or ("" if limit else LAST_TRY_ENDED):
                    await self._bury(intake, first, fault)
                elif events := await self._begun(intake, rate, limit):
                    return events
            return []
        finally:
            if not self._given:
                self.leave()

    def _is_full(self, size: int) -> bool:
        """Whether there is nothing to wait for: mostly so, and cheaper to ask than to wait."""
        return len(self._arrived) >= size and not self._not_before and self._goes_on()

    def _goes_on(self) -> bool:
        if self._fault is not None:
            raise self._fault
        return not self._is_stopping

    async def unless_stopped(self, work: Awaitable[None]) -> None:
        """Waits for it, which may take for as long as the store is away; it is broken off by ``stop``."""
        wait = asyncio.timeout(0 if self._is_stopping else None)
        try:
            async with wait:
                self._waits.add(wait)
                await work
        except TimeoutError:
            if not wait.expired():
                raise
        finally:
            self._waits.discard(wait)

    async def _some_arrived(self, size: int, wait_s: float) -> bool:
        """Waits until there is something to give; False once it is to stop."""
        arrived, clock = self._arrived, asyncio.get_running_loop().time
        until: float | None = None
        while self._goes_on():
            now = clock()
            wake_at: float | None = self._not_before
            if now >= self._not_before:
                self._not_before = 0.0
                if len(arrived) >= size or (until is not None and now >= until):
                    return True
                if arrived and until is None:
                    until = now + wait_s
                    continue
                wake_at = until
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(wake_at):
                    await self._news.wait()
        return False

    def _limit(self, size: int, begun: int) -> int:
        """How many to give together of those that were begun so often; 0: none any more."""
        if self._tries is None or begun == 0:
            return size
        if begun + 1 >= self._tries:
            return 0 if begun >= self._tries else 1
        return max(1, size // int(SMALLER**begun))

    async def _begun(self, intake: Intake, rate: Rate, size: int) -> list[Event]:
        arrived, begun = self._arrived, self._arrived[0].begun
        if rate.per_s is not None:
            await self.unless_stopped(rate.take(min(size, len(arrived))))
            if not self._goes_on():
                return []
        batch: list[Delivery] = []
        while arrived and len(batch) < size and arrived[0].begun == begun and not arrived[0].fault():
            batch.append(arrived.popleft())
        if slow := intake.begin_at_once(batch):
            is_given = False
            try:
                await self.unless_stopped(intake.begin(slow))
                is_given = self._goes_on()
            finally:
                if not is_given:  # cancelled, or stopped
                    for one in batch:
                        one.begun = begun
                    arrived.extendleft(reversed(batch))
            if not is_given:
                return []
        self._given = [one for one in batch if intake.is_held(one)]
        return [one.event for one in self._given]

    async def _bury(self, intake: Intake, first: Delivery, reason: str) -> None:
        await self.unless_stopped(intake.bury(first, reason))
        if not intake.is_held(first):
            self._arrived.popleft()
