"""Exports of a ledger, as they stand in files: JSON, one object a line.

    {"scanner": "ledger export", "format": 1, "brand": …, "made": …, "after": the entry before the first}
    {"entry": id, "fields": {name: value, …}}      each entry of the stream, in order
    {"entries": how many, "last": id, "blake3": 64 hex digits over all bytes before this line}

A file that was cut, or changed, is known by its last line. Several files make one ledger where each begins
after the last entry of the one before. The first part may be an archive; what is exported after it may begin
within it, because it grew since, and must then say the same.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from blake3 import blake3

from scanner.errors import ScannerError
from scanner.ledger.watermark import entry_id

KIND, FORMAT = "ledger export", 1
START = "0-0"
LINE_MAX_BYTES = 64 << 20

Entry = tuple[str, dict[str, str]]
Archive = Callable[[str], Iterator[tuple[bytes, dict[bytes, bytes]]]]
"""Gives the archived entries after an id, in order, as the stream has them."""


class Exports:
    """The parts of one ledger. ``entries`` and ``last`` are known once all of them were read.

    Entries before ``stream_from`` stay in the archive, which must have them, and are not put back into the
    stream.
    """

    def __init__(
        self, paths: Sequence[Path], brand: str, archive: Archive | None = None, *, stream_from: str = START
    ) -> None:
        self._paths, self._brand, self._archive = paths, brand, archive
        self._stream_from, self._kept_from = stream_from, entry_id(stream_from)
        self.entries = 0
        self.last = self._archive_end = START
        self._archive_bound = ""

    @property
    def stream_from(self) -> str:
        """Where the stream begins; known once all was read. The archive's last entry is in the stream in any
        case: where both have it, it is known that one goes on where the other ends."""
        return min(self._stream_from, self._archive_end, key=entry_id)

    def read(self) -> Iterator[Entry]:
        """Every entry, in order. What was read is only to be trusted once this has come to its end.

        Raises:
            ScannerError: a file is none, is not whole, is another brand's, or does not follow the one before;
                or it has an entry that would be neither in the archive nor in the stream.
        """
        self.entries, self.last = 0, START
        for entry in self._archived(START):
            self.entries, self.last = self.entries + 1, entry[0]
            yield entry
        # A keeper may go on meanwhile: what is read again is what was read first.
        self._archive_end = self._archive_bound = self.last
        for path in self._paths:
            try:
                with path.open("rb") as file:
                    yield from self._read(path, file)
            except OSError as error:
                raise ScannerError(f"{path} cannot be read: {error.strerror}") from None

    def _read(self, path: Path, file: BinaryIO) -> Iterator[Entry]:
        digest, count = blake3(), 0
        last = self._begin(path, _line(path, 1, head := file.readline(LINE_MAX_BYTES)))
        same = self._archived(last) if last != self.last else iter(())
        digest.update(head)
        for number, data in enumerate(iter(lambda: file.readline(LINE_MAX_BYTES), b""), 2):
            line = _line(path, number, data)
            if "blake3" in line:
                told = {"entries": count, "last": last, "blake3": digest.hexdigest()}
                if line != told or file.read(1):
                    raise ScannerError(f"{path} is not what was exported: it was changed, or is damaged")
                return
            entry = _entry(path, number, line)
            archived = next(same, None)
            if entry_id(entry[0]) <= entry_id(last if archived else self.last):
                raise ScannerError(f"{path}, line {number}: entry {entry[0]} is not in its order")
            if archived and archived != entry:
                raise ScannerError(
                    f"{path}, line {number}: the archive has another entry there, {archived[0]}: they are "
                    "not of one ledger"
                )
            digest.update(data)
            count, last = count + 1, entry[0]
            if archived is None:
                self._check_kept(last)
                self.entries, self.last = self.entries + 1, last
                yield entry
        raise ScannerError(f"{path} is cut off after line {count + 1}: its last line is missing")

    def _check_kept(self, id: str) -> None:
        if entry_id(id) < self._kept_from:
            raise ScannerError(
                f"entry {id} comes before {self._stream_from}, and is not in the archive: only what is in it "
                f"can be left out of the stream; say --stream-from {self._archive_end}, or an earlier one"
            )

    def _archived(self, after: str) -> Iterator[Entry]:
        for id, raw in self._archive(after) if self._archive else ():
            if self._archive_bound and entry_id(id) > entry_id(self._archive_bound):
                return
            try:
                yield id.decode(), {name.decode(): value.decode() for name, value in raw.items()}
            except UnicodeDecodeError:
                raise ScannerError(
                    f"entry {id.decode()} of the archive is not UTF-8, as all that the service writes is"
                ) from None

    def _begin(self, path: Path, head: dict[str, Any]) -> str:
        """The entry before the file's first."""
        if (head.get("scanner"), head.get("format")) != (KIND, FORMAT):
            raise ScannerError(f"{path} is no export that this version reads (`scanner stream export`)")
        if head.get("brand") != self._brand:
            raise ScannerError(f"{path} is of brand {head.get('brand')}, not of {self._brand}")
        after = head.get("after")
        if after != self.last and not self._is_within(after):
            raise ScannerError(
                f"{path} begins after entry {after}, and what is there ends at {self.last}: "
                "name all parts, the oldest first"
            )
        return str(after)

    def _is_within(self, after: object) -> bool:
        """Whether a file begins in the archive, the only part that may have grown since."""
        try:
            return entry_id(str(after)) < entry_id(self._archive_end)
        except ValueError:
            return False


def _line(path: Path, number: int, data: bytes) -> dict[str, Any]:
    if not data.endswith(b"\n"):
        raise ScannerError(f"{path} is cut off in line {number}")
    try:
        line = orjson.loads(data)
    except orjson.JSONDecodeError:
        line = None
    if not isinstance(line, dict):
        raise ScannerError(f"{path}, line {number} is no line of an export")
    return line


def _entry(path: Path, number: int, line: dict[str, Any]) -> Entry:
    id, fields = line.get("entry"), line.get("fields")
    is_text = isinstance(fields, dict) and all(isinstance(value, str) for value in fields.values())
    try:
        if not (isinstance(id, str) and fields and is_text and entry_id(id)):
            raise ValueError("not an entry")
    except ValueError:
        raise ScannerError(f"{path}, line {number} is no entry") from None
    return id, fields
