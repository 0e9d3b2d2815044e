"""Consuming the stream: events come in order, are acknowledged after success, and come again until then.

Three forms of one :class:`Consumer`: ``async for event in consumer``, ``async for events in
consumer.batches(500)``, and a handler with ``run``. Each event comes at least once; what makes its effect
happen once is the caller's own database (``scanner.queue.inbox``).
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from scanner.errors import ConfigurationError
from scanner.ledger.connection import Store, opened
from scanner.ledger.keys import Keys
from scanner.queue.consuming.deliveries import Delivery
from scanner.queue.consuming.dispatch import Dispatcher, Handler
from scanner.queue.consuming.handout import Handout
from scanner.queue.consuming.intake import BLOCK_MS, Intake
from scanner.queue.consuming.options import Options
from scanner.queue.consuming.partition import Partition
from scanner.queue.consuming.rate import Rate
from scanner.queue.events import Event
from scanner.settings import Settings, load_settings

# For the last acknowledgements, once nothing is handled any more.
LEAVE_S = 3.0

AnyHandler = TypeVar("AnyHandler", bound=Callable[[Any], Awaitable[None]])


class Consumer:
    """One consumer of a group.

    ``settings`` say where the store is, unless ``store``, an open one, is given. ``campaigns``, ``types`` of
    entry and ``kinds`` of award choose events; the others are acknowledged and not given. ``start`` counts
    only where the group is new: "beginning", "now", an entry's id (after it) or a moment. ``share=(k, n)``
    takes the members with ``crc32(member) % n == k``, in a group of its own.

    Handlers run ``concurrency`` at a time, begin at most ``rate`` times a second, and fail ``tries`` times
    before the event is a dead letter (None: never), with waits between the two bounds ``wait_s``. Reading
    runs ``ahead`` by so many events; of those that wait to be tried again there may be ten times as many. One
    task at a time has a consumer's loop, or ``run``. What a consumer has not said to be alive for
    ``take_over_s`` goes to another one of its group; a consumer that is started again under its ``name`` goes
    on at once.
    """

    def __init__(
        self,
        group: str,
        name: str | None = None,
        *,
        settings: Settings | None = None,
        store: Store | None = None,
        campaigns: Collection[str] | None = None,
        types: Collection[str] | None = None,
        kinds: Collection[str] | None = None,
        start: str | datetime = "beginning",
        partitions: int = 1,
        concurrency: int = 16,
        rate: float | None = None,
        tries: int | None = 5,
        wait_s: tuple[float, float] = (0.5, 60.0),
        take_over_s: float = 30.0,
        ahead: int = 1000,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._options = options = Options(
            group=group,
            name=name,
            campaigns=campaigns,
            types=types,
            kinds=kinds,
            start=start,
            partitions=partitions,
            concurrency=concurrency,
            rate=rate,
            tries=tries,
            wait_s=wait_s,
            take_over_s=take_over_s,
            ahead=ahead,
            share=share,
        )
        self.group, self.name = options.group_name, options.consumer_name
        self._settings = settings
        self._given_store = store
        self._handler: Callable[[Any], Awaitable[None]] | None = None
        self._was_opened = False
        self._stack = AsyncExitStack()
        self._intake: Intake | None = None
        self._dispatcher: Dispatcher | None = None
        self._handout = Handout(options.tries, options.wait_s)
        self._run_is_over = asyncio.Event()
        self._run_is_over.set()
        self._finish_s = 0.0

    def handler(self, function: AnyHandler) -> AnyHandler:
        """Registers what is called with each event: a coroutine function; see ``run``."""
        if not inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 (an object may be callable by a coroutine function)
        ):
            raise ConfigurationError("a consumer's handler is a coroutine function: `async def`")
        if self._handler is not None:
            raise ConfigurationError("this consumer has a handler already: one consumer, one handler")
        self._handler = function
        return function

    async def __aenter__(self) -> Self:
        if self._was_opened:
            raise ConfigurationError("a consumer is opened once: make another one")
        self._was_opened = True
        options, settings = self._options, self._settings or load_settings()
        self._finish_s = float(settings.shutdown_timeout_s)
        async with AsyncExitStack() as stack:
            store = self._given_store
            if store is None:
                store = await stack.enter_async_context(opened(settings, only_reads=True))
            timeout_s = (BLOCK_MS + settings.store_timeout_ms) / 1000
            self._intake = Intake(
                [
                    Partition(store, Keys(store.keys.brand, no), self.group, self.name, timeout_s)
                    for no in range(options.partitions)
                ],
                options.selection,
                self._deliver,
                self._handout.fail,
                group=self.group,
                name=self.name,
                ahead=options.ahead,
                take_over_s=options.take_over_s,
                counts_tries=options.tries is not None,
            )
            stack.push_async_callback(self._leave, self._intake)
            self._rate = Rate(options.rate)
            await self._handout.unless_stopped(self._intake.join(options.start_id))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def stop(self) -> None:
        """Ends the loop once it comes back, or ``run`` once what was begun has ended; at once, where it waits
        for the store. May be a signal handler: ``loop.add_signal_handler(signal.SIGTERM, consumer.stop)``."""
        self._handout.stop()

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Calls the handler with each event, until ``stop`` is set, ``stop()`` is called, or it is cancelled.

        Then nothing more is begun. Handlers that run have SCANNER_SHUTDOWN_TIMEOUT_S to end and are cancelled
        after that; their events, and what was read ahead, come again, to whoever of the group looks next.

        Raises:
            StoreRefusedError: the group is gone, may not be read, or has too many dead letters.
            ConfigurationError: there is no handler, another task has the consumer, or the store cannot be
                used.
            RuntimeError: something cancelled what handlers run in.
        """
        if self._handler is None:
            raise ConfigurationError("this consumer has no handler: decorate one with @consumer.handler")
        async with AsyncExitStack() as stack:
            if stop is not None:
                stack.callback(asyncio.create_task(self._stop_when(stop)).cancel)
            if self._intake is None:
                await stack.enter_async_context(self)
            await self._run(self._handler, self._open())

    async def _run(self, handler: Handler, intake: Intake) -> None:
        options, handout = self._options, self._handout
        handout.take_back()
        handout.enter()
        self._run_is_over.clear()
        self._dispatcher = dispatcher = Dispatcher(
            handler,
            intake,
            handout.fail,
            concurrency=options.concurrency,
            rate=self._rate,
            tries=options.tries,
            wait_s=options.wait_s,
        )
        try:
            dispatcher.put(handout.take_all())
            intake.start()
            await handout.ended()
        finally:
            intake.stop_reading()
            try:
                await dispatcher.stop(self._finish_s)
            finally:
                self._dispatcher = None
                self._run_is_over.set()
                handout.leave()

    def __aiter__(self) -> Self:
        self._handout.take_back()
        return self

    async def __anext__(self) -> Event:
        events = await self._handout.next(self._open(), self._rate, 1, 0)
        if not events:
            raise StopAsyncIteration
        return events[0]

    def batches(self, size: int, wait_s: float = 0.05) -> AsyncIterator[list[Event]]:
        """Lists of 1 to ``size`` events in order: a list is given when it is full, or ``wait_s`` after its
        first event came. Coming back for the next one acknowledges the last one.

        What was given before, and never acknowledged, comes in smaller lists, for its last try alone: so one
        bad event does not take others with it to the dead letters.
        """
        if size < 1 or wait_s < 0:
            raise ConfigurationError(
                f"batches: expected 1 event or more and no negative wait, got {size}, {wait_s}"
            )
        intake = self._open()
        intake.ahead = max(intake.ahead, 2 * size)  # the next list is read while this one is handled
        return aiter(_Batches(self._handout, lambda: self._handout.next(intake, self._rate, size, wait_s)))

    def is_repeat(self, event: Event) -> bool:
        """Whether an event that is in hand may have been given to somebody before: it was left by a consumer
        that ended, is tried again, or was retried out of the dead letters."""
        one = self._open().find(event.entry, event.partition)
        return one is not None and one.is_repeat

    async def reject(self, event: Event, reason: str) -> None:
        """Makes an event that is in hand a dead letter at once. The loop that it was given to goes on; a
        handler raises RejectedError instead."""
        intake, handout = self._open(), self._handout
        one = intake.find(event.entry, event.partition)
        if one is None:
            return
        was_given = handout.forget(one)
        try:
            await intake.bury(one, reason)
        except BaseException:  # broken off: coming back would acknowledge it
            if was_given:
                handout.put_back(one)
            raise

    def _open(self) -> Intake:
        if self._intake is None:
            raise ConfigurationError("the consumer is not open: `async with Consumer(…) as consumer`")
        return self._intake

    def _deliver(self, deliveries: list[Delivery]) -> None:
        if self._dispatcher is not None:
            self._dispatcher.put(deliveries)
        else:
            self._handout.put(deliveries)

    async def _stop_when(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.stop()

    async def _leave(self, intake: Intake) -> None:
        self._handout.stop()  # another task may be at it still
        try:
            await self._run_is_over.wait()
        finally:
            self._intake = None
            await intake.close(LEAVE_S, forget_name=self._options.name is None)


class _Batches:
    """What ``batches`` gives. No generator: one of those is over once somebody gave up waiting for it."""

    def __init__(self, handout: Handout, take: Callable[[], Awaitable[list[Event]]]) -> None:
        self._handout = handout
        self._take = take

    def __aiter__(self) -> Self:
        self._handout.take_back()
        return self

    async def __anext__(self) -> list[Event]:
        if events := await self._take():
            return events
        raise StopAsyncIteration
