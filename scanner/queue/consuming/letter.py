"""A dead letter as it stands in the store, and what is sent back out of it: strings, as every entry.

The event's own fields are a JSON object, which gives them back byte for byte, whatever they are: what is not
UTF-8 stands there as Python's ``surrogateescape`` has it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from scanner.ledger.watermark import entry_id
from scanner.queue.events import UnreadableError

REASON_CHARS_MAX = 500
# What a letter that does not read has for a reason, and the last moment that a calendar has.
UNREADABLE = "this dead letter cannot be read: it was changed by hand"
_MS_MAX = 253_402_300_799_999
# What reading one that was changed by hand may raise.
_FAULTS = (KeyError, ValueError, AttributeError, RecursionError)
# What a letter has in common with what is sent back to its group.
SENT_BACK = (b"entry", b"type", b"fields")


@dataclass(frozen=True)
class Letter:
    """``id`` is its own, ``entry`` the event's in the ledger; ``failed_at`` is in ms since 1970, and of a
    moment with a date. One that does not read has its own id for an entry, and is not ``is_whole``."""

    id: str
    entry: str
    type: str
    tries: int
    reason: str
    consumer: str
    failed_at: int
    fields: Mapping[str, str]
    is_whole: bool = True


def letter_of(
    entry: str, fields: Mapping[bytes, bytes], *, tries: int, reason: str, consumer: str
) -> dict[str, str | bytes]:
    """The entry of the stream of dead letters."""
    return {
        "entry": entry,
        "type": fields.get(b"type", b"").decode(errors="backslashreplace"),
        "tries": str(tries),
        "reason": reason[:REASON_CHARS_MAX].encode("utf-8", "backslashreplace"),
        "consumer": consumer,
        "failed_at": str(time.time_ns() // 1_000_000),
        "fields": _packed(fields),
    }


def read_letter(id: bytes, raw: Mapping[bytes, bytes]) -> Letter:
    """A dead letter, as text to be looked at."""
    try:
        text = as_text(raw)
        failed_at = int(text["failed_at"])
        if not 0 <= failed_at <= _MS_MAX:
            raise ValueError
        return Letter(
            id=id.decode(),
            entry=_entry_of(raw).decode(),
            type=text["type"],
            tries=int(text["tries"]),
            reason=text["reason"],
            consumer=text["consumer"],
            failed_at=failed_at,
            fields=as_text(_unpacked(raw[b"fields"])),
        )
    except _FAULTS:
        own = id.decode()
        ms = min(entry_id(own)[0], _MS_MAX)
        return Letter(own, own, "", 0, UNREADABLE, "", ms, as_text(raw), is_whole=False)


def sent_back(raw: Mapping[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """The event's entry and fields, out of what was sent back to its group. Raises UnreadableError."""
    try:
        return _entry_of(raw), _unpacked(raw[b"fields"])
    except _FAULTS:
        raise UnreadableError("what was sent back to the group cannot be read") from None


def _entry_of(raw: Mapping[bytes, bytes]) -> bytes:
    entry = raw[b"entry"]
    entry_id(entry.decode("ascii"))
    return entry


def as_text(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    """An entry's fields, as ``Letter.fields`` has them."""
    return {
        name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
        for name, value in raw.items()
    }


def _packed(fields: Mapping[bytes, bytes]) -> bytes:
    try:
        return orjson.dumps({name.decode(): value.decode() for name, value in fields.items()})
    except UnicodeDecodeError:
        text = {_escaped(name): _escaped(value) for name, value in fields.items()}
        return json.dumps(text).encode()


def _unpacked(data: bytes) -> dict[bytes, bytes]:
    fields = json.loads(data) if b"\\ud" in data else orjson.loads(data)
    return {
        name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
        for name, value in fields.items()
    }


def _escaped(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
