"""What a consumer has in hand: entries that its group has given it, whose they are, and how often tried."""

from dataclasses import dataclass, field
from zlib import crc32

from scanner.queue.events import Event

Fields = dict[bytes, bytes]
"""An entry as it stands in the stream."""


class Source:
    """One stream that is read: the ledger, or what was retried out of the dead letters (``is_again``).

    ``held`` is what this consumer has and has not finished, ``finished`` what is to be acknowledged.
    """

    def __init__(self, key: str, *, partition: int, is_again: bool) -> None:
        self.key = key
        self.name = key.encode()
        self.partition = partition
        self.is_again = is_again
        self.held: dict[bytes, Delivery] = {}
        self.finished: dict[bytes, None] = {}


class Delivery:
    """One entry on its way through a consumer.

    ``times`` is how often the group had given it out before, ``begun`` how many tries are known to have been
    begun. The store is told of a try before it begins, but for the first one of what is new (``is_recorded``
    is false until then): that would be a command for each event.
    """

    __slots__ = ("begun", "event", "fields", "id", "is_recorded", "lane", "source", "times")

    def __init__(
        self, source: Source, id: bytes, times: int, fields: Fields, event: Event, lane: bytes
    ) -> None:
        self.source = source
        self.id = id
        self.times = times
        self.fields = fields
        self.event = event
        self.lane = lane
        self.begun = times - 1 if times else 0
        self.is_recorded = times > 0

    @property
    def is_suspect(self) -> bool:
        """Whether a consumer has ended while it handled this one, perhaps because it did."""
        return self.times > 1

    @property
    def is_repeat(self) -> bool:
        """Whether somebody may have had it before."""
        return self.times > 0 or self.begun > 1 or self.source.is_again


def lane_of(fields: Fields) -> bytes:
    """What an entry keeps its order with: its member's others; without a member its lot's, or campaign's."""
    if member := fields.get(b"member"):
        return member
    for name in (b"lot", b"campaign"):
        if value := fields.get(name):
            return b"\0%s:%s" % (name, value)  # no member is called so
    return b""


@dataclass(frozen=True)
class Selection:
    """Which entries a consumer wants; None wants all. ``share`` is one's own part, and of how many: by the
    CRC-32 of the member."""

    campaigns: frozenset[bytes] | None = None
    types: frozenset[bytes] | None = None
    kinds: frozenset[str] | None = None
    share: tuple[int, int] = (0, 1)
    wants_all: bool = field(init=False)

    def __post_init__(self) -> None:
        wants_all = all(each is None for each in (self.campaigns, self.types, self.kinds))
        wants_all = wants_all and self.share[1] == 1
        object.__setattr__(self, "wants_all", wants_all)

    def wants_fields(self, fields: Fields, lane: bytes) -> bool:
        """What can be told before the event is read, which costs most."""
        part, parts = self.share
        return (
            (self.types is None or fields.get(b"type") in self.types)
            and (self.campaigns is None or fields.get(b"campaign") in self.campaigns)
            and (parts == 1 or crc32(lane) % parts == part)
            and (self.kinds is None or b"awards" in fields or b"giver_awards" in fields)
        )

    def wants(self, event: Event) -> bool:
        kinds = self.kinds
        if kinds is None:
            return True
        return any(event.awards_of(kind) for kind in kinds)
