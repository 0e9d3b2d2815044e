"""One partition's streams as one consumer of a group reads them: every command that a consumer sends is here.

There are two streams: the ledger, and ``again:<group>`` with what was retried out of the dead letters. The
group keeps, for each entry that it has given out and that is not acknowledged, who has it, since when, and a
count. A consumer keeps that count at one more than the tries that it knows to have been begun.

A reply that is lost loses nothing: what the group has given to this consumer, and is not in its hands, is
found by ``strays``. Nothing here waits for a store that is away, or asks twice; that is for ``Intake``. What
is raised is redis-py's, but where said.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError, ResponseError

from scanner.errors import StoreRefusedError
from scanner.ledger.connection import Store
from scanner.ledger.keys import Keys
from scanner.ledger.watermark import entry_id, pipeline_of
from scanner.ledger.wire import Wire
from scanner.queue.consuming.deliveries import Delivery, Flat, Source

log = logging.getLogger("scanner")

AT_ONCE = 1000
# More of them fill the store's memory for nothing: then somebody has to look, before anything goes on.
DEAD_MAX = 10_000

Received = tuple[Source, int, list[tuple[bytes, Flat]]]
"""Where from, how often the group has given them out before, each entry's id there and what it holds."""

Part = str | bytes | int


class Partition:
    """One partition in a group, seen by one consumer. ``fresh_at`` is when, by the loop's time, all that is
    in hand was last known to be this consumer's."""

    def __init__(self, store: Store, keys: Keys, group: str, name: str, timeout_s: float) -> None:
        self._client = store.client
        self._group = group
        self._name = name
        self._dead = keys.dead(group)
        self.events = Source(keys.events, partition=keys.partition, is_again=False)
        self.again = Source(keys.again(group), partition=keys.partition, is_again=True)
        self.sources = (self.events, self.again)
        # A read that waits must not keep what else is asked waiting.
        self._reads = Wire(store.client, timeout_s)
        self._asks = Wire(store.client, timeout_s)
        self.fresh_at = asyncio.get_running_loop().time()
        self._may_have_made = self._has_made = False

    def close(self) -> None:
        self._reads.close()
        self._asks.close()

    async def join(self, start: str) -> None:
        """Makes the group where it is not there; ``start`` as XGROUP CREATE has it.

        Raises:
            StoreRefusedError: it would begin with what the stream no longer has.
        """
        if (group := await self._group_of(self.events)) is not None:
            await self._say_what_was_lost(group)
        else:
            await self._refuse_gap(start)
            self._may_have_made = True  # also where the reply is lost
            self._has_made = await self._make(self.events, start)
        if self._may_have_made:
            # A group that has read nothing keeps the stream from being trimmed, from here on.
            await self._refuse_gap(start)
            self._may_have_made = False
        if await self._group_of(self.again) is None:
            await self._make(self.again, "0")

    async def _make(self, source: Source, start: str) -> bool:
        """Makes the group; False where another consumer was faster."""
        try:
            await self._asks.call(("XGROUP", "CREATE", source.key, self._group, start, "MKSTREAM"))
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
            return False
        return True

    async def _refuse_gap(self, start: str) -> None:
        """Refuses a start before what the stream no longer has; a group that this consumer has made for it
        does not stay, else the next one would go on with it."""
        before = "" if start == "$" else await self._trimmed_to()
        if not before or entry_id(start if "-" in start else f"{start}-0") >= entry_id(before):
            return
        text = (
            f"group {self._group} cannot start there: the stream was trimmed, and what came up to {before} "
            f"is in the archive only; read that first, and then start={before!r}"
        )
        if self._may_have_made:
            is_gone = False
            if self._has_made:
                with suppress(RedisError, OSError):  # a reader need not be allowed to
                    is_gone = bool(await self._asks.call(("XGROUP", "DESTROY", self.events.key, self._group)))
            if not is_gone:
                text += f", after `scanner queue forget {self._group}`"
        raise StoreRefusedError(text)

    async def _say_what_was_lost(self, group: Mapping[bytes, Any]) -> None:
        """Nothing of ours trims what a group was not given; where somebody has, the store says that it lags
        behind by nothing."""
        info, read = _pairs(await self._info("STREAM", self.events)), group[b"entries-read"]
        if read is not None and (lost := info[b"entries-added"] - info[b"length"] - read) > 0:
            log.error(
                "group %s was not given %d entries after %s: somebody trimmed them; read them in the archive",
                *(self._group, lost, group[b"last-delivered-id"].decode()),
            )

    async def _group_of(self, source: Source) -> Mapping[bytes, Any] | None:
        groups = [_pairs(group) for group in await self._info("GROUPS", source) or ()]
        return next((group for group in groups if group[b"name"] == self._group.encode()), None)

    async def _trimmed_to(self) -> str:
        """The last id that the stream may have lost at its beginning; "" where it is whole."""
        found = await self._info("STREAM", self.events)
        info = _pairs(found) if found else None
        if info is None or info[b"entries-added"] == info[b"length"]:
            return ""
        first = info[b"first-entry"]
        return _before(first[0]) if first else str(info[b"last-generated-id"].decode())

    async def _info(self, what: str, source: Source) -> Any:
        try:
            return await self._asks.call(("XINFO", what, source.key))
        except ResponseError as error:
            if "no such key" in str(error):
                return None
            raise

    async def read(self, count: int, block_ms: int) -> list[Received]:
        """What is new, at most ``count`` entries of each stream; waits for the first so long."""
        events, again = self.events, self.again
        command = ("XREADGROUP", "GROUP", self._group, self._name, "COUNT", count, "BLOCK", block_ms)
        found = await self._reads.call((*command, "STREAMS", events.key, again.key, ">", ">"))
        return [(events if name == events.name else again, 0, entries) for name, entries in found or ()]

    async def look_for_groups(self) -> None:
        """A read that waited is told of a missing group, too, where the stream was taken away to be restored.

        Raises:
            redis.exceptions.ResponseError: the ledger is being restored; or a group is gone: NOGROUP.
        """
        for source in self.sources:
            if await self._group_of(source) is None:
                raise ResponseError(f"NOGROUP {source.key}")

    async def take_over(self, idle_ms: int, count: int) -> None:
        """Takes what others have left for so long, about ``count`` entries of each stream at most; ``strays``
        finds them."""
        for source in self.sources:
            cursor, taken = b"0-0", 0
            while taken < count:
                command = ("XAUTOCLAIM", source.key, self._group, self._name, idle_ms, cursor)
                cursor, ids, gone = await self._asks.call((*command, "COUNT", count - taken, "JUSTID"))
                taken += len(ids)
                for id in gone:  # the group has let go of them: nobody sees them again
                    log.error(
                        "group %s: entry %s was deleted before it was handled", self._group, id.decode()
                    )
                if cursor == b"0-0":
                    break

    async def strays(self, stale_ms: int, count: int) -> AsyncIterator[list[Received]]:
        """What the group says this consumer has, and it has not in hand: of its last life, taken over, or of
        a reply that was lost. At most ``count`` at once, in the stream's order."""
        for source in self.sources:
            after = "-"
            while True:
                # Asked anew each time: until there is room for more, others may have taken over some.
                pending = await self._pending(source, after)
                unknown = [
                    (id, idle, times)
                    for id, _, idle, times in pending
                    if id not in source.held and id not in source.finished
                ][:count]
                if unknown:
                    yield await self._fetched(source, unknown, stale_ms)
                elif len(pending) < AT_ONCE:
                    break
                after = f"({(unknown or pending)[-1][0].decode()}"

    async def _fetched(
        self, source: Source, some: Sequence[tuple[bytes, int, int]], stale_ms: int
    ) -> list[Received]:
        """The entries themselves, fresh from here on. Of what was left long ago another consumer may take
        some this moment: only what is idle still is asked for, so that it keeps those."""
        alike: dict[tuple[int, bool], list[bytes]] = {}
        for id, idle, times in some:
            alike.setdefault((times, idle >= stale_ms), []).append(id)
        received: list[Received] = []
        for (times, is_stale), ids in alike.items():
            found = await self._claim(source, ids, "RETRYCOUNT", times, idle_ms=stale_ms if is_stale else 0)
            received += [(source, times, [entry]) for entry in found]
        return sorted(received, key=lambda one: entry_id(one[2][0][0]))

    async def refresh(self) -> None:
        """Says that what is in hand is being worked on."""
        for source in self.sources:
            for ids in _parts(list(source.held), AT_ONCE):
                await self._claim(source, ids, "JUSTID")

    async def lost(self) -> list[Delivery]:
        """What was in hand and is another consumer's now, or nobody's."""
        lost: list[Delivery] = []
        for source in self.sources:
            held, after = dict(source.held), "-"
            while pending := await self._pending(source, after):
                for one in pending:
                    held.pop(one[0], None)
                after = f"({pending[-1][0].decode()}"
            lost += held.values()
        return lost

    async def record(self, deliveries: Iterable[Delivery], *, idle_ms: int = 0) -> None:
        """Has the store count the tries that were begun; what is idle for long may be taken over."""
        alike: dict[tuple[Source, int], list[bytes]] = {}
        for one in deliveries:
            alike.setdefault((one.source, one.begun), []).append(one.id)
        for (source, begun), ids in alike.items():
            for some in _parts(ids, AT_ONCE):
                await self._claim(source, some, "IDLE", idle_ms, "RETRYCOUNT", begun + 1, "JUSTID")

    async def acknowledge(self) -> None:
        """Tells the group what is finished. Told twice, it does no harm."""
        for source in self.sources:
            for ids in _parts(list(source.finished), AT_ONCE):
                if source.is_again:
                    pipe = pipeline_of(self._client, transaction=True)
                    pipe.execute_command("XACK", source.key, self._group, *ids)
                    pipe.execute_command("XDEL", source.key, *ids)
                    await pipe.execute()
                else:
                    await self._asks.call(("XACK", source.key, self._group, *ids))
                for id in ids:
                    del source.finished[id]

    async def is_pending(self, source: Source, id: bytes) -> bool:
        """Whether an entry is still this consumer's to handle."""
        command = ("XPENDING", source.key, self._group, id, id, 1, self._name)
        return bool(await self._asks.call(command))

    async def bury(self, source: Source, id: bytes, letter: Mapping[str, str | bytes]) -> None:
        """Moves an entry to the dead letters, in one step. After a lost reply, ``is_pending`` tells.

        Raises:
            StoreRefusedError: there are too many.
        """
        if await self._asks.call(("XLEN", self._dead)) >= DEAD_MAX:
            raise StoreRefusedError(
                f"group {self._group} has {DEAD_MAX:,} dead letters: see what is wrong with "
                f"`scanner queue dead {self._group}`, and retry or drop them"
            )
        pipe = pipeline_of(self._client, transaction=True)
        pipe.execute_command("XADD", self._dead, "*", *(part for pair in letter.items() for part in pair))
        pipe.execute_command("XACK", source.key, self._group, id)
        if source.is_again:
            pipe.execute_command("XDEL", source.key, id)
        await pipe.execute()

    async def leave(self) -> None:
        """Takes the consumer's name out of the group, where nothing is left with it.

        Only for who has had the reply to each of its reads: one that is still under way would bring what goes
        with the name.
        """
        for source in self.sources:
            if not await self._asks.call(("XPENDING", source.key, self._group, "-", "+", 1, self._name)):
                await self._asks.call(("XGROUP", "DELCONSUMER", source.key, self._group, self._name))

    async def _pending(self, source: Source, after: str) -> list[tuple[bytes, bytes, int, int]]:
        """What the group says this consumer has: id, its name, idle for ms, how often it was given out."""
        command = ("XPENDING", source.key, self._group, after, "+", AT_ONCE, self._name)
        return list(await self._asks.call(command))

    async def _claim(self, source: Source, ids: Sequence[bytes], *options: Part, idle_ms: int = 0) -> Any:
        return await self._asks.call(("XCLAIM", source.key, self._group, self._name, idle_ms, *ids, *options))


def _pairs(flat: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _parts(all: Sequence[Any], size: int) -> list[Any]:
    return [all[start : start + size] for start in range(0, len(all), size)]


def _before(id: bytes) -> str:
    """The id just before an entry's."""
    ms, sequence = entry_id(id)
    return f"{ms}-{sequence - 1}" if sequence else f"{ms - 1}-{(1 << 64) - 1}"
