"""Dead letters: what a group's consumers could not handle, and what people do with it.

A letter is moved in one step. Broken off anywhere, what was done is done, and the rest waits for the same
command again; two who do it at the same time do not do it twice.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError, WatchError

from scanner.errors import ConfigurationError, ScannerError, StoreRefusedError, StoreUnavailableError
from scanner.ledger.connection import NO_ANSWER, Store
from scanner.ledger.keys import Keys
from scanner.ledger.watermark import entry_id, pipeline_of
from scanner.queue.consuming.letter import SENT_BACK, Letter, as_text, read_letter
from scanner.queue.consuming.options import ARCHIVE_GROUP

AT_ONCE = 100
RACES_MAX = 100


async def letters(store: Store, group: str, *, partition: int = 0) -> AsyncIterator[Letter]:
    """A group's dead letters, the oldest first; also those of a group that was forgotten.

    Raises:
        StoreRefusedError: there is no such group, and no letter either.
        StoreUnavailableError: the store did not answer.
    """
    dead = Keys(store.keys.brand, partition).dead(group)
    after = "-"
    while True:
        try:
            found = await store.client.xrange(dead, after, "+", count=AT_ONCE)
        except NO_ANSWER as error:
            raise _unavailable(error) from error
        for id, raw in found:
            yield read_letter(id, raw)
        if not found and after == "-":
            await _refuse_unknown(store, group, partition)
        if len(found) < AT_ONCE:
            return
        after = f"({found[-1][0].decode()}"


async def retry(
    store: Store,
    group: str,
    entries: Collection[str] | None = None,
    *,
    partition: int = 0,
    unchecked: bool = False,
) -> int:
    """Gives dead letters to the group once more, which counts their tries anew: those of these entries, or
    all. How many they were.

    Anybody who reads the stream may have added a letter, so each is held against the ledger first. One whose
    entry was trimmed cannot be: it is taken where somebody has looked at it (``unchecked``).

    Raises:
        StoreRefusedError: there is no such group, or no letter of an entry, or one is not to be handled: that
            one stays, and of all the others are moved.
        StoreUnavailableError: the store did not answer: some may have been moved; the rest has not.
    """
    again = Keys(store.keys.brand, partition).again(group)
    await _refuse_unknown(store, group, partition)
    found = await _chosen(store, group, entries, partition)
    unread = [one for one in found if not one.is_whole]
    forged, gone = await _compared(store, [one for one in found if one.is_whole], partition)
    if unchecked:
        gone = []
    left = {one.id for one in (*unread, *forged, *gone)}
    why = _why(group, unread, forged, gone)
    if left and entries is not None:
        raise StoreRefusedError(f"of these dead letters of group {group} {why}")

    def move(pipe: Any, raw: Mapping[bytes, bytes]) -> None:
        pipe.execute_command("XADD", again, "*", *(part for name in SENT_BACK for part in (name, raw[name])))

    taken = await _take(store, group, [one for one in found if one.id not in left], partition, move)
    if left:
        raise StoreRefusedError(f"of group {group}'s dead letters {taken:,} are to be handled again; {why}")
    return taken


async def drop(
    store: Store, group: str, entries: Collection[str] | None = None, *, partition: int = 0
) -> int:
    """Deletes dead letters for ever, also those that do not read, and those of a group that was forgotten; as
    ``retry`` else. The ledger keeps the entries."""
    found = await _chosen(store, group, entries, partition)
    return await _take(store, group, found, partition, lambda pipe, raw: None)


async def left_by(store: Store, group: str, *, partition: int = 0) -> tuple[int, int]:
    """How many of a group's dead letters were retried and not handled yet, and how many there are beside.

    Raises:
        StoreRefusedError: there is no such group, or it is the archive's.
        StoreUnavailableError: the store did not answer.
    """
    _refuse_archive(group)
    await _refuse_unknown(store, group, partition)
    keys = Keys(store.keys.brand, partition)
    try:
        return await store.client.xlen(keys.again(group)), await store.client.xlen(keys.dead(group))
    except NO_ANSWER as error:
        raise _unavailable(error) from error


async def forget(store: Store, group: str, *, partitions: int = 1) -> bool:
    """Destroys a group, so that trimming waits for it no more, with what was retried for it; whether there
    was one. Its consumers end; its dead letters stay.

    Raises:
        StoreRefusedError: it is the archive's.
        StoreUnavailableError: the store did not answer.
    """
    _refuse_archive(group)
    destroyed = 0
    for partition in range(partitions):
        keys = Keys(store.keys.brand, partition)
        try:
            # First the ledger's: a consumer that finds the other one gone ends as well.
            try:
                destroyed += await store.client.execute_command("XGROUP DESTROY", keys.events, group)
            except ResponseError as error:
                if "requires the key to exist" not in str(error):
                    raise
            destroyed += await store.client.execute_command("DEL", keys.again(group))
        except NO_ANSWER as error:
            raise _unavailable(error) from error
    return destroyed > 0


def _refuse_archive(group: str) -> None:
    if group == ARCHIVE_GROUP:
        raise StoreRefusedError(
            f"group {group} is the archive's: without it nothing could be trimmed any more"
        )


async def _refuse_unknown(store: Store, group: str, partition: int) -> None:
    events = Keys(store.keys.brand, partition).events
    try:
        groups = await store.client.execute_command("XINFO GROUPS", events)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise _unavailable(error) from error
        groups = []
    except NO_ANSWER as error:
        raise _unavailable(error) from error
    if all(one["name"] != group.encode() for one in groups):
        raise StoreRefusedError(f"there is no group {group}: `scanner queue status` lists them")


async def _chosen(store: Store, group: str, entries: Collection[str] | None, partition: int) -> list[Letter]:
    """The letters of these entries (or under these ids of their own), or all."""
    found = [one async for one in letters(store, group, partition=partition)]
    if entries is None:
        return found
    if missing := {*entries} - {name for one in found for name in (one.entry, one.id)}:
        raise StoreRefusedError(
            f"group {group} has no dead letter of entry {min(missing)}: `scanner queue dead {group}`"
        )
    return [one for one in found if one.entry in entries or one.id in entries]


async def _compared(
    store: Store, found: Sequence[Letter], partition: int
) -> tuple[list[Letter], list[Letter]]:
    """Those that are not what the ledger has, and those of entries that the stream has no more."""
    events, client = Keys(store.keys.brand, partition).events, store.client
    forged: list[Letter] = []
    gone: list[Letter] = []
    try:
        info = await client.execute_command("XINFO STREAM", events)
        first = entry_id(info["first-entry"][0] if info["first-entry"] else info["last-generated-id"])
        for start in range(0, len(found), AT_ONCE):
            some, pipe = found[start : start + AT_ONCE], pipeline_of(client)
            for one in some:
                pipe.execute_command("XRANGE", events, one.entry, one.entry)
            for one, entries in zip(some, await pipe.execute(), strict=True):
                if entries:
                    forged += [one] if as_text(entries[0][1]) != one.fields else []
                else:
                    (forged if entry_id(one.entry) > first else gone).append(one)
    except NO_ANSWER as error:
        raise _unavailable(error) from error
    return forged, gone


def _why(group: str, unread: Sequence[Letter], forged: Sequence[Letter], gone: Sequence[Letter]) -> str:
    said = [
        f"{len(some):,} {what}: `scanner queue drop {group} {some[0].id}`"
        for some, what in ((unread, "cannot be read"), (forged, "not what the ledger has of the entry"))
        if some
    ]
    if gone:
        said.append(
            f"{len(gone):,} of entries that the stream has no more, as {gone[0].entry}: look at them "
            f"(`scanner queue dead {group} --json`), and then retry them with --unchecked"
        )
    return "; ".join(said)


async def _take(store: Store, group: str, found: Sequence[Letter], partition: int, move: Any) -> int:
    """Takes letters out, and does ``move`` with each in the same step."""
    dead, taken = Keys(store.keys.brand, partition).dead(group), 0
    ids = [one.id for one in found]
    for start in range(0, len(ids), AT_ONCE):
        taken += await _take_some(store, dead, ids[start : start + AT_ONCE], move)
    return taken


async def _take_some(store: Store, dead: str, ids: Collection[str], move: Any) -> int:
    client: Any = store.client
    for _ in range(RACES_MAX):
        pipe = client.pipeline(transaction=True)
        try:
            await pipe.watch(dead)
            still = [entry for id in ids for entry in await pipe.xrange(dead, id, id)]
            pipe.multi()
            for id, raw in still:
                move(pipe, raw)
                pipe.execute_command("XDEL", dead, id)
            await pipe.execute()
            return len(still)
        except WatchError:  # another letter came, or somebody else does the same
            continue
        except NO_ANSWER as error:
            raise _unavailable(error) from error
        finally:
            await pipe.reset()
    raise StoreUnavailableError("dead letters come faster than they can be moved: stop the group's consumers")


def _unavailable(error: Exception) -> ScannerError:
    # redis-py puts the commands of a pipeline before an error, and so what is in the letters.
    text = str(error).rpartition("caused error: ")[2]
    if isinstance(error, NoPermissionError):
        return ConfigurationError(
            "the store's user may not do this, but one of the role `operator` may (`scanner store acl`): "
            f"{text}"
        )
    return StoreUnavailableError(f"the store did not answer: {text}")
