"""Exporting: the stream's entries, as they are, into a file (format: files.py)."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import orjson
from blake3 import blake3
from redis.exceptions import ResponseError

from scanner.errors import ScannerError
from scanner.ledger.connection import Store
from scanner.ledger.restore.files import FORMAT, KIND
from scanner.ledger.watermark import entry_id, look
from scanner.settings import sync_directory

_READ_AT_ONCE = 1000


class TrimmedError(ScannerError):
    """What is to be exported is not in the stream any more."""


Progress = Callable[[int, int], None]


class Exported(NamedTuple):
    """How many entries were written, and the last one: what the next export begins after."""

    entries: int
    last: str


async def export(
    store: Store, path: Path, *, after: str = "0-0", to: str = "", progress: Progress | None = None
) -> Exported:
    """Writes the entries after ``after``, up to ``to`` (included) or the last one there is now.

    The file has mode 0600 and appears when it is whole; one that is there is replaced.

    Raises:
        ScannerError: an entry is not text, or was trimmed; or the file cannot be written.
        StoreUnavailableError: the ledger is being restored.
    """
    now = await look(store, None)
    first = await _first(store, after)
    end = min((id for id in (now.entry if now else "0-0", to) if id), key=entry_id)
    total = now.added if now else 0
    head = {
        "scanner": KIND,
        "format": FORMAT,
        "brand": store.keys.brand,
        "made": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "after": after,
    }
    handle, part = _begin(path)
    try:
        with os.fdopen(handle, "wb") as file:
            digest, count, last = blake3(), 0, after

            def put(line: object) -> None:
                data = orjson.dumps(line) + b"\n"
                digest.update(data)
                file.write(data)

            put(head)
            while entries := await store.client.xrange(
                store.keys.events, f"({last}", end, count=_READ_AT_ONCE
            ):
                for id, raw in entries:
                    put({"entry": id.decode(), "fields": _text(id, raw)})
                count, last = count + len(entries), entries[-1][0].decode()
                if progress:
                    progress(count, max(total, count))
            if await _first(store, after) != first:
                raise ScannerError("the stream was trimmed while it was exported: run it again")
            put({"entries": count, "last": last, "blake3": digest.hexdigest()})
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise ScannerError(f"{path} cannot be written ({error.strerror}); name a file elsewhere") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return Exported(count, last)


async def _first(store: Store, after: str) -> bytes:
    """The first entry there is. ScannerError where the entries after ``after`` are not all there: the file
    would look whole, and what it lacks would win again after a restore."""
    events = store.keys.events
    if after != "0-0" and not await store.client.xrange(events, after, after, count=1):
        raise TrimmedError(f"entry {after} is not in the stream: begin with one that is, or without --from")
    try:
        info = await store.client.execute_command("XINFO STREAM", events)
    except ResponseError as error:
        if "no such key" in str(error):
            return b""
        raise
    id: bytes = info["first-entry"][0] if info["first-entry"] else b""
    gone = int(info["entries-added"]) - int(info["length"])
    if after == "0-0" and gone and (not id or entry_id(info["max-deleted-entry-id"]) < entry_id(id)):
        raise TrimmedError(
            "the stream was trimmed at its beginning: export with --from, after an earlier export"
        )
    return id


def _begin(path: Path) -> tuple[int, Path]:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # mode 0600
    except OSError as error:
        raise ScannerError(f"{path} cannot be written ({error.strerror}); name a file elsewhere") from None
    return handle, Path(name)


def _text(id: bytes, raw: dict[bytes, bytes]) -> dict[str, str]:
    try:
        return {name.decode(): value.decode() for name, value in raw.items()}
    except UnicodeDecodeError:
        raise ScannerError(
            f"entry {id.decode()} is not UTF-8, as all that the service writes is; look at it with XRANGE"
        ) from None
