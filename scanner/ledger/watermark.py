"""The watermark: an entry of the stream that was seen, by which a store that has gone back is known.

A stream only grows at its end. While the last entry that was seen is still there, with the same content, so
is all that came before it. If it is not, the store has lost what it acknowledged, or is another one: codes
that were claimed look free, and going on could pay twice. (Once a stream is trimmed, entries leave it at its
beginning; how many it counts as added tells that from a loss.)

A service keeps the watermark in a file of its data directory, one a brand, so that a process that is started
after the loss knows of it too.
"""

import fcntl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import orjson
from blake3 import blake3
from redis.exceptions import ResponseError

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.ledger.client import Client, Pipeline
from scanner.ledger.connection import NO_ANSWER, Store
from scanner.settings import Settings, write_key_file

FORMAT = 1
WHAT_TO_DO = (
    "bring the right store back, or rebuild it with `scanner ledger restore FILE`; "
    "to go on with this one knowingly: `scanner ledger accept`"
)


class WentBackError(StoreUnavailableError):
    """The store is not the one that was seen; ``found`` says what was found instead."""

    def __init__(self, found: str) -> None:
        super().__init__(f"the store has gone back to an older state: {found}; {WHAT_TO_DO}")
        self.found = found


class RestoringError(StoreUnavailableError):
    """The ledger is being rebuilt, or was left half way."""

    def __init__(self) -> None:
        super().__init__(
            "the ledger is being restored; if that was broken off, run `scanner ledger restore` again"
        )


class Mark(NamedTuple):
    """An entry that was the last one: its id, a digest of its fields, and how many had been added by then."""

    entry: str
    digest: str
    added: int

    @classmethod
    def of(cls, entry: bytes, fields: Mapping[bytes, bytes], added: int) -> "Mark":
        return cls(entry.decode(), fields_digest(fields), added)

    def __str__(self) -> str:
        return f"entry {self.entry} of {moment_of(self.entry)}"


def fields_digest(fields: Mapping[bytes, bytes]) -> str:
    """32 hex digits over an entry's names and values, each with its length, in their order."""
    parts = (part for pair in fields.items() for part in pair)
    return blake3(b"".join(len(part).to_bytes(4) + part for part in parts)).hexdigest(16)


def moment_of(entry: str) -> str:
    """When an entry was added, by its id."""
    ms = int(entry.partition("-")[0])
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return "an impossible time"


class AnyPipeline(Pipeline, Protocol):
    """With commands as they are sent."""

    def execute_command(self, *args: str | bytes | int) -> Any: ...


def pipeline_of(client: Client, *, transaction: bool = False) -> AnyPipeline:
    return cast(AnyPipeline, client.pipeline(transaction=transaction))


def ask(pipe: Pipeline, events: str, seen: Mark | None) -> None:
    """Puts what ``judge`` needs to know into a pipeline."""
    commands = cast(AnyPipeline, pipe)
    # The entry that was seen first: should it be trimmed in between, the counts know.
    entry = seen.entry if seen else "0-1"
    commands.execute_command("XRANGE", events, entry, entry)
    commands.execute_command("XINFO STREAM", events)


def judge(seen: Mark | None, found: Any, info: Any) -> Mark | None:
    """The last entry there is now, from the two replies to what ``ask`` asked; None of an empty store.

    Raises:
        WentBackError: this is not the store that ``seen`` was seen in.
        RestoringError: there is no stream to judge.
        redis.exceptions.RedisError: the store said so.
    """
    if isinstance(found, ResponseError) and "WRONGTYPE" in str(found):
        raise RestoringError
    if isinstance(info, ResponseError) and "no such key" in str(info):
        info = {"length": 0, "entries-added": 0, "first-entry": None, "last-entry": None}
    for reply in (found, info):
        if isinstance(reply, Exception):
            raise reply
    last = info["last-entry"]
    now = Mark.of(last[0], last[1], int(info["entries-added"])) if last and last[0] else None
    if seen is None:
        return now
    if found:
        if fields_digest(found[0][1]) == seen.digest:
            return now or seen
        raise WentBackError(f"it has another history, in which {seen} is another one than the one seen")
    if int(info["entries-added"]) - int(info["length"]) >= seen.added and _is_behind(seen, info):
        return now or seen  # it was trimmed
    raise WentBackError(_found(seen, now))


async def look(store: Store, seen: Mark | None) -> Mark | None:
    """The last entry there is now, once the store is known to be the one of ``seen``.

    Raises:
        WentBackError: it is not.
        StoreUnavailableError: it did not answer, or is being restored.
    """
    pipe = pipeline_of(store.client)
    ask(pipe, store.keys.events, seen)
    try:
        return judge(seen, *await pipe.execute(raise_on_error=False))
    except NO_ANSWER as error:
        raise StoreUnavailableError(f"the store did not answer: {error}") from error


def path_of(settings: Settings) -> Path:
    return settings.data_dir / f"watermark-{settings.brand}.json"


def read_mark(settings: Settings) -> Mark | None:
    """The brand's watermark in the data directory; None where none was ever kept.

    Raises:
        ConfigurationError: it cannot be read.
    """
    path = path_of(settings)
    try:
        data = orjson.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise ValueError("another format")
        mark = Mark(str(data["entry"]), str(data["digest"]), int(data["added"]))
        entry_id(mark.entry)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"the watermark {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"the watermark {path} is damaged: bring it back, or, where the store is known to be the right "
            "one, renew it with `scanner ledger accept`"
        ) from None
    return mark


def write_mark(settings: Settings, mark: Mark) -> None:
    """Replaces the brand's watermark whole, and waits for the disk.

    Raises:
        OSError, ConfigurationError: it cannot be written.
    """
    write_key_file(path_of(settings), orjson.dumps({"format": FORMAT, **mark._asdict()}) + b"\n")


def advance_mark(settings: Settings, mark: Mark) -> None:
    """The same, unless the file has a later entry: another service of the directory was faster."""
    path = path_of(settings)
    with path.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = read_mark(settings)
        if before is None or entry_id(before.entry) < entry_id(mark.entry):
            write_mark(settings, mark)


def entry_id(entry: str | bytes) -> tuple[int, int]:
    """An entry's id as what orders entries. Raises ValueError."""
    ms, dash, sequence = (entry.decode() if isinstance(entry, bytes) else entry).partition("-")
    if not dash or not (ms.isdecimal() and sequence.isdecimal()):
        raise ValueError(f"{entry!r} is no entry's id")
    if int(ms) >> 64 or int(sequence) >> 64:
        raise ValueError(f"{entry!r} is no entry's id: a part of it has more than 64 bits")
    return int(ms), int(sequence)


def _is_behind(seen: Mark, info: Mapping[str, Any]) -> bool:
    """Whether all that is kept came after the entry that was seen."""
    first = info["first-entry"]
    return not first or not first[0] or entry_id(seen.entry) < entry_id(first[0])


def _found(seen: Mark, now: Mark | None) -> str:
    if now is None:
        return f"it is empty, and {seen} was seen in it"
    if entry_id(now.entry) < entry_id(seen.entry):
        return f"its last one is {now}, and {seen} was seen in it"
    return f"it has another history, in which {seen} is missing that was seen in it"
