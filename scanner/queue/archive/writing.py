"""Writing the archive: a segment is there from one moment on, or not at all.

Its files are written and synced, read back and held against what was in the stream, and then its line is put
at the end of the manifest and synced. Killed before that line, what was written of it is removed at the next
start, and so is a line that was not written to its end.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from blake3 import blake3

from scanner.errors import StoreRefusedError
from scanner.ledger.client import Entry
from scanner.ledger.watermark import fields_digest
from scanner.queue.archive import columns, disk
from scanner.queue.archive.content import Content
from scanner.queue.archive.files import Shards
from scanner.queue.archive.manifest import (
    NAME,
    START,
    ArchiveError,
    File,
    Head,
    Position,
    Segment,
    head_line,
    is_torn,
    read_head,
    segment_line,
    sized_segments,
    with_hash,
)
from scanner.queue.archive.reading import check_segment, check_sizes

_LOCK = ".lock"
_LINE_BYTES_MAX = 64 << 20
_OURS = re.compile(r"([0-9]{8,})\.parquet(\.part)?")


class Draft:
    """Entries on their way into a segment."""

    def __init__(self) -> None:
        self._shards, self._content = Shards(), Content()
        self.entries = 0
        self.first: Entry | None = None
        self.last: Entry | None = None

    def add(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._content.add(entry)
        self._shards.add(entries)
        self.entries += len(entries)
        if entries:
            self.first, self.last = self.first or entries[0], entries[-1]

    def write(self, directory: Path, no: int) -> tuple[list[File], str]:
        """Writes the files; they, and the digest of what is in them. Raises OSError."""
        files, changed = [], []
        for shard, rows, data in self._shards.files():
            name = shard.path(no)
            path = directory / name
            changed += disk.make_directories(directory, path.parent)
            disk.write_whole(path, data)
            files.append(File(name, rows, len(data), blake3(data).hexdigest()))
        disk.sync_directories(changed)
        return files, self._content.hexdigest()


class Archive:
    """An archive that is being written, by this process alone.

    Raises OSError where the disk does not take what is written; the archive is then to be closed and opened
    again.
    """

    def __init__(self, directory: Path, lock: int, brand: str, partition: int) -> None:
        self.directory = directory
        self._path, self._lock = directory / NAME, lock
        self.head = read_head(directory, brand=brand, partition=partition)
        self.last: Segment | None = None
        # Held open, so that it is known when another file takes its place.
        self._manifest = os.open(self._path, os.O_RDWR | os.O_APPEND)
        self._size = self._last_at = 0

    def read(self) -> None:
        """Follows the chain to its end, and looks for every file."""
        for segment, size in sized_segments(
            self.directory, brand=self.head.brand, partition=self.head.partition
        ):
            if segment is not None:
                check_sizes(self.directory, segment)
            self.last, self._last_at, self._size = segment, self._size, size

    @property
    def position(self) -> Position | None:
        last = self.last
        return Position(last.last, last.added, last.digest, last.no) if last else None

    def settle(self) -> None:
        """Removes what a killed keeper has left: files of a segment that was never committed, and a line that
        was not written to its end. Only once the store has agreed that this is how far the archive has come:
        else they may be what a lost line stood for."""
        self._check_place()
        rest = os.pread(self._manifest, _LINE_BYTES_MAX, self._size)
        if rest and not is_torn(rest):
            raise self._changed()
        if rest:
            os.ftruncate(self._manifest, self._size)
        self._write_last_again()
        next_no = self.last.no + 1 if self.last else 1
        for path in (self.directory / "events").glob("campaign=*/day=*/*"):
            found = _OURS.fullmatch(path.name)
            if found and (found[2] or int(found[1]) >= next_no):
                path.unlink()

    def check(self) -> None:
        """Nothing may rely on a manifest that is not the one that was written.

        Raises:
            ArchiveError: another one has taken its place, or somebody else wrote it.
            OSError: it is not there.
        """
        self._check_place()
        if os.fstat(self._manifest).st_size != self._size:
            raise self._changed()

    def commit(self, draft: Draft, added: int) -> Segment:
        """Makes a segment of the draft, which follows the last one; ``added`` is what the stream had been
        given up to its last entry.

        Raises:
            ArchiveError: the files do not give back what was put into them. Nothing is committed.
        """
        assert draft.first is not None
        assert draft.last is not None
        self.check()
        no = self.last.no + 1 if self.last else 1
        files, content = draft.write(self.directory, no)
        segment = with_hash(
            Segment(
                no=no,
                first=draft.first[0].decode(),
                last=draft.last[0].decode(),
                entries=draft.entries,
                added=added,
                digest=fields_digest(draft.last[1]),
                content=content,
                columns=columns.DIGEST,
                files=tuple(files),
                previous=self.last.hash if self.last else self.head.hash,
                hash="",
            )
        )
        check_segment(self.directory, segment)
        self.check()
        self._append(segment_line(segment))
        self.last = segment
        return segment

    def close(self) -> None:
        os.close(self._manifest)
        os.close(self._lock)

    def _check_place(self) -> None:
        here, held = os.stat(self._path), os.fstat(self._manifest)  # noqa: PTH116
        if (here.st_dev, here.st_ino) != (held.st_dev, held.st_ino):
            raise ArchiveError(
                f"{self._path} is not the file any more that was opened: start the keeper again"
            )

    def _changed(self) -> ArchiveError:
        return ArchiveError(f"{self._path} was changed by somebody else: see what `queue verify` says")

    def _write_last_again(self) -> None:
        """After a sync that failed the line may be in the system's memory alone, where no further sync finds
        anything to do."""
        line = os.pread(self._manifest, self._size - self._last_at, self._last_at)
        descriptor = os.open(self._path, os.O_WRONLY)  # what is open for appending writes at the end only
        try:
            os.lseek(descriptor, self._last_at, os.SEEK_SET)
            disk.write_all(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _append(self, line: bytes) -> None:
        """Puts a line at the manifest's end, all of it or nothing. What a failed sync has left is not
        trusted."""
        try:
            disk.write_all(self._manifest, line)
            os.fsync(self._manifest)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._manifest, self._size)
                os.fsync(self._manifest)
            raise
        self._size += len(line)


def open_archive(directory: Path, brand: str, partition: int = 0, *, must_have: str = START) -> Archive:
    """Opens the brand's archive, or begins one. Before something is written it is to be settled. An entry
    that it must have is known to have been archived: then there is one.

    Raises:
        ArchiveError: a line of the manifest, or a file, is not as it was; or it is another brand's.
        StoreRefusedError: another keeper writes it; or it is not there, and must be.
        OSError: the directory cannot be made or written.
    """
    lock = _locked(directory)
    try:
        if not (directory / NAME).exists():
            if must_have != START:
                raise StoreRefusedError(
                    f"there is no archive in {directory}, and entries up to {must_have} were archived: is "
                    "its disk there, and SCANNER_ARCHIVE_DIR right? To begin another one with what is in the "
                    "stream: --accept-older, and --accept-gap where it was trimmed"
                )
            _begin(directory, brand, partition)
        archive = Archive(directory, lock, brand, partition)
    except BaseException:
        os.close(lock)
        raise
    try:
        archive.read()
    except BaseException:
        archive.close()
        raise
    return archive


def _locked(directory: Path) -> int:
    directory.mkdir(disk.DIRECTORY_MODE, parents=True, exist_ok=True)
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, disk.FILE_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreRefusedError(f"another keeper writes the archive {directory}: one is enough") from None
    return lock


def _sync_above(directory: Path) -> None:
    """Whoever made the directories above may have been killed before they were synced."""
    device = directory.stat().st_dev
    for path in directory.resolve().parents:
        if path.stat().st_dev != device:
            return  # it was mounted, and not made
        with suppress(PermissionError):  # others have made it
            disk.sync_directories([path])


def _begin(directory: Path, brand: str, partition: int) -> None:
    if any((directory / "events").glob("campaign=*/day=*/*.parquet")):
        raise ArchiveError(
            f"{directory} holds files of an archive, and no {NAME}: bring it back, or name another directory"
        )
    _sync_above(directory)
    made = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    disk.write_whole(directory / NAME, head_line(Head(brand, partition, secrets.token_hex(8), made, "")))
    disk.sync_directories([directory])
