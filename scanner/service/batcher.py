"""Scans travel in batches: a claim never leaves on arrival, it joins the batch that leaves next.

While batches are away the next one fills, so batches grow with the load, and a lone claim waits for nobody.
A claim that was sent is never cancelled: whoever asked may hang up, the batch travels in a task of its own.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence, Sized
from typing import Protocol

from scanner.errors import ScannerError, StoreLostError, StoreUnavailableError
from scanner.ledger.claims import Answer, parse_answer
from scanner.ledger.frames import Asked
from scanner.service.admission import Admission, Reason
from scanner.service.metrics import CELL, Cells

Send = Callable[[Sequence[Asked]], Awaitable[Sequence[bytes]]]
"""Takes a batch to the store: one reply a claim, in order."""


class OverloadedError(ScannerError):
    """As many claims wait already as may. Nothing was sent."""


class Asker(Protocol):
    """Who waits for a claim. Exactly one of the two is called, once, and it must not raise."""

    def reply(self, data: bytes) -> None: ...
    def fail(self, error: Exception) -> None: ...


class Lane(Protocol):
    """A way into the next batch."""

    def sheds_read(self) -> bool:
        """Whether a read is refused for now, because claims queue; then that is counted."""

    def submit(self, claim: Asked) -> asyncio.Future[Answer]:
        """The claim's answer, once its batch is back; or StoreUnavailableError: then the outcome is unknown.

        Raises:
            OverloadedError: too many claims wait.
            StoreUnavailableError: the stream is at its limit.
        """


_FULL = CELL["full"]
_Waiting = tuple[float, Asked, Asker]
"""Since when, in the loop's time; what; and who."""


class Batcher:
    """Collects claims and sends them, at most ``away_max`` batches at a time.

    ``service_cells`` say for all workers whether there is room for more (``pressure.py``).
    """

    def __init__(
        self,
        send: Send,
        cells: Cells,
        admission: Admission,
        *,
        batch_max: int,
        away_max: int,
        service_cells: Cells | None = None,
    ) -> None:
        self._send = send
        self._cells = cells
        self._service = (service_cells or cells).values
        self.admission = admission
        self._batch_max = batch_max
        self._away_max = away_max
        self._waiting: deque[_Waiting] = deque()
        self._away: set[asyncio.Task[None]] = set()
        self._flush_is_due = False

    @property
    def bulk(self) -> Lane:
        """The lane of those who bring many claims at once."""
        return _Bulk(self, self._waiting, self.admission)

    def sheds_read(self) -> bool:
        """As :class:`Lane` has it."""
        return self.admission.sheds_read(asyncio.get_running_loop().time())

    def submit(self, claim: Asked) -> asyncio.Future[Answer]:
        """As :class:`Lane` has it."""
        awaited = _Awaited()
        self.offer(claim, awaited)
        return awaited

    def offer(self, claim: Asked, asker: Asker) -> None:
        """The same for somebody who does not await. Raises OverloadedError, and StoreUnavailableError where
        the stream is at its limit: nothing was sent."""
        if self._service[_FULL]:
            self._cells.add("refused_full")
            raise StoreUnavailableError("the stream or the store is at its limit")
        waiting, loop = self._waiting, asyncio.get_running_loop()
        now_s = loop.time()
        if len(waiting) >= self.admission.limit:
            self.admission.refused("queue", now_s)
            raise OverloadedError("too many claims wait")
        waiting.append((now_s, claim, asker))
        self._cells.set("waiting", len(waiting))
        if not self._flush_is_due and len(self._away) < self._away_max:
            # At the end of this turn of the loop: what arrived in the same turn travels together.
            self._flush_is_due = True
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        waiting, loop = self._waiting, asyncio.get_running_loop()
        now_s = loop.time()
        while waiting and waiting[0][0] < now_s - self.admission.wait_max_s:
            self._refuse(waiting.popleft(), "deadline")
        while waiting and len(self._away) < self._away_max:
            batch = [waiting.popleft() for _ in range(min(self._batch_max, len(waiting)))]
            task = loop.create_task(self._travel(batch))
            self._away.add(task)
            task.add_done_callback(self._landed)
        self.admission.left_behind(len(waiting), now_s)
        while len(waiting) > self.admission.limit:
            self._refuse(waiting.pop(), "queue")  # who has waited longest is next
        self._cells.set("waiting", len(waiting))
        self._cells.set("away", len(self._away))

    def _refuse(self, waits: _Waiting, reason: Reason) -> None:
        self.admission.refused(reason)
        waits[2].fail(OverloadedError("too many claims wait"))

    async def _travel(self, batch: list[_Waiting]) -> None:
        self._cells.add("batches")
        self._cells.add("claims", len(batch))
        loop = asyncio.get_running_loop()
        left_s = loop.time()
        try:
            replies = await self._send([claim for _, claim, _ in batch])
            if len(replies) != len(batch) or not all(type(reply) is bytes for reply in replies):
                raise RuntimeError(f"{len(replies)} replies, or none that are, came for {len(batch)} claims")
        except Exception as error:  # a fault of ours included: those who asked must still hear of it
            if isinstance(error, StoreLostError):
                # Those who wait would ask the same store and wait as long again: they hear it now.
                batch = [*batch, *self._waiting]
                self._waiting.clear()
            for _, _, asker in batch:
                asker.fail(error)
        else:
            self.admission.landed(loop.time() - left_s)
            for (_, _, asker), data in zip(batch, replies, strict=True):
                asker.reply(data)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._away.discard(task)
        self._flush()

    async def drain(self) -> None:
        """Returns when nothing waits and nothing is away."""
        while self._waiting or self._away:
            self._flush()
            if self._away:  # else all that waited was refused
                await asyncio.wait(self._away)


class _Bulk:
    """May fill half of the queue: a phone with its one scan finds room, whatever services bring."""

    def __init__(self, batcher: Batcher, waiting: Sized, admission: Admission) -> None:
        self._batcher = batcher
        self._waiting = waiting
        self._admission = admission

    def sheds_read(self) -> bool:
        return self._batcher.sheds_read()

    def submit(self, claim: Asked) -> asyncio.Future[Answer]:
        if len(self._waiting) >= max(1, self._admission.limit // 2):
            self._admission.refused("queue")
            raise OverloadedError("too many claims wait")
        return self._batcher.submit(claim)


class _Awaited(asyncio.Future[Answer]):
    """Somebody who awaits the answer, and may be gone when it comes."""

    def reply(self, data: bytes) -> None:
        try:
            answer = parse_answer(data)
        except StoreUnavailableError as error:
            self.fail(error)
        else:
            if not self.done():
                self.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.done():
            self.set_exception(error)
            self.exception()  # marked as seen
