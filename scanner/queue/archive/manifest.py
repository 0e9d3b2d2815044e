"""The manifest: what the archive holds, one JSON object a line, each with the hash of the one before.

    {"scanner": "archive", "format": 1, "brand": …, "partition": …, "id": …, "made": …, "hash": …}
    {"no": …, "first": …, "last": …, "entries": …, "added": …, "digest": …, "content": …, "columns": …,
     "files": […], "previous": …, "hash": …}                        each segment, in order

A segment is a slice of the stream, and its line is what makes it one: it is written when its files are on the
disk, and nothing is trimmed before it is there itself. ``docs/archive.md`` has every field.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson
from blake3 import blake3

from scanner.errors import ScannerError
from scanner.ledger.watermark import Mark, entry_id

KIND, FORMAT = "archive", 1
NAME = "manifest.jsonl"
START = "0-0"
_HASH = b',"hash":"'
_TAIL_BYTES = 1 << 16


class ArchiveError(ScannerError):
    """The archive is not what was written, or is another one. The message names the file."""


class Head(NamedTuple):
    """Whose archive it is. ``id`` is its own, made at random; ``hash`` begins the chain."""

    brand: str
    partition: int
    id: str
    made: str
    hash: str


class File(NamedTuple):
    """A Parquet file: its path from the archive's directory, its size, and the hash of its bytes."""

    path: str
    rows: int
    bytes: int
    blake3: str


class Segment(NamedTuple):
    """A slice of the stream. ``added`` is how many entries the stream had been given up to ``last``,
    ``digest`` is the last entry's (watermark.py), ``content`` all entries' (content.py); files with the same
    ``columns`` have the same columns."""

    no: int
    first: str
    last: str
    entries: int
    added: int
    digest: str
    content: str
    columns: str
    files: tuple[File, ...]
    previous: str
    hash: str


class Position(NamedTuple):
    """How far an archive has come: the last entry in it, how many the stream had been given up to there, the
    last entry's digest, and the number of segments."""

    entry: str
    added: int
    digest: str
    segments: int

    @property
    def mark(self) -> Mark:
        """The same as a watermark: the stream must go on from here."""
        return Mark(self.entry, self.digest, self.added)

    @property
    def at_ms(self) -> int:
        """When the last entry was added to the stream, in ms since 1970."""
        return int(self.entry.partition("-")[0])


def position(directory: Path) -> Position | None:
    """How far the archive has come; None where there is none, or nothing in it. Reads the last line only.

    Raises:
        ArchiveError: it cannot be read.
    """
    path = directory / NAME
    try:
        with path.open("rb") as file:
            size, wanted = file.seek(0, 2), _TAIL_BYTES
            while True:
                file.seek(max(0, size - wanted))
                tail = file.read(min(size, wanted))
                lines = tail[: tail.rfind(b"\n") + 1].splitlines(keepends=True)
                if lines and is_torn(lines[-1]):
                    lines.pop()
                if len(lines) > 1 or wanted >= size:
                    break
                wanted *= 4
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}") from None
    if not lines or (len(lines) == 1 and wanted >= size):
        return None  # the head, or less
    last = _segment(path, "the last line", lines[-1])
    return Position(last.last, last.added, last.digest, last.no)


def read_head(directory: Path, *, brand: str = "", partition: int = 0) -> Head:
    """Whose archive it is, which must be the brand's where one is named. Raises ArchiveError."""
    path = directory / NAME
    try:
        with path.open("rb") as file:
            return _head(path, file, brand, partition)[0]
    except OSError as error:
        raise _unreadable(path, error) from None


def segments(directory: Path, *, brand: str = "", partition: int = 0) -> Iterator[Segment]:
    """Every segment, in order. A last line that was not written to its end is none: a keeper was killed.

    Raises:
        ArchiveError: a line is missing, was changed, or stands elsewhere; or it is another brand's.
    """
    path = directory / NAME
    try:
        with path.open("rb") as file:
            head, _ = _head(path, file, brand, partition)
            for segment, _ in _segments(path, file, head):
                yield segment
    except OSError as error:
        raise _unreadable(path, error) from None


