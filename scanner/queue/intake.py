"""What keeps a consumer supplied: it reads ahead by a bounded number of entries, takes over what others have
left, and finds what is its own and not in hand.

After a store was away nobody takes over at once: who is alive has to say so first.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from scanner.errors import ConfigurationError, ScannerError
from scanner.queue.deliveries import Delivery, Selection, lane_of
from scanner.queue.events import UnreadableError, read_event
from scanner.queue.hands import Hands, ended
from scanner.queue.letter import sent_back
from scanner.queue.partition import Partition, Received
from scanner.queue.patience import TROUBLES

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
        self._is_stopping = False
        self._had_every_reply = True
        self._readers: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []

    async def join(self, start: str) -> None:
        """Makes the group where it is not there; errors as ``Partition.join``."""
        for partition in self._partitions.values():

            async def join(partition: Partition = partition) -> None:
                await partition.join(start)

            await self._patience.insist(join)

    def start(self) -> None:
        """Begins to read, where it has not begun."""
        if self._is_stopping:
            raise ConfigurationError("this consumer has ended: make another one")
        if not self._readers:
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
                    if self._readers:
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
        looked_at = self._clock()
        while not self._is_stopping:
            if not self._room.is_set():
                await self._room.wait()
                continue
            if self._clock() - looked_at >= self._take_over_s / 2:
                await self._patience.insist(lambda: self._adopt(partition, from_others=True))
                looked_at = self._clock()
                continue
            try:
                room = max(1, self.ahead - self._in_hand)
                received = await partition.read(min(READ_MAX, room), BLOCK_MS)
            except TROUBLES as error:
                if "NOGROUP" in str(error) or "UNBLOCKED" in str(error):
                    await self._patience.insist(partition.look_for_groups)
                else:
                    self._had_every_reply = False
                    await self._patience.pause(error)
                # What was in the reply that was lost is ours already.
                await self._patience.insist(lambda: self._adopt(partition, from_others=False))
                looked_at = self._clock()
                continue
            self._patience.is_well()
            if received:
                await self._take_in(received)

    async def _adopt(self, partition: Partition, *, from_others: bool) -> None:
        """Takes in what is ours and not in hand, and what others have left."""
        if from_others:
            await partition.take_over(self._idle_ms, self.ahead)
        async for received in partition.strays(max(1, self._idle_ms // 2), max(1, self.ahead // 2)):
            await self._take_in(received)
            await self._room.wait()
            if self._is_stopping:
                return

    async def _take_in(self, received: Iterable[Received]) -> None:
        arrived: list[Delivery] = []
        selection, skipped = self._selection, False
        for source, id, raw, times in received:
            entry, fields = id, raw
            try:
                if source.is_again:
                    entry, fields = sent_back(raw)
                lane = lane_of(fields)
                if selection.wants_all or selection.wants_fields(fields, lane):
                    event = read_event(entry, fields, source.partition)
                    if selection.wants(event):
                        one = source.held[id] = Delivery(source, id, times, fields, event, lane)
                        arrived.append(one)
                        self._in_hand += 1
                        continue
            except UnreadableError as error:
                await self._bury(source, id, entry.decode(), fields, max(0, times - 1), str(error))
                continue
            source.finished[id] = None
            skipped = True
        if skipped:
            self._work_is_done.set()
        if arrived:
            if self._in_hand > self.ahead // 2 and not self._is_stopping:
                self._room.clear()
            self._deliver(arrived)
