"""Rebuilding a brand's state from its exported stream.

While it runs a string stands in the place of the stream: without a stream no function of ours writes, and
every service answers ``unavailable``, whoever started it. The stream that was there is set aside, and put
back where the files lack something of it. The new one is built beside it, and takes its place in the step
that ends the restore. Broken off anywhere, it is simply run again.

What is to stay in the archive alone is folded like the rest, and not put back into the stream, which then
counts as one that was given it and was trimmed: as a watermark, the audit and the keeper know it.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from redis.exceptions import NoPermissionError, RedisError, ResponseError, WatchError

from scanner.codes import KeyTable
from scanner.errors import ScannerError, StoreRefusedError, StoreUnavailableError
from scanner.ledger.audit.ledger import batched
from scanner.ledger.connection import Store
from scanner.ledger.restore.files import START, Entry, Exports
from scanner.ledger.restore.state import Command, Folding
from scanner.ledger.watermark import entry_id, pipeline_of

AT_ONCE = 1000
# Whoever restores says so again with each batch; one who was killed is in nobody's way for longer than this.
LEASE_MS = 5000
WAIT_FOR_LEASE_S = 10.0
_POLL_S = 0.5
_SIGN = "the ledger is being restored"
_TAKEN_OVER = (
    "another restore of this brand has taken over, or this one was held up: let it end, and run it again"
)

Progress = Callable[[str, int, int], None]
"""Is told what is done, how many entries are done with, and how many there are."""


class Surplus(NamedTuple):
    """Entries of the store that the files do not have: how many, and the first one."""

    entries: int
    first: str


class Restored(NamedTuple):
    """How many entries there are, the last one, and how many of them are not in the stream."""

    entries: int
    last: str
    left_out: int = 0


async def restore(
    store: Store,
    exports: Exports,
    table: KeyTable | None,
    *,
    may_discard: Callable[[Surplus], bool],
    progress: Progress,
) -> Restored:
    """Rebuilds the brand from its exports; with the codes' keys every draw in them is recomputed first.

    ``may_discard`` is asked where the store holds entries that the files do not have.

    Raises:
        StoreRefusedError: it may not be; or another restore runs. The store is as it was.
        ScannerError: the files are not whole, or do not add up. The store is as it was.
        StoreUnavailableError: the store went away, and the restore is to be run again.
    """
    _check(exports, store, table, progress)
    rebuild = _Rebuild(store, exports, progress)
    try:
        await rebuild.begin()
        try:
            await rebuild.check_rights()
            surplus = await rebuild.surplus()
            if surplus and not may_discard(surplus):
                raise StoreRefusedError(
                    f"the store holds {surplus.entries:,} entries that are not in the export, the first of "
                    f"them {surplus.first}: export it first, or lose them knowingly with --discard"
                )
        except BaseException:
            await rebuild.put_back()
            raise
        await rebuild.run(table)
    except RedisError as error:
        raise StoreUnavailableError(
            f"the store did not answer: {error}; run `scanner ledger restore` again"
        ) from error
    return Restored(exports.entries, exports.last, rebuild.left_out)


def _check(exports: Exports, store: Store, table: KeyTable | None, progress: Progress) -> None:
    folding = Folding(store.keys, table)
    wrong: ScannerError | None = None
    for done, (entry, fields) in enumerate(exports.read(), 1):
        if wrong is not None:
            continue  # where a file is damaged, that is what is wrong: its last line tells
        try:
            for _ in folding.fold(entry, fields):
                pass
        except ScannerError as error:
            wrong = error
        if done % AT_ONCE == 0:
            progress("checking", done, done)
    if wrong is not None:
        raise wrong


class _Rebuild:
    def __init__(self, store: Store, exports: Exports, progress: Progress) -> None:
        self._client, self._keys = store.client, store.keys
        self._exports, self._total = exports, exports.entries
        self._progress = progress
        self._token = secrets.token_hex(8)
        self._was_empty = False
        self.left_out = 0

    async def begin(self) -> None:
        """Makes the brand's store this restore's alone: nobody writes from here on."""
        deadline = asyncio.get_running_loop().time() + WAIT_FOR_LEASE_S
        while not await self._takes():
            if asyncio.get_running_loop().time() > deadline:
                raise StoreRefusedError("another restore of this brand is running: let it end")
            await asyncio.sleep(_POLL_S)
        events, replaced = self._keys.events, self._keys.replaced
        kind = await self._ask("TYPE", events)
        if kind == b"none":
            # Should a stream have come to be there this moment, it stays.
            self._was_empty = bool(await self._ask("SET", events, _SIGN, "NX"))
            kind = b"string" if self._was_empty else b"stream"
        if kind == b"stream":
            if await self._ask("EXISTS", replaced):
                raise StoreRefusedError(f"{replaced} is left of another restore: look at it, and delete it")
            await self._at_once([("RENAME", events, replaced), ("SET", events, _SIGN)])
        elif kind != b"string":
            raise StoreRefusedError(f"{events} is a {kind.decode()}, and no stream")

    async def put_back(self) -> None:
        """As it was before ``begin``, where nobody has taken over; what an earlier restore has left half way
        stays so."""
        if not await self._holds():
            return
        events, replaced = self._keys.events, self._keys.replaced
        steps: list[Command] = [("DEL", self._keys.restoring)]
        if await self._ask("EXISTS", replaced):  # then nothing was deleted yet
            steps.append(("RENAME", replaced, events))
        elif self._was_empty:
            steps.append(("DEL", events))
        await self._at_once(steps)

    async def check_rights(self) -> None:
        """Whether the last step will be allowed, before anything is deleted."""
        if self._exports.stream_from == START:
            return
        try:
            await self._ask("XSETID", self._keys.rebuilt, START)
        except NoPermissionError:
            raise StoreRefusedError(
                "the store's user may not run XSETID, which --stream-from needs: give it the line that "
                "`scanner store acl --role operator` prints now"
            ) from None
        except ResponseError:
            pass  # there is no such stream yet, or one that an earlier restore has left half way

    async def surplus(self) -> Surplus | None:
        """What the store has and the files have not, be it of an earlier restore."""
        count, skipped, first = 0, 0, ""
        for key in (self._keys.replaced, self._keys.rebuilt):
            told = self._exports.read() if await self._ask("EXISTS", key) else iter(())
            expected = next(told, None)
            after = "-"
            while entries := await self._client.xrange(key, after, "+", count=AT_ONCE):
                await self._renew()
                for id, raw in entries:
                    while expected is not None and entry_id(expected[0]) < entry_id(id):
                        expected, skipped = next(told, None), skipped + 1
                        if skipped % AT_ONCE == 0:
                            await self._renew()
                    if expected is None or not _is_same(expected, id, raw):
                        count, first = count + 1, first or id.decode()
                after = f"({entries[-1][0].decode()}"
        return Surplus(count, first) if count else None

    async def run(self, table: KeyTable | None) -> None:
        await self._clear()
        folding = Folding(self._keys, table)
        for batch in batched(self._commands(folding), AT_ONCE):
            await self._write(batch)
        seconds, micros = await self._client.time()
        for batch in batched(folding.state(seconds * 1000 + micros // 1000), AT_ONCE):
            await self._write(batch)
        await self._end()

    def _commands(self, folding: Folding) -> Iterator[Command]:
        first = entry_id(self._exports.stream_from)
        for done, (entry, fields) in enumerate(self._exports.read(), 1):
            if entry_id(entry) < first:
                self.left_out += 1
            else:
                yield ("XADD", self._keys.rebuilt, entry, *(part for pair in fields.items() for part in pair))
            yield from folding.fold(entry, fields)
            if done % AT_ONCE == 0:
                self._progress("restoring", done, self._total)

    async def _clear(self) -> None:
        """Deletes what the brand has, but for the sign, and what nobody can rebuild: wrong PINs, and what
        consumers of the stream could not handle."""
        keys = self._keys
        # First what could be put back: from here on it cannot.
        await self._ask("UNLINK", keys.replaced)
        cursor = 0
        while True:
            cursor, found = await self._client.scan(cursor, match=f"{keys.prefix}*", count=AT_ONCE)
            names = [name for name in found if not self._is_kept(name.decode("utf-8", "replace"))]
            await self._renew()
            if names:
                await self._ask("UNLINK", *names)
            if not cursor:
                return

    def _is_kept(self, name: str) -> bool:
        keys = self._keys
        kinds = tuple(f"{keys.prefix}{kind}:" for kind in ("tries", "dead", "again"))
        return name in (keys.events, keys.restoring) or name.startswith(kinds)

    async def _end(self) -> None:
        """Puts the stream in its place, whole as it is."""
        keys, exports = self._keys, self._exports
        await self._renew()
        restored = self.left_out + await self._ask("XLEN", keys.rebuilt)
        if restored != exports.entries or exports.entries != self._total:
            raise StoreRefusedError(f"{restored:,} entries were restored of {self._total:,}: run it again")
        steps: list[Command] = [("RENAME", keys.rebuilt, keys.events) if restored else ("DEL", keys.events)]
        if self.left_out:
            steps.insert(0, ("XSETID", keys.rebuilt, exports.last, "ENTRIESADDED", restored))
        await self._at_once([*steps, ("DEL", keys.restoring)])

    async def _write(self, commands: Iterable[Command]) -> None:
        await self._renew()
        pipe = pipeline_of(self._client)
        for command in commands:
            pipe.execute_command(*command)
        await pipe.execute()

    async def _at_once(self, commands: Iterable[Command]) -> None:
        """All of them, or none where another restore has taken over."""
        pipe: Any = self._client.pipeline(transaction=True)
        try:
            await pipe.watch(self._keys.restoring)
            is_ours = await pipe.get(self._keys.restoring) == self._token.encode()
            pipe.multi()
            for command in commands if is_ours else ():
                pipe.execute_command(*command)
            await pipe.execute()
        except WatchError:
            is_ours = False
        finally:
            await pipe.reset()
        if not is_ours:
            raise StoreRefusedError(_TAKEN_OVER)

    async def _renew(self) -> None:
        if not await self._holds():
            raise StoreRefusedError(_TAKEN_OVER)

    async def _takes(self) -> bool:
        """Whether it is this restore that runs from now on, and says so to others for a while."""
        return bool(await self._ask("SET", self._keys.restoring, self._token, "NX", "PX", LEASE_MS))

    async def _holds(self) -> bool:
        """Whether it is this restore that still runs; one that let its lease expire does not."""
        key = self._keys.restoring
        is_ours = await self._ask("GET", key) == self._token.encode()
        return is_ours and bool(await self._ask("PEXPIRE", key, LEASE_MS))

    async def _ask(self, *command: str | bytes | int) -> Any:
        return await self._client.execute_command(*command)


def _is_same(expected: Entry, id: bytes, raw: dict[bytes, bytes]) -> bool:
    entry, fields = expected
    return entry.encode() == id and raw == {name.encode(): value.encode() for name, value in fields.items()}
