"""What a consumer can be told, checked."""

import os
import re
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from scanner.errors import ConfigurationError
from scanner.queue.consuming.deliveries import Selection
from scanner.queue.tail import is_place

ARCHIVE_GROUP = "archive"
"""Shows in the stream how far the archive has come."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LAST = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """As :class:`scanner.queue.Consumer` has them. Raises ConfigurationError."""

    group: str
    name: str | None
    campaigns: Collection[str] | None
    types: Collection[str] | None
    kinds: Collection[str] | None
    start: str | datetime
    partitions: int
    concurrency: int
    rate: float | None
    tries: int | None
    wait_s: tuple[float, float]
    take_over_s: float
    ahead: int
    share: tuple[int, int]
    start_id: str = field(init=False)
    """As XGROUP CREATE has it: the entry after which a new group begins."""
    selection: Selection = field(init=False)

    def __post_init__(self) -> None:
        part, parts = self.share
        first_s, longest_s = self.wait_s
        names = "1 to 64 of A-Z a-z 0-9 . _ -"
        _check(bool(_NAME.fullmatch(self.group)), "group", names, self.group)
        _check(self.group != ARCHIVE_GROUP, "group", "another name: this is the archive's own", self.group)
        _check(self.name is None or bool(_NAME.fullmatch(self.name)), "name", names, self.name)
        _check(0 <= part < parts <= 1024, "share", "(k, n) with 0 <= k < n <= 1,024", self.share)
        _check(1 <= self.partitions <= 1024, "partitions", "1 to 1,024", self.partitions)
        _check(1 <= self.concurrency <= 10_000, "concurrency", "1 to 10,000", self.concurrency)
        _check(self.rate is None or self.rate > 0, "rate", "more than 0 a second, or None", self.rate)
        _check(self.tries is None or 1 <= self.tries <= 1000, "tries", "1 to 1,000, or None", self.tries)
        _check(0 <= first_s <= longest_s, "wait_s", "(first, longest), not negative", self.wait_s)
        _check(
            0 < self.take_over_s <= 86_400, "take_over_s", "more than 0 s, at most a day", self.take_over_s
        )
        _check(1 <= self.ahead <= 1_000_000, "ahead", "1 to 1,000,000", self.ahead)
        object.__setattr__(self, "start_id", _start_id(self.start))
        object.__setattr__(self, "selection", self._selection())

    @cached_property
    def group_name(self) -> str:
        part, parts = self.share
        return self.group if parts == 1 else f"{self.group}.{part}of{parts}"

    @cached_property
    def consumer_name(self) -> str:
        if self.name is not None:
            return self.name
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:32]
        return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"

    def _selection(self) -> Selection:
        return Selection(
            _bytes(self.campaigns, "campaigns"),
            _bytes(self.types, "types"),
            None if self.kinds is None else frozenset(_names(self.kinds, "kinds")),
            self.share,
        )


def _names(values: Collection[str], name: str) -> Collection[str]:
    _check(not isinstance(values, str), name, "a set of names", values)
    return values


def _bytes(values: Collection[str] | None, name: str) -> frozenset[bytes] | None:
    return None if values is None else frozenset(value.encode() for value in _names(values, name))


def _start_id(start: str | datetime) -> str:
    if isinstance(start, datetime):
        _check(start.tzinfo is not None, "start", "a moment with its time zone", start)
        ms = int(start.timestamp() * 1000)
        return f"{ms - 1}-{_LAST}" if ms > 0 else "0"
    if start in ("beginning", "now"):
        return {"beginning": "0", "now": "$"}[start]
    _check(is_place(start), "start", '"beginning", "now", an entry\'s id or a datetime', start)
    return start


def _check(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise ConfigurationError(f"a consumer's {name}: expected {expected}; got {got!r}")
