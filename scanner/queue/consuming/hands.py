"""What a consumer has in hand, and what becomes of it: begun, kept fresh, acknowledged, buried.

What is in hand is said to be worked on three times within ``take_over_s``. Where that was not possible for so
long, because the store was away or this process stood still, others may have taken it: nothing is begun then
before it is known whose it is. Acknowledgements are collected and travel together.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from scanner.queue.consuming.deliveries import Delivery
from scanner.queue.consuming.letter import letter_of
from scanner.queue.consuming.partition import Partition
from scanner.queue.consuming.patience import Patience

log = logging.getLogger("scanner")

ACKNOWLEDGE_AFTER_S = 0.05
ACKNOWLEDGE_AT = 1000
HELD_TIMES = 10


class Hands:
    """One consumer's. ``fail`` is called with what ended its work; ``counts_tries`` says that tries count in
    the store; while more than half of ``ahead`` is in hand there is no room. What waits takes none, up to
    ``HELD_TIMES`` times ``ahead`` in all."""

    def __init__(
        self,
        partitions: Sequence[Partition],
        fail: Callable[[Exception], None],
        *,
        group: str,
        name: str,
        ahead: int,
        take_over_s: float,
        counts_tries: bool,
    ) -> None:
        self._partitions = {partition.events.partition: partition for partition in partitions}
        self._sources = [source for partition in partitions for source in partition.sources]
        self._fail = fail
        self._group, self._name = group, name
        self.ahead = ahead
        self._take_over_s = take_over_s
        self._counts_tries = counts_tries
        self._patience = Patience(group, f"consumer {name} of group {group}")
        self._clock = asyncio.get_running_loop().time
        self._in_hand = self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()
        self._work_is_done = asyncio.Event()
        self._hurry = asyncio.Event()
        self._settling: list[asyncio.Future[None]] = []
        self._burying = asyncio.Lock()  # letters lie in the order in which what they are of came
        self._has_failed = False

    def begin_at_once(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Counts a try of each, where nobody has to be told or asked. Returns the others: for ``begin``."""
        slow: list[Delivery] = []
        stale_before = self._stale_before()
        for one in deliveries:
            is_stale = self._partitions[one.source.partition].fresh_at < stale_before
            if is_stale or (one.is_recorded and self._counts_tries):
                slow.append(one)
            else:
                one.begun += 1
                one.is_recorded = True
        return slow

    async def begin(self, deliveries: Iterable[Delivery]) -> None:
        """Counts a try of each, in the store where that has to last. What was lost is not held afterwards."""
        before = [(one, one.begun, one.is_recorded) for one in deliveries]
        by_partition: dict[int, list[Delivery]] = {}
        for one, begun, _ in before:
            one.begun = begun + 1
            by_partition.setdefault(one.source.partition, []).append(one)
        try:
            for no, some in by_partition.items():

                async def record(
                    partition: Partition = self._partitions[no], some: list[Delivery] = some
                ) -> None:
                    await self._hold_fast(partition)
                    if self._counts_tries:
                        await partition.record(one for one in some if one.is_recorded and self.is_held(one))

                await self._patience.insist(record)
                for one in some:
                    one.is_recorded = True
        except BaseException:  # cancelled: nothing was begun
            for one, begun, was_recorded in before:
                one.begun, one.is_recorded = begun, was_recorded
            raise

    def is_held(self, one: Delivery) -> bool:
        """Whether it is still this consumer's, as far as it knows."""
        return one.source.held.get(one.id) is one

    def waits(self, more: int) -> None:
        """So many more (fewer) of what is in hand wait to be tried again, or behind one that does."""
        self._waiting += more
        self._look_for_room()

    def finish(self, done: Iterable[Delivery]) -> bool:
        """They are done with, and acknowledged soon; where one is another's by now, its group hears of it,
        too. Whether there is room for more from now on: then the loop should have its turn, so that the store
        works while what is in hand is."""
        for one in done:
            source, id = one.source, one.id
            if source.held.pop(id, None) is not None:
                self._in_hand -= 1
            source.finished[id] = None
        self._work_is_done.set()
        return self._look_for_room()

    async def settle(self) -> None:
        """Returns when what is finished is acknowledged. After what was given out before, nothing more is
        begun until then: where consumers end one after another, what is done must not count as tried."""
        if self._has_failed or not self._counts_tries:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._settling.append(waiter)
        self._work_is_done.set()
        self._hurry.set()
        await waiter

    async def bury(self, one: Delivery, reason: str) -> None:
        """Moves it to the dead letters; returns when it is there, or another's.

        Raises:
            StoreRefusedError: there are too many.
        """
        partition = self._partitions[one.source.partition]
        entry, tries = one.entry.decode(), one.begun
        letter = letter_of(entry, one.fields, tries=tries, reason=reason, consumer=self._name)

        async def move() -> None:
            await self._hold_fast(partition)
            # Not pending: it is there already, and the reply was lost; or another consumer has it.
            if await partition.is_pending(one.source, one.id):
                await partition.bury(one.source, one.id, letter)

        async with self._burying:
            await self._patience.insist(move)
        log.error("group %s: entry %s is a dead letter after %d tries", self._group, entry, tries)
        self._drop(one)

    def find(self, entry: str, partition: int) -> Delivery | None:
        """What is in hand of an entry."""
        parts = self._partitions[partition]
        id = entry.encode()
        if (one := parts.events.held.get(id)) is not None:
            return one
        return next((one for one in parts.again.held.values() if one.entry == id), None)

    async def _release(self, partition: Partition) -> None:
        held = [one for source in partition.sources for one in source.held.values()]
        if not self._is_stale(partition):
            await partition.record(held, idle_ms=self._idle_ms)
        for one in held:
            self._drop(one)

    async def _acknowledge(self) -> None:
        while True:
            await self._work_is_done.wait()
            if sum(len(source.finished) for source in self._sources) < ACKNOWLEDGE_AT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ACKNOWLEDGE_AFTER_S):
                        await self._hurry.wait()
            self._work_is_done.clear()
            self._hurry.clear()
            waiters, self._settling = self._settling, []
            try:
                for partition in self._partitions.values():
                    await self._patience.insist(partition.acknowledge)
            finally:
                self._let_go(waiters)

    def _let_go(self, waiters: Iterable[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._take_over_s / 3)
            for partition in self._partitions.values():

                async def refresh(partition: Partition = partition) -> None:
                    await self._hold(partition)

                await self._patience.insist(refresh)

    async def _hold_fast(self, partition: Partition) -> None:
        """Lets go of what is another's by now, where that could be by this process's clock."""
        if self._is_stale(partition):
            await self._hold(partition)

    async def _hold(self, partition: Partition) -> None:
        """Lets go of what is another's by now, by the store's clock, and keeps the rest."""
        for one in await partition.lost():
            if self._drop(one):
                log.warning(
                    "group %s: another consumer has taken over entry %s", self._group, one.entry.decode()
                )
        await self._refresh(partition)

    def _drop(self, one: Delivery) -> bool:
        """Has it no more in hand; whether it was."""
        if not self.is_held(one):
            return False
        del one.source.held[one.id]
        self._in_hand -= 1
        self._look_for_room()
        return True

    def _look_for_room(self) -> bool:
        if self._room.is_set() or self._is_full():
            return False
        self._room.set()
        return True

    def _is_full(self) -> bool:
        in_hand, ahead = self._in_hand, self.ahead
        return in_hand - self._waiting > ahead // 2 or in_hand >= HELD_TIMES * ahead

    async def _refresh(self, partition: Partition) -> None:
        asked_at = self._clock()
        await partition.refresh()
        partition.fresh_at = asked_at

    def _is_stale(self, partition: Partition) -> bool:
        return partition.fresh_at < self._stale_before()

    def _stale_before(self) -> float:
        """What was last known to be ours before then, others may have taken."""
        return self._clock() - 0.9 * self._take_over_s

    @property
    def _idle_ms(self) -> int:
        return max(1, round(self._take_over_s * 1000))

    def _task(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await work
            except Exception as error:  # a fault of ours included: who waits for events must hear of it
                self._has_failed = True
                self._let_go(self._settling)
                self._fail(error)

        return asyncio.create_task(run())


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels them until they have ended: a cancellation may be lost in what they await."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1)
