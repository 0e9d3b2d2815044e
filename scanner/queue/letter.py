"""A dead letter as it stands in the store, and what is sent back out of it: strings, as every entry.

The event's own fields are a JSON object, which gives them back byte for byte, whatever they are: what is not
UTF-8 stands there as Python's ``surrogateescape`` has it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from scanner.queue.events import UnreadableError

REASON_CHARS_MAX = 500
# What a letter has in common with what is sent back to its group.
SENT_BACK = (b"entry", b"type", b"fields")


@dataclass(frozen=True)
class Letter:
    """``id`` is its own, ``entry`` the event's in the ledger; ``failed_at`` is in ms since 1970."""

    id: str
    entry: str
    type: str
    tries: int
    reason: str
    consumer: str
    failed_at: int
    fields: Mapping[str, str]


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
    """A dead letter, as text to be looked at. Raises UnreadableError."""
    try:
        text = {name.decode(): value.decode(errors="backslashreplace") for name, value in raw.items()}
        return Letter(
            id=id.decode(),
            entry=text["entry"],
            type=text["type"],
            tries=int(text["tries"]),
            reason=text["reason"],
            consumer=text["consumer"],
            failed_at=int(text["failed_at"]),
            fields={
                name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
                for name, value in _unpacked(raw[b"fields"]).items()
            },
        )
    except (KeyError, ValueError, AttributeError):
        raise UnreadableError(f"dead letter {id.decode()} cannot be read: it was changed by hand") from None


def sent_back(raw: Mapping[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """The event's entry and fields, out of what was sent back to its group. Raises UnreadableError."""
    try:
        return raw[b"entry"], _unpacked(raw[b"fields"])
    except (KeyError, ValueError, AttributeError):
        raise UnreadableError("what was sent back to the group cannot be read") from None


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
