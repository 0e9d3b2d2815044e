"""What an inbox records of an event: its key, in a form that every database takes."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

KEY_CHARS_MAX: Final = 128
"""Longer keys are recorded by their digest, so that none is refused, and none is cut to look like another."""
TABLE: Final = "scanner_inbox"


class Keyed(Protocol):
    """An event, or anything else with a key that all its copies share, and nothing else has."""

    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=Keyed)


def recorded(key: str) -> str:
    """The key as it stands in the table. PostgreSQL takes no NUL, and no index takes a key without end."""
    if len(key) <= KEY_CHARS_MAX and key.isprintable():
        return key
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def in_order(events: Iterable[Keyed]) -> list[str]:
    """The keys to insert, each once and sorted: two consumers that insert the same keys at the same time
    then wait for each other in one direction only, and never in a circle."""
    return sorted({recorded(event.key) for event in events})


def those_of(events: Sequence[K], new: Iterable[str]) -> list[K]:
    """The events whose keys are new, in their own order; of several with one key, the first."""
    left = set(new)
    fresh = []
    for event in events:
        key = recorded(event.key)
        if key in left:
            left.remove(key)
            fresh.append(event)
    return fresh
