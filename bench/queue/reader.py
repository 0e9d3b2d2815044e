"""One consumer process: it reads so many entries in a form, and prints what that took, as a line of JSON.

    python -m bench.queue.reader batches --events 1000000 --group g1

The store is the one of the environment's settings. The clock runs from the first command to the end of the
last acknowledgement; starting Python and connecting are left out.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Final

from bench.queue.booking import Books
from scanner.ledger.connection import Store, opened
from scanner.queue import Consumer, Event
from scanner.queue.events import read_event
from scanner.settings import Settings, load_settings

FORMS: Final = ("bare", "read", "each", "batches", "handler", "inbox")
NAME: Final = "reader"
BARE_COUNT: Final = 1_000
BATCH: Final = 500
CONCURRENCY: Final = 64


@dataclass(frozen=True, slots=True)
class Took:
    """``cpu_s`` is the whole process's, user and system."""

    events: int
    seconds: float
    cpu_s: float


class Clock:
    """Counts entries; done when so many have come."""

    def __init__(self, events: int) -> None:
        self._events, self.left = events, events
        self._began = time.perf_counter(), time.process_time()

    def counted(self, events: int = 1) -> bool:
        self.left -= events
        return self.left <= 0

    def took(self) -> Took:
        seconds, cpu_s = self._began
        return Took(self._events - self.left, time.perf_counter() - seconds, time.process_time() - cpu_s)


async def bare(store: Store, group: str, events: int, *, reads: bool) -> Took:
    client, stream = store.client, store.keys.events
    await client.xgroup_create(stream, group, "0")
    clock, done = Clock(events), False
    while not done:
        [[_, entries]] = await client.xreadgroup(group, NAME, {stream: ">"}, count=BARE_COUNT)
        if reads:
            for entry, raw in entries:
                read_event(entry, raw)
        await client.xack(stream, group, *(entry for entry, _ in entries))
        done = clock.counted(len(entries))
    return clock.took()


async def each(consumer: Consumer, events: int) -> Took:
    clock = Clock(events)
    async with consumer:
        async for _ in consumer:
            if clock.counted():
                consumer.stop()
    return clock.took()


async def batches(consumer: Consumer, events: int) -> Took:
    clock = Clock(events)
    async with consumer:
        async for batch in consumer.batches(BATCH):
            if clock.counted(len(batch)):
                consumer.stop()
    return clock.took()


async def handler(consumer: Consumer, events: int) -> Took:
    clock = Clock(events)

    @consumer.handler
    async def count(event: Event) -> None:
        if clock.counted():
            consumer.stop()

    await consumer.run()
    return clock.took()


async def inbox(consumer: Consumer, events: int, database: str) -> Took:
    async with Books.open(database) as books:
        clock = Clock(events)
        async with consumer:
            async for batch in consumer.batches(BATCH):
                await books.book(batch)
                if clock.counted(len(batch)):
                    consumer.stop()
        return clock.took()


@asynccontextmanager
async def consumer_of(settings: Settings, group: str, **values: object) -> AsyncIterator[Consumer]:
    """A consumer that SIGTERM tells to stop."""
    async with opened(settings, only_reads=True) as store:
        consumer = Consumer(group, NAME, settings=settings, store=store, **values)  # type: ignore[arg-type]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        yield consumer


async def measured(form: str, group: str, events: int, database: str) -> Took:
    settings = load_settings()
    if form in ("bare", "read"):
        async with opened(settings, only_reads=True) as store:
            return await bare(store, group, events, reads=form == "read")
    async with consumer_of(settings, group, concurrency=CONCURRENCY) as consumer:
        if form == "inbox":
            return await inbox(consumer, events, database)
        return await {"each": each, "batches": batches, "handler": handler}[form](consumer, events)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.queue.reader", description=__doc__)
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--database", default="", help="of the inbox")
    chosen = parser.parse_args(argv)
    took = asyncio.run(measured(chosen.form, chosen.group, chosen.events, chosen.database))
    print(json.dumps(asdict(took)))


if __name__ == "__main__":
    main(sys.argv[1:])
