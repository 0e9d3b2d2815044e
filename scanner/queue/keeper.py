"""The keeper: copies the stream into the archive, promptly, and trims what nobody needs any more.

Nothing is trimmed before it is in the archive, and the archive on the disk (archive/writing.py). What is
trimmed then lies before the oldest entry that any group has not finished, and is older than the setting; the
function ``keep`` of the store (ledger/functions/keep.lua) looks at the groups and trims in one step. The
archive's own position stands among the groups, as ``archive``.

One keeper runs at a time: a lock on the directory keeps others on this host away, and a lease in the store
those of other directories. A keeper that was held up so long that another took over is refused by the store
before it moves or trims anything.
"""

import asyncio
import logging
import platform
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from redis.exceptions import RedisError

from scanner.errors import ConfigurationError, StoreRefusedError, StoreUnavailableError
from scanner.ledger.client import Entry
from scanner.ledger.connection import Store
from scanner.ledger.watermark import entry_id, fields_digest
from scanner.queue.archive import START
from scanner.queue.archive.writing import Archive, Draft, open_archive
from scanner.queue.consuming.options import ARCHIVE_GROUP
from scanner.queue.continuity import Seen, archived_to, look_at

log = logging.getLogger("scanner")

SEGMENT_ENTRIES_MAX = 100_000
READ_AT_ONCE = 1000
TRIM_AT_ONCE = 10_000
LEASE_MS = 30_000
NAME_KEPT_S = 86_400  # a consumer's, after it was last heard of
BEAT_S = 5.0
_WAIT_S, _WAIT_MAX_S = 0.5, 30.0


class Kept(NamedTuple):
    """What was done: entries archived and trimmed. ``floor``: what came before it may go; ``held_by``: the
    group that still needs it, "" where it is too young, "resting" after a restore."""

    archived: int = 0
    trimmed: int = 0
    floor: str = START
    held_by: str = ""


