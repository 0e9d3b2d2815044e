"""What the bridges share: events as messages, and the way from a group of the stream to a target.

An event is acknowledged in the stream only after the target has acknowledged its message. So a bridge may be
killed at any moment: what was not acknowledged is sent again under the same id, and nothing is lost. Messages
that have to keep their order, those of one member, of one lot, are never under way at the same time.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import orjson

from scanner.errors import ScannerError
from scanner.queue.consuming.consumer import Consumer
from scanner.queue.events import Event
from scanner.queue.form.cloudevents import to_cloudevent

log = logging.getLogger("scanner")

WAIT_S = (0.2, 30.0)
SAYS_EVERY_S = 10.0
BATCH_WAIT_S = 0.02
# What is still at it so long after it was told to stop is left: what it had comes again.
STOP_S = 5.0
# A connection that does not close within it, because nobody reads at its other end, is left.
CLOSE_S = 2.0
_SAID_CHARS_MAX = 300

T = TypeVar("T")


class TargetError(ScannerError):
    """The target did not take what was sent, or did not say that it did. Trying again may help."""


class TargetRefusedError(TargetError):
    """The target will not take anything from this bridge, until somebody changes something."""


@dataclass(slots=True)
class Message:
    """An event on its way. ``key`` is what the target removes duplicates by.

    ``since`` is the moment, in seconds since 1970, from which on a copy may be at the target already; None
    where none can be.
    """

    event: Event
    key: str
    body: bytes
    since: float | None = None

    @property
    def order(self) -> str:
        """Messages that have it in common keep their order."""
        for name in ("member", "lot", "campaign"):
            if value := getattr(self.event, name, ""):
                return f"{name}/{value}"
        return self.key


@dataclass(slots=True)
class Sent:
    """What became of a wave: what is to be sent again and why, and what the target can never take."""

    waiting: Sequence[Message] = ()
    reason: str = ""
    refused: Sequence[tuple[Message, str]] = ()


class Target(Protocol):
    """Where messages go. It opens by itself, and again after it broke."""

    name: str

    async def check(self) -> None:
        """Looks whether messages can be sent at all.

        Raises:
            TargetError: not now; a TargetRefusedError: not as things are.
        """

    async def send(self, wave: Sequence[Message]) -> Sent:
        """Returns when the target has acknowledged each message, or did not within its time.

        Raises:
            TargetError: none was taken, as far as is known.
        """

    async def close(self) -> None: ...


def message_of(event: Event, brand: str, *, is_repeat: bool = False) -> Message:
    """The event as structured CloudEvents JSON."""
    body = orjson.dumps(to_cloudevent(event, brand, event.partition))
    since = int(event.entry.partition("-")[0]) / 1000 if is_repeat else None
    return Message(event, event.key, body, since)


def text_of(error: object) -> str:
    """What a target, or its library, has said: one line of bounded length, safe to print."""
    text = "".join(c if c.isprintable() else " " for c in str(error)[:_SAID_CHARS_MAX])
    return " ".join(text.split()) or type(error).__name__


def waves(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Cuts messages so that within a part no two have to keep their order."""
    wave: list[Message] = []
    seen: set[str] = set()
    for message in messages:
        order = message.order
        if order in seen:
            yield wave
            wave, seen = [], set()
        wave.append(message)
        seen.add(order)
    if wave:
        yield wave


@dataclass
class Progress:
    """What a bridge has done, for its log. A target's troubles are said once, and once that they are over."""

    target: str
    delivered: int = 0
    refused: int = 0
    tries: int = 0
    _since: float | None = None
    _tries_now: int = 0
    _wait_s: tuple[float, float] = field(default=WAIT_S)

    @property
    def is_in_trouble(self) -> bool:
        return self._since is not None

    def failed(self, reason: str) -> float:
        """How long to wait before the next try, in seconds: longer each time, and not all at one moment."""
        first, most = self._wait_s
        wait_s = min(most, first * 2.0**self._tries_now)
        if self._since is None:
            self._since = time.monotonic()
            log.warning("%s does not take messages, trying again: %s", self.target, reason)
        elif wait_s >= most:
            log.warning("%s still does not take messages: %s", self.target, reason)
        self.tries += 1
        self._tries_now = min(self._tries_now + 1, 30)
        return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)

    def succeeded(self, n: int) -> None:
        self.delivered += n
        self._tries_now = 0
        if self._since is not None:
            log.warning("%s takes messages again, after %.0f s", self.target, time.monotonic() - self._since)
            self._since = None

    @asynccontextmanager
    async def said(self, every_s: float = SAYS_EVERY_S) -> AsyncIterator[None]:
        """Logs how far it is, now and then, and in the end."""
        task = asyncio.create_task(self._say(every_s))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            log.info("%s: %s", self.target, self)

    async def _say(self, every_s: float) -> None:
        before = self.delivered
        while True:
            await asyncio.sleep(every_s)
            if self.delivered != before:
                rate = (self.delivered - before) / every_s
                log.info("%s: %s, %s/s", self.target, self, f"{rate:,.0f}")
                before = self.delivered

    def __str__(self) -> str:
        refused = f", {self.refused:,} dead letters" if self.refused else ""
        return f"{self.delivered:,} events delivered{refused}"


async def pause(stop: asyncio.Event, wait_s: float) -> None:
    """Waits so long, or until ``stop`` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await stop.wait()


async def carry(
    consumer: Consumer, target: Target, *, brand: str, batch: int, progress: Progress, stop: asyncio.Event
) -> None:
    """Copies the group's events to the target until ``stop`` is set, and finishes what it has begun then,
    unless the target does not take it. What the target can never take becomes a dead letter.

    Raises:
        ScannerError: what the consumer raises.
    """
    watch = asyncio.create_task(_stop_when(stop, consumer))
    try:
        async for events in consumer.batches(batch, wait_s=BATCH_WAIT_S):
            messages = [message_of(one, brand, is_repeat=consumer.is_repeat(one)) for one in events]
            for wave in waves(messages):
                if not await _deliver(consumer, target, wave, progress, stop):
                    return  # not acknowledged: it comes again
    finally:
        watch.cancel()


async def _stop_when(stop: asyncio.Event, consumer: Consumer) -> None:
    await stop.wait()
    consumer.stop()


async def unless_left(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """What it returns; None where it was left, ``STOP_S`` after ``stop``."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({working}, timeout=STOP_S)
        return working.result() if working.done() else None
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def _bury(consumer: Consumer, sent: Sent) -> bool:
    for message, reason in sent.refused:
        await consumer.reject(message.event, reason)
    return True


async def _deliver(
    consumer: Consumer, target: Target, wave: Sequence[Message], progress: Progress, stop: asyncio.Event
) -> bool:
    """Whether everything was taken, or refused for good; False where it was left at ``stop``."""
    while wave:
        try:
            sent = await unless_left(target.send(wave), stop)
        except TargetError as error:
            sent = Sent(wave, str(error))
        if sent is None or (sent.refused and not await unless_left(_bury(consumer, sent), stop)):
            return False
        progress.refused += len(sent.refused)
        if taken := len(wave) - len(sent.waiting) - len(sent.refused):
            progress.succeeded(taken)
        wave = sent.waiting
        if wave:
            if stop.is_set():
                return False
            await pause(stop, progress.failed(sent.reason))
    return True
