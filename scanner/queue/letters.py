"""Dead letters: what a group's consumers could not handle, and what people do with it.

A letter is moved in one step. Broken off anywhere, what was done is done, and the rest waits for the same
command again; two who do it at the same time do not do it twice.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError, WatchError

from scanner.errors import ConfigurationError, ScannerError, StoreRefusedError, StoreUnavailableError
from scanner.ledger.connection import NO_ANSWER, Store
from scanner.ledger.keys import Keys
from scanner.queue.letter import SENT_BACK, Letter, read_letter
from scanner.queue.options import ARCHIVE_GROUP

AT_ONCE = 100
RACES_MAX = 100


async def letters(store: Store, group: str, *, partition: int = 0) -> AsyncIterator[Letter]:
    """A group's dead letters, the oldest first.

    Raises:
        UnreadableError: one was changed by hand.
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
        if len(found) < AT_ONCE:
            return
        after = f"({found[-1][0].decode()}"


async def retry(
    store: Store, group: str, entries: Collection[str] | None = None, *, partition: int = 0
) -> int:
    """Gives dead letters to the group once more, which counts their tries anew: those of these entries, or
    all. How many they were.

    Raises:
        StoreRefusedError: there is none of an entry.
        StoreUnavailableError: the store did not answer: some may have been moved; the rest has not.
    """
    again = Keys(store.keys.brand, partition).again(group)

    def move(pipe: Any, raw: Mapping[bytes, bytes]) -> None:
        pipe.execute_command("XADD", again, "*", *(part for name in SENT_BACK for part in (name, raw[name])))

    return await _take(store, group, entries, partition, move)


async def drop(
    store: Store, group: str, entries: Collection[str] | None = None, *, partition: int = 0
) -> int:
    """Deletes dead letters for ever; as ``retry`` else. The ledger keeps the entries."""
    return await _take(store, group, entries, partition, lambda pipe, raw: None)


async def forget(store: Store, group: str, *, partitions: int = 1) -> bool:
    """Destroys a group, so that trimming waits for it no more, with what was retried for it; whether there
    was one. Its consumers end; its dead letters stay.

    Raises:
        StoreRefusedError: it is the archive's.
        StoreUnavailableError: the store did not answer.
    """
    if group == ARCHIVE_GROUP:
        raise StoreRefusedError(
            f"group {group} is the archive's: without it nothing could be trimmed any more"
        )
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


async def _take(store: Store, group: str, entries: Collection[str] | None, partition: int, move: Any) -> int:
    """Takes letters out, and does ``move`` with each in the same step."""
    wanted = None if entries is None else set(entries)
    found = [one async for one in letters(store, group, partition=partition)]
    if wanted is not None:
        if missing := wanted - {one.entry for one in found}:
            raise StoreRefusedError(
                f"group {group} has no dead letter of entry {min(missing)}: `scanner queue dead {group}`"
            )
        found = [one for one in found if one.entry in wanted]
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
        return ConfigurationError(f"the store's user may not do this: {text}")
    return StoreUnavailableError(f"the store did not answer: {text}")
