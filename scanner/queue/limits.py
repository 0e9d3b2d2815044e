"""How full the store may get: what is near a limit, what is at it, and from when on there is room again.

Two limits count: the setting ``stream_max_bytes`` for the stream, and the store's own ``maxmemory`` for all
it holds. Of that a part is kept free: acknowledgements, trims and the keeper need memory before they give any
back, and a store at its limit refuses them too.
"""

from enum import IntEnum
from typing import NamedTuple

NEAR_PERCENT = 80
STREAM_FULL_PERCENT = 100
MEMORY_FULL_PERCENT = 95
# A level is left so many points below where it begins; else the service would open and shut by the second.
RELEASE_POINTS = 2


class Level(IntEnum):
    FREE = 0
    NEAR = 1
    FULL = 2


class Limit(NamedTuple):
    """What is used of what there is, in bytes, and the part of it from which on it is full."""

    name: str
    used: int
    most: int
    full_percent: int

    @property
    def percent(self) -> float:
        return 100 * self.used / self.most

    def level(self, before: Level = Level.FREE) -> Level:
        """How near it is, where it was at ``before`` when it was last looked at."""
        for level, percent in ((Level.FULL, self.full_percent), (Level.NEAR, NEAR_PERCENT)):
            points = RELEASE_POINTS if before >= level else 0
            if self.used * 100 >= self.most * (percent - points):
                return level
        return Level.FREE


def limits_of(
    stream_bytes: int | None, stream_max: int, memory: int | None, memory_max: int | None
) -> tuple[Limit, ...]:
    """The limits there are: 0 is none, and None is not known."""
    known = (
        ("stream", stream_bytes, stream_max, STREAM_FULL_PERCENT),
        ("memory", memory, memory_max, MEMORY_FULL_PERCENT),
    )
    return tuple(
        Limit(name, used, most, percent) for name, used, most, percent in known if used is not None and most
    )
