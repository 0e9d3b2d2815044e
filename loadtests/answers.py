"""The service's answers as its callers judge them: expected, to be tried again, or wrong."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

# Refused for now; the same request may be sent again, and then has the one true answer.
TRY_AGAIN = ("overloaded", "unavailable")
# The first scan of a fresh code is accepted; it says `replayed` where the store's reply was lost on the way
# and asked for again.
FIRST = ("accepted", "replayed")

_ACCEPTED, _NOT_REPLAYED = b'{"outcome":"accepted","scan_id":"', b'","replayed":false,'
_ID_END = len(_ACCEPTED) + 16
_ID_END_NEXT = _ID_END + len(_NOT_REPLAYED)


class Told(NamedTuple):
    """What an answer says: its outcome by the contract, ``replayed`` for a repeat; where it names none,
    ``status n``. ``scan_id`` is empty but in an accepted scan."""

    outcome: str
    scan_id: str = ""


def told(status: int, body: bytes) -> Told:
    """Reads the whole answer."""
    try:
        data = orjson.loads(body)
        if status == 200:
            return Told("replayed" if data["replayed"] else str(data["outcome"]), str(data["scan_id"]))
        return Told(str(data["outcome"]) if data["status"] == status else f"status {status}")
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Told(f"status {status}")


def told_at_a_glance(status: int, body: bytes) -> Told:
    """The same; of an accepted scan in the service's own spelling only the beginning, for less CPU."""
    if status == 200 and body.startswith(_ACCEPTED) and body[_ID_END:_ID_END_NEXT] == _NOT_REPLAYED:
        return Told("accepted", body[len(_ACCEPTED) : _ID_END].decode("latin-1"))
    return told(status, body)


def is_same(first: bytes, later: bytes) -> bool:
    """Whether a later answer is the first one to the byte, but for ``replayed``."""
    return later.replace(b'"replayed":true', b'"replayed":false', 1) == first.replace(
        b'"replayed":true', b'"replayed":false', 1
    )


def fault_of_rivals(answers: Sequence[tuple[str, bytes]]) -> str:
    """What is wrong with the answers to members who scanned one code at once, or nothing.

    ``answers`` are outcomes and bodies. Exactly one member wins, and the others are told when.
    """
    won = [orjson.loads(body) for outcome, body in answers if outcome in FIRST]
    lost = [orjson.loads(body) for outcome, body in answers if outcome == "claimed"]
    if len(won) != 1 or len(lost) != len(answers) - 1:
        return f"{len(won)} of {len(answers)} members won, {len(lost)} were told that it is claimed"
    told = {other.get("first_scanned_at") for other in lost}
    if told != {won[0]["scanned_at"]}:
        return f"the winner scanned at {won[0]['scanned_at']}, the others were told {told}"
    return ""
