"""What keeps a consumer supplied: it reads ahead by a bounded number of entries, takes over what others have
left, and finds what is its own and not in hand.

After a store was away nobody takes over at once: who is alive has to say so first.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import TimeoutError as RedisTimeoutError

from scanner.errors import ConfigurationError, ScannerError
from scanner.queue.consuming.deliveries import Delivery, Selection
from scanner.queue.consuming.hands import HELD_TIMES, Hands, ended
from scanner.queue.consuming.letter import sent_back
from scanner.queue.consuming.partition import Partition, Received
from scanner.queue.consuming.patience import TROUBLES, Trouble
from scanner.queue.events import UnreadableError

log = logging.getLogger("scanner")

BLOCK_MS = 200
READ_MAX = 1000


class Intake(Hands):
    """``deliver`` is called with what has come in, in order; the rest as ``Hands`` has it."""

    def __init__(
        self,
        partitions: Sequence[Partition],
        selection: Selection,
        deliver: Callable[[list[Delivery]], None],
        fail: Callable[[Exception], None],
        **hands: Any,
    ) -> None:
        super().__init__(partitions, fail, **hands)
        self._selection = selection
        self._deliver = deliver
        self._has_joined = self._is_stopping = False
        self._had_every_reply = True
        self._said = False
        self._at_once = READ_MAX
        self._readers: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    async def join(self, start: str) -> None:
        """Makes the group where it is not there; errors as ``Partition.join``."""
        for partition in self._partitions.values():

            async def join(partition: Partition = partition) -> None:
                await partition.join(start)

            await self._patience.insist(join)
        self._has_joined = True

    def start(self) -> None:
        """Begins to read, where it has not begun; without a group there is nothing to read."""
        if self._is_stopping:
            raise ConfigurationError("this consumer has ended: make another one")
        if self._has_joined and not self._readers:
            partitions = self._partitions.values()
            self._readers = [self._task(self._read(partition)) for partition in partitions]
            self._others = [self._task(self._acknowledge()), self._task(self._keep_fresh())]

    def stop_reading(self) -> None:
        """Nothing new comes soon after. A read that waits is not broken off: what it brings would be nobody's
        until somebody takes it over."""
        self._is_stopping = True
        self._room.set()

    async def close(self, timeout_s: float, *, forget_name: bool) -> None:
        """Acknowledges what is finished, leaves the rest to whoever looks next, and ends; within so long."""
        self.stop_reading()
        try:
            with suppress(TimeoutError, ScannerError):
                async with asyncio.timeout(timeout_s):
                    if not self._readers:
                        return  # nothing was given
                    await asyncio.wait(self._readers)
                    await ended(self._others)
                    for partition in self._partitions.values():
                        await self._patience.insist(partition.acknowledge)
                        await self._release(partition)
                        if forget_name and self._had_every_reply:
                            await partition.leave()
        except TROUBLES as error:
            log.warning(
                "group %s: what was finished last may come again: %s", self._group, type(error).__name__
            )
        finally:
            for task in (*self._readers, *self._others):
                task.cancel()
            await ended([*self._readers, *self._others])
            for partition in self._partitions.values():
                partition.close()

    async def _read(self, partition: Partition) -> None:
        await self._patience.insist(lambda: self._adopt(partition, from_others=True))
        looked_at, trouble = self._clock(), Trouble(self._patience)
        while not self._is_stopping:
            if not self._room.is_set():
                await self._room.wait()
                continue
            if self._clock() - looked_at >= self._take_over_s / 2:
                await self._patience.insist(lambda: self._adopt(partition, from_others=True))
                looked_at = self._clock()
                continue
            try:
                room = max(1, self.ahead - self._in_hand + self._waiting)
                received = await partition.read(min(self._at_once, room), BLOCK_MS)
            except TROUBLES as error:
                if isinstance(error, RedisTimeoutError):
                    self._ask_for_fewer()
                if "NOGROUP" in str(error) or "UNBLOCKED" in str(error):
                    await self._patience.insist(partition.look_for_groups)
                else:
                    self._had_every_reply = False
                    await trouble.wait(error)
                # What was in the reply that was lost is ours already.
                await self._patience.insist(lambda: self._adopt(partition, from_others=False))
                looked_at = self._clock()
                continue
            trouble.is_over()
            if received:
                self._at_once = min(READ_MAX, self._at_once + self._at_once // 8 + 1)
                await self._take_in(received)

    def _ask_for_fewer(self) -> None:
        """Over a slow link a reply with all that there is room for would never come in time."""
        self._at_once = max(1, self._at_once // 2)

    async def _adopt(self, partition: Partition, *, from_others: bool) -> None:
        """Takes in what is ours and not in hand, and what others have left."""
        if from_others:
            await partition.take_over(self._idle_ms, self.ahead)
        stale_ms, count = max(1, self._idle_ms // 2), max(1, min(self._at_once, self.ahead // 2))
        try:
            async for received in partition.strays(stale_ms, count):
                await self._take_in(received)
                await self._room.wait()
                if self._is_stopping:
                    return
        except RedisTimeoutError:
            self._ask_for_fewer()
            raise

    async def _take_in(self, received: Iterable[Received]) -> None:
        arrived: list[Delivery] = []
        selection, skipped = self._selection, False
        for source, times, entries in received:
            for id, flat in entries:
                one = Delivery(source, id, times, id, flat)
                if source.is_again:
                    try:
                        entry, fields = sent_back(one.fields)
                    except UnreadableError as error:
                        await self.bury(one, str(error))
                        continue
                    flat = [part for pair in fields.items() for part in pair]
                    one = Delivery(source, id, times, entry, flat)
                if selection.wants_all or selection.takes(one):
                    self._in_hand += id not in source.held  # given again, after a fail-over: it is one
                    source.held[id] = one
                    arrived.append(one)
                else:
                    source.finished[id] = None
                    skipped = True
        if skipped:
            self._work_is_done.set()
        if arrived:
            if self._is_full() and not self._is_stopping:
                self._room.clear()
                self._say_what_waits()
            self._deliver(arrived)

    def _say_what_waits(self) -> None:
        """Once, until half of it is done."""
        most = HELD_TIMES * self.ahead
        if self._in_hand >= most and not self._said:
            log.warning(
                "consumer %s of group %s reads nothing new: %d events wait to be tried again, or behind "
                "one that does",
                *(self._name, self._group, self._in_hand),
            )
        self._said = self._in_hand >= (most // 2 if self._said else most)