def sized_segments(directory: Path, *, brand: str, partition: int) -> Iterator[tuple[Segment | None, int]]:
    """The same, and where in the manifest each line ends, in bytes; first None, and where the head does."""
    path = directory / NAME
    with path.open("rb") as file:
        head, size = _head(path, file, brand, partition)
        yield None, size
        yield from _segments(path, file, head)


def head_line(head: Head) -> bytes:
    """The first line of a manifest; the head's ``hash`` is what comes out."""
    fields = {"scanner": KIND, "format": FORMAT, **head._asdict()}
    del fields["hash"]
    return _line(fields)


def segment_line(segment: Segment) -> bytes:
    fields = segment._asdict() | {"files": [file._asdict() for file in segment.files]}
    del fields["hash"]
    return _line(fields)


def with_hash(segment: Segment) -> Segment:
    return segment._replace(hash=_parse(segment_line(segment))["hash"])


def is_torn(line: bytes) -> bool:
    """Whether a line was not written to its end: bytes that never reached the disk read as zeros."""
    return not line.endswith(b"\n") or b"\0" in line


def _line(fields: dict[str, Any]) -> bytes:
    body = orjson.dumps(fields)[:-1]
    return body + _HASH + blake3(body).hexdigest().encode() + b'"}\n'


def _parse(line: bytes) -> dict[str, Any]:
    """A line's fields. Raises ValueError where it was changed."""
    body, found, rest = line.rpartition(_HASH)
    if not found or rest != blake3(body).hexdigest().encode() + b'"}\n':
        raise ValueError("another hash")
    fields: dict[str, Any] = orjson.loads(line)
    return fields


def _segments(path: Path, file: BinaryIO, head: Head) -> Iterator[tuple[Segment, int]]:
    previous, last, size = head.hash, START, file.tell()
    for no, line in enumerate(file, 1):
        where = f"line {no + 1}"
        if is_torn(line):
            # Without its end it is the last one, though it may be written on this moment.
            if line.endswith(b"\n") and file.read(1):
                raise ArchiveError(f"{path}, {where} was changed, or is damaged")
            return
        segment = _segment(path, where, line)
        is_next = (segment.no, segment.previous) == (no, previous)
        if not is_next or entry_id(segment.first) <= entry_id(last):
            raise ArchiveError(
                f"{path}, {where} does not follow the one before: a line is missing, or is another archive's"
            )
        previous, last, size = segment.hash, segment.last, size + len(line)
        yield segment, size


def _head(path: Path, file: BinaryIO, brand: str, partition: int) -> tuple[Head, int]:
    line = file.readline()
    try:
        fields = _parse(line)
        if (fields["scanner"], fields["format"]) != (KIND, FORMAT):
            raise ValueError("another form")
        head = Head(*(fields[name] for name in Head._fields))
    except (ValueError, KeyError, TypeError):
        raise ArchiveError(
            f"{path} is no manifest that this version reads, or its first line was changed"
        ) from None
    if brand and (head.brand, head.partition) != (brand, partition):
        raise ArchiveError(
            f"{path.parent} is the archive of brand {head.brand}, partition {head.partition}, not of brand "
            f"{brand}, partition {partition}: name another directory (SCANNER_ARCHIVE_DIR)"
        )
    return head, len(line)


def _segment(path: Path, where: str, line: bytes) -> Segment:
    try:
        fields = _parse(line)
        files = tuple(File(**file) for file in fields["files"])
        return Segment(**{**fields, "files": files})
    except (ValueError, KeyError, TypeError):
        raise ArchiveError(f"{path}, {where} was changed, or is damaged") from None


def _unreadable(path: Path, error: OSError) -> ArchiveError:
    if isinstance(error, FileNotFoundError):
        return ArchiveError(
            f"{path.parent} is no archive: there is no {NAME} in it; `scanner queue keep` makes one, and "
            "SCANNER_ARCHIVE_DIR says where it is"
        )
    return ArchiveError(f"{path} cannot be read: {error.strerror}")