class Keeper:
    """Keeps one archive of one stream.

    ``keep_s`` is the age before which nothing is trimmed, None trims nothing. ``accept_older`` goes on with
    an archive that lacks what was archived before, ``accept_gap`` with a stream that lacks what never was.
    """

    def __init__(
        self,
        store: Store,
        directory: Path,
        *,
        every_s: float = 900,
        keep_s: float | None = 86_400,
        segment_entries_max: int = SEGMENT_ENTRIES_MAX,
        accept_older: bool = False,
        accept_gap: bool = False,
    ) -> None:
        self._store, self._keys, self._directory = store, store.keys, directory
        self._every_s, self._keep_s = every_s, keep_s
        self._segment_entries_max = segment_entries_max
        self._accept_older, self._accept_gap = accept_older, accept_gap
        self._archive: Archive | None = None
        self._is_settled = False
        self._trouble = self._held_by = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps until ``stop`` is set. Trouble of the store or the disk is waited out.

        Raises:
            ArchiveError, StoreRefusedError, ConfigurationError: what somebody has to look at.
        """
        loop = asyncio.get_running_loop()
        due, wait_s = loop.time(), _WAIT_S
        try:
            with suppress(StoreUnavailableError, RedisError):  # waited for below
                await self._open()
        except OSError as error:  # later it may be waited out
            raise ConfigurationError(
                f"the archive {self._directory} cannot be written: {error.strerror}"
            ) from None
        try:
            while not stop.is_set():
                try:
                    is_due = loop.time() >= due
                    await self.keep(everything=is_due, stop=stop)
                except (StoreUnavailableError, RedisError, OSError) as error:
                    self._tell_trouble(error)
                    pause_s, wait_s = wait_s, min(wait_s * 2, _WAIT_MAX_S)
                else:
                    self._tell_trouble(None)
                    due = loop.time() + self._every_s if is_due else due
                    pause_s, wait_s = min(BEAT_S, max(0.0, due - loop.time())), _WAIT_S
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)
        finally:
            await self.leave()

    async def keep(self, *, everything: bool = True, stop: asyncio.Event | None = None) -> Kept:
        """Archives what there is by now, and trims. Without ``everything`` it waits for whole segments; once
        ``stop`` is set it ends after the segment at hand.

        Raises:
            ArchiveError: the archive is not as it was written, or does not fit the stream.
            StoreRefusedError: another keeper runs; or entries are missing.
            StoreUnavailableError, RedisError: the store does not answer, or has gone back.
            OSError: the disk does not take what is written. Nothing is trimmed then.
        """
        try:
            return await self._keep(everything, stop or asyncio.Event())
        except StoreRefusedError:
            await self.leave()  # whoever has the right archive need not wait
            raise
        except BaseException:
            self.close()  # what a failed write has left is looked at anew
            raise

    async def leave(self) -> None:
        """Lets the next keeper in at once. Not to be waited for: the lease ends by itself."""
        if self._archive is not None:
            with suppress(StoreUnavailableError, StoreRefusedError):
                await self._tell_store(self._archive, "", trims=False, lease_ms=0)
        self.close()

    def close(self) -> None:
        """As `leave`, without a word to the store."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    async def _open(self) -> Archive:
        if self._archive is None:
            must_have = START if self._accept_older else await archived_to(self._store)
            place = (self._directory, self._keys.brand, self._keys.partition)
            self._archive = open_archive(*place, must_have=must_have)
            self._is_settled = False
        return self._archive

    async def _keep(self, everything: bool, stop: asyncio.Event) -> Kept:
        archive = await self._open()
        await self._tell_store(archive, "", trims=False)
        stream = await look_at(self._store, self._directory, archive.position)
        self._check_gap(stream.missing, "at its beginning")
        if not self._is_settled:
            await self._note(archive, trims=False)
            archive.settle()
            self._is_settled = True
        archived, trimmed = 0, 0
        while self._is_behind(archive, stream, 1 if everything else self._segment_entries_max):
            committed = await self._copy(archive, stream)
            archived, stream = archived + committed, stream._replace(missing=0, is_joined=True)
            trimmed += (await self._note(archive)).trimmed
            if committed < self._segment_entries_max or stop.is_set():
                break
        self._accept_gap = False
        while (kept := await self._note(archive)).trimmed and not stop.is_set():
            trimmed += kept.trimmed
        kept = kept._replace(archived=archived, trimmed=trimmed)
        self._tell(archive, kept)
        return kept

    def _is_behind(self, archive: Archive, stream: Seen, entries: int) -> bool:
        """Whether there is something to archive; and so many entries, as far as that is known by count."""
        position = archive.position
        if entry_id(stream.last) <= entry_id(position.entry if position else START):
            return False
        return entries == 1 or stream.added - _added(archive) >= entries

    async def _copy(self, archive: Archive, stream: Seen) -> int:
        """Commits the next segment, up to the stream's last entry at most; how many entries it has."""
        draft, position, loop = Draft(), archive.position, asyncio.get_running_loop()
        last, room = position.entry if position else START, self._segment_entries_max
        digest = position.digest if position and stream.is_joined else ""
        renew = loop.time() + BEAT_S
        while room and entry_id(last) < entry_id(stream.last):
            entries = await self._read(last, digest, stream.last, min(room, READ_AT_ONCE))
            if not entries:
                break
            draft.add(entries)
            last, digest, room = entries[-1][0].decode(), fields_digest(entries[-1][1]), room - len(entries)
            if loop.time() > renew:
                await self._note(archive, trims=False)
                renew = loop.time() + BEAT_S
        if not draft.entries:
            return 0
        added = _added(archive) + stream.missing + draft.entries
        if last == stream.last:
            self._check_gap(stream.added - added, f"before {last}")
            added = stream.added
        segment = archive.commit(draft, added)
        log.info(
            "archived %s entries up to %s: segment %d, %d files, %s bytes",
            *(f"{segment.entries:,}", segment.last, segment.no, len(segment.files)),
            f"{sum(file.bytes for file in segment.files):,}",
        )
        return draft.entries

    async def _read(self, last: str, digest: str, end: str, count: int) -> list[Entry]:
        """The entries after the last one that was read, which must still be there: the store may have gone
        back since, and have written others."""
        if not digest:
            return await self._store.client.xrange(self._keys.events, f"({last}", end, count=count)
        found = await self._store.client.xrange(self._keys.events, last, end, count=count + 1)
        if not found or found[0][0] != last.encode() or fields_digest(found[0][1]) != digest:
            raise StoreUnavailableError(
                f"the stream changed while it was archived: entry {last} is not there any more, or is another"
            )
        return found[1:]

    def _check_gap(self, missing: int, where: str) -> None:
        if missing <= 0:
            return
        text = f"{missing:,} entries are gone from the stream {where}, and are not in {self._directory}"
        if not self._accept_gap:
            raise StoreRefusedError(
                f"{text}: bring the archive that has them, or go on without them for ever with --accept-gap"
            )
        log.warning("%s: accepted", text)

    async def _note(self, archive: Archive, *, trims: bool = True) -> Kept:
        """Tells the store how far the archive has come, and has it trimmed."""
        position = archive.position
        if trims:
            archive.check()
        kept = await self._tell_store(archive, position.entry if position else START, trims=trims)
        self._accept_older = False
        return kept

    async def _tell_store(
        self, archive: Archive, position: str, *, trims: bool, lease_ms: int = LEASE_MS
    ) -> Kept:
        """With no position it only says who keeps."""
        keep_ms = "" if self._keep_s is None else str(int(self._keep_s * 1000))
        keys, directory = self._keys, self._directory.resolve()
        try:
            trimmed, floor, held_by = await self._store.call(
                "keep",
                [keys.events, keys.keeper, keys.resting],
                [
                    *(f"archive {archive.head.id} in {directory} on {platform.node()}", lease_ms),
                    *(position, _added(archive), keep_ms, TRIM_AT_ONCE if trims else 0),
                    *(int(self._accept_older), NAME_KEPT_S * 1000),
                ],
            )
        except StoreRefusedError as error:
            if "were archived" in str(error):
                raise StoreRefusedError(f"{self._directory}: {error}{_ADVICE}") from None
            raise
        return Kept(0, trimmed, floor.decode(), held_by.decode())

    def _tell(self, archive: Archive, kept: Kept) -> None:
        if kept.trimmed:
            log.info("trimmed %s entries: the stream begins at %s", f"{kept.trimmed:,}", kept.floor)
        if kept.held_by != self._held_by:
            self._held_by = kept.held_by
            log.info("%s", _HELD.get(kept.held_by) or f"group {kept.held_by} still needs {kept.floor}")

    def _tell_trouble(self, error: Exception | None) -> None:
        text = str(error) if error else ""
        if isinstance(error, OSError):
            text = (
                f"the archive {self._directory} cannot be written, and nothing is trimmed: {error.strerror}"
            )
        if text != self._trouble:
            if text:
                log.error("%s", text)
            else:
                log.info("the archive is kept again")
            self._trouble = text


_ADVICE = (
    ": lines of its manifest are missing, or this is an older copy; bring the right one back, or, as the "
    "stream still has what it lacks, go on with --accept-older"
)
_HELD = {
    "": "what is older than the setting was trimmed",
    ARCHIVE_GROUP: "all that is archived may go",
    "resting": "nothing is trimmed yet: groups have SCANNER_STREAM_KEEP_S to be made, or made again",
}


def _added(archive: Archive) -> int:
    return archive.last.added if archive.last else 0
