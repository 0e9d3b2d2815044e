"""What a failed POST to a webhook means: for its events, and for all others.

A receiver that is away, and one event that it cannot take, look alike from here: an error. What tells them
apart is whether it takes others meanwhile. Only then is a failure counted as a try of the event, and ends in
the dead letters; while it takes nothing, the bridge waits, asks now and then, and counts nothing. The same
holds for 429 and 503 and what they ask for: the first makes everybody wait for seconds; only where several
events in a row are refused does the whole bridge wait as long as it was asked to.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scanner.errors import ScannerError
from scanner.queue.bridges.bridge import Progress
from scanner.queue.consuming.answers import TryLaterError

RETRY_AFTER_S_MAX = 3600.0
# So many failures in a row, of whatever events, and the endpoint is taken to be away.
AWAY_AFTER = 5
# A Retry-After is kept for all events once so many different ones were refused in a row; until then so long.
REFUSED_MIN = 3
ASKED_S_MAX = 5.0
# A 429 or 503 is a try of its event only where so many others were taken since the last that was one: a
# receiver with a limit refuses now this event, now that one.
TAKEN_BETWEEN = 10
LATER_S = (0.5, 60.0)
_REMEMBERED_MAX = 10_000


class DeliveryError(ScannerError):
    """The receiver takes others, and not this event."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a POST was none. ``is_load`` says that the receiver had too much to do, or was not there;
    ``is_own`` that it takes others at the same time, and ``is_unsent`` that nothing was sent."""

    reason: str
    is_load: bool = False
    retry_after_s: float = 0.0
    is_own: bool = False
    is_unsent: bool = False


@dataclass(slots=True)
class _Memory:
    """What is known of an event that failed: how often, how many POSTs had succeeded by then, and by the last
    that was a try, whether it travels alone, and until when it waits by itself."""

    counted: int
    failures: int = 0
    taken: int = 0
    is_alone: bool = False
    until: float = 0.0


class Failures:
    """Of one endpoint: whether it is away, until when, and what it did with which event.

    ``clock`` is the event loop's, ``is_single`` says that each POST holds one event, and ``later_s`` how long
    one that failed waits, at first and at most.
    """

    def __init__(
        self,
        progress: Progress,
        clock: Callable[[], float],
        *,
        is_single: bool,
        later_s: tuple[float, float] = LATER_S,
    ) -> None:
        self._progress = progress
        self._clock = clock
        self._is_single = is_single
        self._later_s = later_s
        self._memory: OrderedDict[str, _Memory] = OrderedDict()
        self._taken = 0
        self._in_a_row = 0
        self._refused: set[tuple[str, ...]] = set()
        """Some of what was refused since the last success."""
        self._away_until = 0.0
        self.pauses = 0
        """How often all were told to wait."""

    @property
    def is_away(self) -> bool:
        return self._in_a_row >= AWAY_AFTER

    def wait_s(self, key: str | None = None) -> float:
        """How long all have to wait yet, or this event; 0 or less: not at all."""
        memory = None if key is None else self._memory.get(key)
        return max(self._away_until, memory.until if memory else 0.0) - self._clock()

    def travels_alone(self, key: str) -> bool:
        memory = self._memory.get(key)
        return self._is_single or (memory is not None and memory.is_alone)

    def taken(self, keys: Sequence[str], pauses: int) -> None:
        """They were taken, by a POST that left after so many pauses."""
        for key in keys:
            self._memory.pop(key, None)
        self._taken += 1
        if self.pauses != pauses:  # it left before another was told to wait, and says nothing of that
            self._progress.delivered += len(keys)
            return
        self._in_a_row, self._away_until = 0, 0.0
        self._refused.clear()
        self._progress.succeeded(len(keys))

    def noted(self, keys: Sequence[str], failure: Failure) -> Failure:
        """What the failure of a POST means for all others: they wait, unless it is this event's own."""
        memory = self._memory.get(keys[0])
        is_own = len(keys) == 1 and self._in_a_row == 0
        self._in_a_row += 1
        if failure.is_load and is_own and memory is not None and self._takes_others(memory):
            return replace(failure, is_own=True)
        if failure.is_load or self._in_a_row >= AWAY_AFTER:
            if len(self._refused) < REFUSED_MIN:
                self._refused.add(tuple(keys))
            is_asked = len(self._refused) >= REFUSED_MIN
            asked_s = min(failure.retry_after_s, RETRY_AFTER_S_MAX if is_asked else ASKED_S_MAX)
            wait_s = max(self._progress.failed(failure.reason), asked_s)
            self._away_until = max(self._away_until, self._clock() + wait_s)
            self._in_a_row = max(self._in_a_row, AWAY_AFTER)
            self.pauses += 1
        return failure

    def judged(self, key: str, failure: Failure) -> ScannerError:
        """What a failure means for one of the events that it befell."""
        if failure.is_unsent:
            return TryLaterError(max(failure.retry_after_s, self._later_s[0]))
        memory = self._memory.setdefault(key, _Memory(self._taken))
        self._memory.move_to_end(key)
        if len(self._memory) > _REMEMBERED_MAX:
            self._memory.popitem(last=False)
        first, most = self._later_s
        wait_s = max(failure.retry_after_s, min(most, first * 2.0 ** min(memory.failures, 30)))
        takes_others = self._takes_others(memory)
        was_alone = memory.is_alone or self._is_single
        memory.taken = self._taken
        memory.failures += 1
        if failure.is_load and not failure.is_own:
            memory.is_alone |= takes_others
            return TryLaterError(max(failure.retry_after_s, first))
        memory.is_alone = True
        if not was_alone:
            return TryLaterError(max(failure.retry_after_s, first))
        if not takes_others or (failure.is_own and self._taken - memory.counted < TAKEN_BETWEEN):
            return TryLaterError(wait_s)
        memory.counted = self._taken
        memory.until = self._clock() + failure.retry_after_s
        return DeliveryError(failure.reason)

    def _takes_others(self, memory: _Memory) -> bool:
        """Whether the receiver has taken another since this one failed."""
        return memory.failures > 0 and self._taken > memory.taken
