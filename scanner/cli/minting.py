"""Writes a lot's codes into a file: on all cores, and on from where an interrupted mint stopped.

Until all codes are there they stand in a part beside the file, ``.NAME.part``, which stays when a mint is
interrupted. It says nothing about itself and need not: minting is deterministic and as fast as reading, so
whoever goes on mints from the start, compares what is there, and writes from the first chunk that differs.
"""

import fcntl
import os
import re
import stat
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

from scanner.cli.console import progress_bar
from scanner.codes import CodeId, Keyring, KeyTable
from scanner.codes.mint import CodeList, Form
from scanner.errors import ScannerError
from scanner.ledger.lots import Lot
from scanner.settings import sync_directory

CHUNK = 16_384  # codes
CORES_MAX = 8  # more of them mint faster than anything writes, and each holds a chunk in memory

_FIRST_LINES_BYTES = 4096
_CODE = re.compile(rb"[0-9A-HJKMNP-TV-Z]{24}")


@dataclass(frozen=True, slots=True)
class Part:
    """The file that codes are written into until they are all there; this process has its lock."""

    out: Path
    path: Path
    fd: int

    def is_empty(self) -> bool:
        return os.fstat(self.fd).st_size == 0

    def code(self, table: KeyTable) -> CodeId | None:
        """A code that an interrupted mint left in it, which says of which lot they are."""
        for text in _CODE.findall(os.pread(self.fd, _FIRST_LINES_BYTES, 0)):
            number = table.verify(text)
            if number >= 0:
                return CodeId.unpack(number)
        return None


@contextmanager
def part_of(out: Path) -> Iterator[Part]:
    """The part of a file, for this process alone. One that holds nothing in the end is removed.

    ScannerError if another process has it, or it cannot be written.
    """
    path = out.with_name(f".{out.name}.part")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ScannerError(f"{path} cannot be written ({error.strerror})") from None
    try:
        part = Part(out, path, fd)
        _lock(part)
        try:
            yield part
        finally:
            if part.is_empty():
                path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _lock(part: Part) -> None:
    busy = ScannerError(f"{part.out} is being written by another mint; name another file")
    try:
        fcntl.flock(part.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise busy from None
    status = os.fstat(part.fd)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
        raise ScannerError(f"{part.path} is not a file of yours: codes are not for others to read")
    # Between its opening and its locking, whoever had the part may have finished it.
    if not part.path.exists() or not os.path.samestat(part.path.stat(), status):
        raise busy
    os.fchmod(part.fd, 0o600)


def write_codes(keyring: Keyring, lot: Lot, out: Path, form: Form, url: str | None) -> None:
    """Writes a lot's codes into a file that only its owner may read; it appears when it is whole.

    What an interrupted mint of the same left is gone on with. ScannerError if they cannot be minted, if
    something else was left, or if another mint writes the same file; OSError if it cannot be written.
    """
    with part_of(out) as part:
        finish(part, keyring, lot, form, url)


def finish(part: Part, keyring: Keyring, lot: Lot, form: Form, url: str | None) -> None:
    """The same for a part that is there."""
    try:
        codes = CodeList(
            keyring.table(), lot.kid, lot.no, lot.size, form=form, product=lot.product, pin=lot.pin, url=url
        )
    except ValueError as error:
        raise ScannerError(f"lot {lot.no} cannot be minted: {error}") from None
    with progress_bar() as bar:
        bar.columns = (*bar.columns, _Rate())
        _write(part, codes, lot, bar)
    os.fsync(part.fd)
    part.path.replace(part.out)
    sync_directory(part.out.absolute().parent)


def _write(part: Part, codes: CodeList, lot: Lot, bar: Progress) -> None:
    task = bar.add_task("minting", total=codes.size)
    is_checking = not part.is_empty()
    os.lseek(part.fd, 0, os.SEEK_SET)
    with closing(_minted(codes)) as chunks:
        for start, end, data in chunks:
            if is_checking:
                there = os.read(part.fd, len(data))
                is_checking = there == data
                if not is_checking:
                    _go_on(part, codes, lot, start, is_begun=data.startswith(there), bar=bar)
            if not is_checking:
                _write_all(part.fd, data)
            bar.update(task, completed=end)
    os.ftruncate(part.fd, codes.offset(codes.size))


def _go_on(part: Part, codes: CodeList, lot: Lot, start: int, *, is_begun: bool, bar: Progress) -> None:
    """Drops what stands behind the last whole chunk: it is torn, or a power cut left something else there."""
    if start == 0 and not is_begun:
        raise ScannerError(
            f"{part.path} was begun with other codes than lot {lot.no}'s, or in another form: give the "
            "--format and --url it was begun with, or remove it"
        )
    os.ftruncate(part.fd, codes.offset(start))
    os.lseek(part.fd, 0, os.SEEK_END)
    bar.console.print(
        f"lot {lot.no}: {start:,} codes were there already, and are right; going on after them",
        soft_wrap=True,
        highlight=False,
    )


def _minted(codes: CodeList) -> Generator[tuple[int, int, bytes], None, None]:
    """(first serial, the one after the last, their lines), chunk after chunk, minted ahead on all cores."""
    cores = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, CORES_MAX)
    ahead: deque[tuple[int, int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        try:
            for start in range(0, codes.size, CHUNK):
                end = min(start + CHUNK, codes.size)
                ahead.append((start, end, pool.submit(codes.stretch, start, end)))
                if len(ahead) > cores:
                    start, end, data = ahead.popleft()
                    yield start, end, data.result()
            while ahead:
                start, end, data = ahead.popleft()
                yield start, end, data.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class _Rate(ProgressColumn):
    """How many codes a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")
