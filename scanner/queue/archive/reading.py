"""Reading the archive: what it gives back is what was in the stream, or an error."""

from collections.abc import Iterator
from heapq import merge
from pathlib import Path

from blake3 import blake3

from scanner.ledger.client import Entry
from scanner.ledger.watermark import entry_id, fields_digest
from scanner.queue.archive.content import Content
from scanner.queue.archive.files import Row, read_file
from scanner.queue.archive.manifest import START, ArchiveError, File, Segment, segments


def entries(directory: Path, *, brand: str = "", partition: int = 0, after: str = START) -> Iterator[Entry]:
    """The entries after an id, in the stream's order and as redis-py gives them.

    The hash of every file is checked before anything of it is given.

    Raises:
        ArchiveError: a line of the manifest or a file is missing or was changed, or it is another brand's.
    """
    for segment in segments(directory, brand=brand, partition=partition):
        if entry_id(segment.last) <= entry_id(after):
            continue
        for entry in segment_entries(directory, segment):
            if entry_id(entry[0]) > entry_id(after):
                yield entry


def segment_entries(directory: Path, segment: Segment) -> Iterator[Entry]:
    """A segment's entries. Raises ArchiveError."""
    count = 0
    for _, _, entry in merge(*(_rows(directory, file) for file in segment.files), key=_by_id):
        count += 1
        yield entry
    if count != segment.entries:
        raise _not_what_was_written(directory, segment)


def check_segment(directory: Path, segment: Segment) -> None:
    """Reads a segment whole, and holds what comes out against what was in the stream. Raises ArchiveError."""
    content, first = Content(), ""
    last: Entry = (b"", {})
    for last in segment_entries(directory, segment):
        content.add(last)
        first = first or last[0].decode()
    found = (first, last[0].decode(), fields_digest(last[1]), content.hexdigest())
    if found != (segment.first, segment.last, segment.digest, segment.content):
        raise _not_what_was_written(directory, segment)


def check_sizes(directory: Path, segment: Segment) -> None:
    """A quick look: every file is there, and as large as it was. Raises ArchiveError."""
    for file in segment.files:
        path = directory / file.path
        try:
            size = path.stat().st_size
        except OSError as error:
            raise _unreadable(path, error) from None
        if size != file.bytes:
            raise ArchiveError(
                f"{path} has {size:,} bytes, and had {file.bytes:,}: it was changed, or is damaged"
            )


def _rows(directory: Path, file: File) -> Iterator[Row]:
    path = directory / file.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    if blake3(data).hexdigest() != file.blake3:
        raise ArchiveError(f"{path} was changed, or is damaged: its hash is not the one of the manifest")
    try:
        yield from read_file(data)
    except ValueError as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from None


def _by_id(row: Row) -> tuple[int, int]:
    return row[:2]


def _not_what_was_written(directory: Path, segment: Segment) -> ArchiveError:
    return ArchiveError(
        f"segment {segment.no} of {directory} does not hold the entries that were archived in it"
    )


def _unreadable(path: Path, error: OSError) -> ArchiveError:
    what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    return ArchiveError(f"{path} {what}")
