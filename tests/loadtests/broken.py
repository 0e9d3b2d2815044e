"""A service of a few lines that can be broken on purpose: the control of the load tests' gates."""

import hashlib
from collections.abc import Collection
from typing import Literal

import orjson

from tests.loadtests.tiny import Asked, answer

Bug = Literal["wins twice", "forgets", "falls over"]
AT = "2027-03-01T09:30:00.123Z"


class FakeService:
    """Answers scans of these codes by the contract, but for its bug."""

    def __init__(self, codes: Collection[str], bug: Bug) -> None:
        self._codes = frozenset(codes)
        self._bug = bug
        self._winners: dict[str, bytes] = {}

    def __call__(self, asked: Asked) -> bytes:
        [member] = [line for line in asked.head.split(b"\r\n") if line.startswith(b"Authorization: ")]
        code = orjson.loads(asked.body)["code"]
        if code not in self._codes:
            return refused("unknown_code", 404)
        if self._bug == "falls over" and asked.no % 10 == 9:
            return refused("unavailable", 503)
        if self._winners.get(code, member) != member and self._bug != "wins twice":
            return refused("claimed", 409, first_scanned_at=AT)
        is_replayed = code in self._winners
        self._winners.setdefault(code, member)
        return answer(
            orjson.dumps(
                {
                    "outcome": "accepted",
                    "scan_id": hashlib.blake2b(code.encode(), digest_size=8).hexdigest().upper(),
                    "replayed": is_replayed,
                    "scanned_at": AT,
                    "awards": [asked.no] if self._bug == "forgets" else [],
                }
            )
        )


def refused(outcome: str, status: int, **members: str) -> bytes:
    return answer(orjson.dumps({"outcome": outcome, "status": status, **members}), status=status)
