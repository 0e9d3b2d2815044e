"""Whether the stream is the one that was archived, and goes on where the archive ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from redis.exceptions import ResponseError

from scanner.errors import StoreUnavailableError
from scanner.ledger.connection import Store
from scanner.ledger.watermark import WentBackError, ask, entry_id, judge, pipeline_of
from scanner.queue.archive import START, ArchiveError, Position, position
from scanner.queue.consuming.options import ARCHIVE_GROUP


class Seen(NamedTuple):
    """The stream as it was looked at: its last entry, how many it had been given by then, and how many are
    gone at its beginning that the archive does not have. ``is_joined``: the archive's last one is in it."""

    last: str
    added: int
    missing: int
    is_joined: bool = False


async def look_at(store: Store, directory: Path, known: Position | None) -> Seen:
    """Judges whether the stream is the one that was archived up to there, and goes on.

    Raises:
        StoreUnavailableError: it does not, or is being restored.
    """
    pipe, seen = pipeline_of(store.client), known.mark if known else None
    ask(pipe, store.keys.events, seen)
    found, info = await pipe.execute(raise_on_error=False)
    try:
        now = judge(seen, found, info)
    except WentBackError as error:
        raise StoreUnavailableError(
            f"the store is not the one that the archive {directory} is of: {error.found}; bring the right "
            f"store back, or rebuild it with `scanner ledger restore {directory}`"
        ) from None
    added = known.added if known else 0
    if not isinstance(info, Mapping):
        return Seen(START, added, 0)
    # Where the archive's last entry is still there, nothing after it can have been trimmed.
    is_there = seen is not None and found
    missing = 0 if is_there else int(info["entries-added"]) - int(info["length"]) - added
    last = now.entry if now and info["last-entry"] else START
    return Seen(last, int(info["entries-added"]), max(0, missing), bool(is_there))


async def compare(store: Store, directory: Path) -> None:
    """Holds an archive that is whole in itself against the stream.

    Raises:
        ArchiveError: something was archived that it has not, or is neither in it nor in the stream.
        StoreUnavailableError: the stream is another one.
    """
    stream = await look_at(store, directory, position(directory))
    if stream.missing:
        raise ArchiveError(f"{stream.missing:,} entries are gone from the stream and are not in {directory}")
    noted = await archived_to(store)
    last = now.entry if (now := position(directory)) else START  # a keeper may have gone on
    if entry_id(last) < entry_id(noted):
        raise ArchiveError(
            f"{directory} ends at {last}, and entries up to {noted} were archived: lines of its manifest "
            "are missing, or this is an older copy"
        )


async def archived_to(store: Store) -> str:
    """The last entry that was archived, in whichever directory, as the stream has it noted."""
    try:
        groups = await store.client.execute_command("XINFO GROUPS", store.keys.events)
    except ResponseError:  # there is no stream
        return START
    for group in groups:
        # The keeper never reads as a consumer: somebody else did, and moved it.
        if group["name"] == ARCHIVE_GROUP.encode() and not group["consumers"]:
            return str(group["last-delivered-id"].decode())
    return START
