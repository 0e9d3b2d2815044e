"""What a consumer has in hand: entries that its group has given it, whose they are, and how often tried."""

from dataclasses import dataclass, field
from zlib import crc32

from scanner.queue.events import Event, UnreadableError, read_pairs

Flat = list[bytes]
"""An entry as the store gives it: names and values by turns."""


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
    """One entry on its way through a consumer. ``id`` is its own in its stream, ``entry`` the ledger's.

    ``times`` is how often the group had given it out before, ``begun`` how many tries are known to have been
    begun. The store is told of a try before it begins, but for the first one of what is new (``is_recorded``
    is false until then): that would be a command for each event.

    ``event`` is there once ``fault`` was asked: when its turn comes. What waits is as it came, because events
    that live long are dear: each is four objects for every collection of garbage to look at.
    """

    __slots__ = ("begun", "entry", "event", "flat", "id", "is_read", "is_recorded", "lane", "source", "times")

    event: Event

    def __init__(self, source: Source, id: bytes, times: int, entry: bytes, flat: Flat) -> None:
        self.source = source
        self.id = id
        self.times = times
        self.entry = entry
        self.flat = flat
        self.lane = lane_of(flat)
        self.is_read = False
        self.begun = times - 1 if times else 0
        self.is_recorded = times > 0

    def fault(self) -> str:
        """Why it does not read as its type promises; "" where it does."""
        if not self.is_read:
            pairs = zip(self.flat[::2], self.flat[1::2], strict=True)
            try:
                self.event = read_pairs(self.entry, pairs, self.source.partition)
            except UnreadableError as error:
                return str(error)
            self.is_read = True
        return ""

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(zip(self.flat[::2], self.flat[1::2], strict=True))

    @property
    def is_suspect(self) -> bool:
        """Whether a consumer has ended while it handled this one, perhaps because it did."""
        return self.times > 1

    @property
    def is_repeat(self) -> bool:
        """Whether somebody may have had it before."""
        return self.times > 0 or self.begun > 1 or self.source.is_again


def value_of(flat: Flat, name: bytes) -> bytes | None:
    """What an entry has of a name, None where it has nothing; the last one counts, as for a dict."""
    names = flat[-2::-2]
    return flat[-1 - 2 * names.index(name)] if name in names else None


def lane_of(flat: Flat) -> bytes:
    """What an entry keeps its order with: its member's others; without a member its lot's, or campaign's."""
    if member := value_of(flat, b"member"):
        return member
    for name in (b"lot", b"campaign"):
        if value := value_of(flat, name):
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

    def takes(self, one: Delivery) -> bool:
        """Whether an entry is wanted, or might be: one that does not read has to be looked at by somebody."""
        flat, (part, parts) = one.flat, self.share
        # What can be told before the event is read, which costs most.
        return (
            (self.types is None or value_of(flat, b"type") in self.types)
            and (self.campaigns is None or value_of(flat, b"campaign") in self.campaigns)
            and (parts == 1 or crc32(one.lane) % parts == part)
            and (self.kinds is None or self._may_want(one))
        )

    def _may_want(self, one: Delivery) -> bool:
        if b"awards" in one.flat or b"giver_awards" in one.flat:
            return bool(one.fault()) or self.wants(one.event)
        return False

    def wants(self, event: Event) -> bool:
        """Whether it has an award of a wanted kind."""
        kinds = self.kinds
        if kinds is None:
            return True
        return any(event.awards_of(kind) for kind in kinds)
