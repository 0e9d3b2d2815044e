"""A consumer to kill: it books the points of accepted scans into SQLite, once each.

    python -m tests.faults.queue_consumer DATABASE --form batches --dies committed:3

The store is the one of the environment's settings. It says ``reading`` once it reads, and ends in order on
SIGTERM. ``--dies`` is SIGKILL at a chosen moment, for the n-th time that it comes to it. ``--breaks`` makes
one of two mistakes, for the controls.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Literal

from scanner.queue import Consumer, Event, ScanAccepted
from tests.faults.queue_effects import Effects

GROUP = "points"
BATCH = 50
TRIES = 1_000
"""So many, because an event that was in the hands of consumers that were killed looks like poison."""
WAIT_S = (0.02, 0.2)
"""Before another try: they are killed so often that the usual waits would be most of the time."""
TAKE_OVER_S = 1.0
ACKNOWLEDGED_S = 0.3  # longer than a consumer collects its acknowledgements

Form = Literal["each", "batches", "handler"]
FORMS: tuple[Form, ...] = ("each", "batches", "handler")
STAGES = ("taken", "recorded", "committed")
"""Before the effect's transaction, before its commit, and before the acknowledgement."""


class Doom:
    """Kills this process when it comes to the stage for the n-th time; never where none is named."""

    def __init__(self, text: str) -> None:
        self._stage, _, times = text.partition(":")
        self._left = int(times or 1)

    @property
    def is_to_come(self) -> bool:
        return bool(self._stage) and self._left > 0

    def at(self, stage: str) -> None:
        if stage == self._stage:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Booking:
    def __init__(self, effects: Effects, doom: Doom, *, breaks: str, poison: str) -> None:
        self._effects, self._doom, self._breaks, self._poison = effects, doom, breaks, poison
        self._late: list[ScanAccepted] = []

    async def book(self, events: Sequence[Event]) -> None:
        scans = [event for event in events if isinstance(event, ScanAccepted)]
        if any(scan.key == self._poison for scan in scans):
            os.kill(os.getpid(), signal.SIGKILL)
        self._doom.at("taken")
        if self._breaks == "early":
            scans, self._late = self._late, scans
            if self._doom.is_to_come:
                await asyncio.sleep(ACKNOWLEDGED_S)
            self._doom.at("acknowledged")
        await self._commit(scans)

    async def end(self) -> None:
        """Books what is still to be booked, of a consumer that is late with it."""
        await self._commit(self._late)

    async def _commit(self, scans: Sequence[ScanAccepted]) -> None:
        async with self._effects.begin() as transaction:
            await transaction.book(scans, with_inbox=self._breaks != "no inbox")
            self._doom.at("recorded")
        self._doom.at("committed")


async def run(form: Form, booking: Booking, consumer: Consumer) -> None:
    async with consumer:
        say_reading()
        if form == "each":
            async for event in consumer:
                await booking.book([event])
        elif form == "batches":
            async for events in consumer.batches(BATCH, wait_s=0.02):
                await booking.book(events)
        else:

            @consumer.handler
            async def book(event: Event) -> None:
                await booking.book([event])

            await consumer.run()
    await booking.end()


def say_reading() -> None:
    print("reading", flush=True)  # noqa: T201 (whoever started it waits for this line)


async def main(chosen: argparse.Namespace) -> None:
    async with Effects(chosen.database) as effects:
        consumer = Consumer(
            chosen.group,
            types={"scan.accepted"},
            concurrency=4,
            tries=chosen.tries,
            wait_s=WAIT_S,
            take_over_s=TAKE_OVER_S,
            ahead=200,
        )
        booking = Booking(effects, Doom(chosen.dies), breaks=chosen.breaks, poison=chosen.poison)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consumer.stop)
        await run(chosen.form, booking, consumer)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("--group", default=GROUP)
    parser.add_argument("--form", choices=FORMS, default="batches")
    parser.add_argument("--dies", default="", metavar="STAGE:N")
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--poison", default="", metavar="KEY", help="the event that kills it")
    parser.add_argument("--breaks", choices=("", "early", "no inbox"), default="")
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(main(arguments(sys.argv[1:])))
