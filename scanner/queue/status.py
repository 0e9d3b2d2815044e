"""How far each reader of the stream has come, and what the stream takes: figures at a bounded cost.

A look is three round trips, whatever the stream holds: no entry is counted that the store has not counted
already. Between them the stream moves on, so figures of one look may be some entries apart.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from redis.exceptions import NoPermissionError, ResponseError

from scanner.errors import StoreUnavailableError
from scanner.ledger.client import Pipeline
from scanner.ledger.connection import NO_ANSWER, Store
from scanner.ledger.watermark import RestoringError, entry_id
from scanner.queue.consuming.options import ARCHIVE_GROUP
from scanner.queue.limits import Limit, limits_of
from scanner.settings import Settings

# More groups than that are not looked at one by one, and not at all where somebody made thousands.
GROUPS_MAX = 50
GROUPS_LISTED_MAX = 1000
CONSUMERS_LISTED_MAX = 100
NAME_CHARS_MAX = 64
# Where the store has lost count of what a group has not had: so many entries are counted, no more.
COUNTED_MAX = 100
# Of the stream's nodes, the first ones: much alike, but for the files of campaigns, which come before their
# scans. So many are looked at in 0.2 ms.
SAMPLES = 1000
# An id so far ahead of the store's clock says that the clock was wrong.
AHEAD_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group. ``lag`` are entries that it was not given yet: at most so many where not ``lag_is_exact``.

    ``oldest`` is the first entry that it has not finished, given to a consumer or not, and ``oldest_s`` its
    age; both None where it has finished all, and the age of what the store wrote while its clock was ahead.
    ``idle_s`` is how long its busiest consumer has asked nothing; None where it has none, or too many to ask.
    ``dead`` and ``again`` count dead letters and those among them that somebody has sent back.
    """

    name: str
    position: str
    lag: int
    lag_is_exact: bool
    pending: int
    oldest: str | None
    oldest_s: float | None
    consumers: int
    idle_s: float | None
    dead: int
    again: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The stream and who reads it. Bytes and groups are None where the store's user may not ask for them, or
    the store has no such command; ``refused`` are those.

    ``groups_count`` is how many groups there are, ``groups`` at most :data:`GROUPS_MAX` of them. The stream's
    first and last entry are so many seconds old; None of an empty one.
    """

    at_ms: int
    entries: int
    entries_added: int
    first_s: float | None
    last_s: float | None
    stream_bytes: int | None
    stream_max_bytes: int
    memory_bytes: int | None
    memory_limit_bytes: int | None
    groups_count: int
    groups: tuple[GroupStatus, ...] | None
    refused: tuple[str, ...]

    @property
    def limits(self) -> tuple[Limit, ...]:
        sizes = self.stream_bytes, self.stream_max_bytes, self.memory_bytes, self.memory_limit_bytes
        return limits_of(*sizes)

    @property
    def archive(self) -> GroupStatus | None:
        """The archive, as a group; None where there is none, or nothing is known of it."""
        return next((group for group in self.groups or () if group.name == ARCHIVE_GROUP), None)

    @property
    def holder(self) -> GroupStatus | None:
        """Who is furthest behind: what it has not finished is not trimmed. None: everybody has finished."""
        behind = [group for group in self.groups or () if group.oldest]
        return min(behind, key=lambda group: entry_id(group.oldest or ""), default=None)


async def read_status(store: Store, settings: Settings, known: Collection[str] = ()) -> QueueStatus:
    """The figures as they stand now. Of too many groups the archive and the ``known`` ones come first.

    Raises:
        RestoringError: the ledger is being restored.
        StoreUnavailableError: the store did not answer, or not as it should.
    """
    try:
        return await _Look(store, settings).status(known)
    except ResponseError as error:
        if "WRONGTYPE" in str(error):
            raise RestoringError from error
        raise StoreUnavailableError(f"the store answered: {error}") from error
    except NO_ANSWER as error:
        raise StoreUnavailableError(f"the store did not answer: {error}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise StoreUnavailableError(f"the store's reply cannot be read: {error!r}") from error


class _Pipe(Pipeline, Protocol):
    """What is asked here, as redis-py has it."""

    def time(self) -> Any: ...
    def info(self, section: str) -> Any: ...
    def memory_usage(self, key: str, samples: int) -> Any: ...
    def xlen(self, key: bytes) -> Any: ...
    def xinfo_stream(self, key: str) -> Any: ...
    def xinfo_groups(self, key: str) -> Any: ...
    def xinfo_consumers(self, key: str, group: bytes) -> Any: ...
    def xpending_range(self, key: str, group: bytes, low: str, high: str, count: int) -> Any: ...
    def xrange(self, key: str, low: str, high: str, count: int) -> Any: ...


class _Look:
    def __init__(self, store: Store, settings: Settings) -> None:
        self._client, self._keys, self._settings = store.client, store.keys, settings
        self._refused: set[str] = set()

    def _pipe(self) -> _Pipe:
        return cast(_Pipe, self._client.pipeline(transaction=False))

    def _allowed(self, reply: Any, command: str, otherwise: T) -> Any | T:
        """The reply, or ``otherwise`` where it may not be asked; raises the store's other errors."""
        if not isinstance(reply, Exception):
            return reply
        if isinstance(reply, NoPermissionError) or str(reply).startswith("unknown "):
            self._refused.add(command)
            return otherwise
        raise reply

    async def status(self, known: Collection[str]) -> QueueStatus:
        events, pipe = self._keys.events, self._pipe()
        pipe.time()
        pipe.xinfo_stream(events)
        pipe.info("memory")
        pipe.memory_usage(events, samples=SAMPLES)
        moment, stream, memory, size = await pipe.execute(raise_on_error=False)
        if isinstance(stream, ResponseError) and "no such key" in str(stream):
            stream = {"length": 0, "entries-added": 0, "groups": 0, "last-generated-id": b"0-0"}
        stream = self._allowed(stream, "XINFO STREAM", None)
        if stream is None:
            raise StoreUnavailableError("the store's user may not ask for the stream (XINFO STREAM)")
        seconds, micros = self._allowed(moment, "TIME", divmod(time.time_ns() // 1000, 10**6))
        at_ms = seconds * 1000 + micros // 1000
        memory = self._allowed(memory, "INFO", {})
        groups = await self._groups(stream, at_ms, known)
        used, limit = memory.get("used_memory"), memory.get("maxmemory")
        if used is not None:  # less what the store itself leaves out when it compares
            used -= memory.get("mem_not_counted_for_evict", 0)
        return QueueStatus(
            at_ms=at_ms,
            entries=stream["length"],
            entries_added=stream["entries-added"],
            first_s=_age_s(stream.get("first-entry"), at_ms),
            last_s=_age_s(stream.get("last-entry"), at_ms),
            stream_bytes=_lesser(self._allowed(size or 0, "MEMORY USAGE", None), used),
            stream_max_bytes=self._settings.stream_max_bytes,
            memory_bytes=used,
            memory_limit_bytes=limit,
            groups_count=stream["groups"],
            groups=groups,
            refused=tuple(sorted(self._refused)),
        )

    async def _groups(
        self, stream: Mapping[str, Any], at_ms: int, known: Collection[str]
    ) -> tuple[GroupStatus, ...] | None:
        count, events = stream["groups"], self._keys.events
        if count == 0:
            return ()
        if count > GROUPS_LISTED_MAX:
            return None
        pipe = self._pipe()
        pipe.xinfo_groups(events)
        [listed] = await pipe.execute(raise_on_error=False)
        if isinstance(listed, ResponseError) and "no such key" in str(listed):
            return ()
        groups = self._allowed(listed, "XINFO GROUPS", None)
        return None if groups is None else await self._each(_chosen(groups, known), stream, at_ms)

    async def _each(
        self, groups: Mapping[str, Mapping[str, Any]], stream: Mapping[str, Any], at_ms: int
    ) -> tuple[GroupStatus, ...] | None:
        """What takes questions of its own: four for each group, and one more where its consumers are few."""
        events, pipe, count = self._keys.events, self._pipe(), len(groups)
        for group in groups.values():
            name, position = group["name"], group["last-delivered-id"].decode()
            few = 1 if group["lag"] is not None else COUNTED_MAX + 1
            pipe.xpending_range(events, name, "-", "+", 1)
            pipe.xrange(events, f"({position}", "+", count=few)
            pipe.xlen(self._keys.dead("").encode() + name)
            pipe.xlen(self._keys.again("").encode() + name)
        asked = [name for name, group in groups.items() if group["consumers"] <= CONSUMERS_LISTED_MAX]
        for name in asked:
            pipe.xinfo_consumers(events, groups[name]["name"])
        replies = await pipe.execute(raise_on_error=False)
        consumers = dict(zip(asked, replies[4 * count :], strict=True))
        found = []
        for place, (name, group) in enumerate(groups.items()):
            own = [*replies[4 * place : 4 * place + 4], consumers.get(name, [])]
            if any(isinstance(reply, ResponseError) and "NOGROUP" in str(reply) for reply in own):
                continue  # it has been destroyed this moment
            commands = "XPENDING", "XRANGE", "XLEN", "XLEN", "XINFO CONSUMERS"
            own = [self._allowed(*pair, None) for pair in zip(own, commands, strict=True)]
            if None in own:
                return None
            found.append(_group(name, group, own, stream, at_ms))
        return tuple(found)


def _group(
    name: str, group: Mapping[str, Any], replies: Sequence[Any], stream: Mapping[str, Any], at_ms: int
) -> GroupStatus:
    pending, following, dead, again, consumers = replies
    unfinished = [one["message_id"] for one in pending] + [entry for entry, _ in following[:1]]
    oldest = min(unfinished, key=entry_id, default=None)
    lag, is_exact = _lag(group["lag"], following, stream)
    return GroupStatus(
        name=name,
        position=group["last-delivered-id"].decode(),
        lag=lag,
        lag_is_exact=is_exact,
        pending=group["pending"],
        oldest=oldest.decode() if oldest else None,
        oldest_s=_age_s((oldest,), at_ms),
        consumers=group["consumers"],
        idle_s=min((one["idle"] / 1000 for one in consumers), default=None),
        dead=dead,
        again=again,
    )


def _chosen(groups: Sequence[Mapping[str, Any]], known: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """The groups to look at, by the name to show. Those shown before stay: else labels would come and go."""
    named = {_shown(group["name"]): group for group in groups}
    order = sorted(named, key=lambda name: (name != ARCHIVE_GROUP, name not in known, name))
    return {name: named[name] for name in order[:GROUPS_MAX]}


def _shown(name: bytes) -> str:
    text = name.decode(errors="backslashreplace")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= NAME_CHARS_MAX else f"{text[: NAME_CHARS_MAX - 1]}…"


def _lag(counted: int | None, following: Sequence[Any], stream: Mapping[str, Any]) -> tuple[int, bool]:
    """How many entries come after a group's position, and whether that is certain: the store loses count
    where an entry was deleted, and where a group was put somewhere in the middle."""
    entries = stream["length"]
    if not following:
        return 0, True
    first = stream.get("first-entry")
    if first and first[0] == following[0][0]:
        return entries, True  # also where the store counts what was trimmed before the group had it
    if counted is not None:
        return max(1, min(counted, entries)), True
    return (len(following), True) if len(following) <= COUNTED_MAX else (entries, False)


def _lesser(estimate: int | None, most: int | None) -> int | None:
    return estimate if estimate is None or most is None else min(estimate, most)


def _age_s(entry: Sequence[Any] | None, at_ms: int) -> float | None:
    """How old an entry is by its id, which begins with the ms at which it was added; None of none, and of one
    that was added while the clock was ahead."""
    if not entry or not entry[0]:
        return None
    age_s = (at_ms - entry_id(entry[0])[0]) / 1000
    return max(0.0, age_s) if age_s > -AHEAD_S else None
