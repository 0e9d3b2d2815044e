"""Whether more may come in: what waits in a worker is bounded, and a queue that stands is cut short.

Two queues can stand here. Claims wait for a batch, where batches leave full and leave others behind; requests
wait for their turn of the event loop, where a turn has more to do than there is time. For both the rule is
CoDel's (RFC 8289): a queue that empties now and then has taken up a burst and is left alone, one that has
stood for a whole interval is overload. Limits that adapt to measured delay (gradient, Vegas) would be misled:
here delay grows with the batch, on purpose, because large batches are the cheap ones.

No claim is let in that would wait longer than ``wait_max``, as the last batches tell how long a load takes.
While a queue stands, reads are refused. Once it has stood for the interval without getting shorter, scans are
too: all but what the next two loads take, so that who is let in waits for two batches and not for ever.
"""

import asyncio
from typing import Literal

from scanner.service.metrics import Cells
from scanner.settings import Settings

STANDS_AFTER_S = 0.05
# So much of a turn is for judging requests: at some 50 µs a scan a few hundred of them, a good load.
TURN_S = 0.01
LOADS = 2

Reason = Literal["queue", "turn", "deadline", "reads", "connections", "memory"]


class Admission:
    """What may come into one worker. Times are the event loop's, in seconds."""

    def __init__(self, cells: Cells, settings: Settings) -> None:
        self._cells = cells
        self._waiting_max = settings.waiting_max
        self._load = settings.batch_max * settings.batches_away_max
        self._round_trip_s = 0.0
        self.adapts = settings.shedding
        self.wait_max_s = settings.wait_max_ms / 1000
        self._connections_max = settings.connections_max
        self._memory = settings.buffer_max_bytes
        self._standing: tuple[float, int] | None = None
        self._is_shedding = False
        self._refused_at = self._late_since = self._late_at = float("-inf")
        self.turn_began_s = 0.0
        self.limit = 0
        self._set_limit()

    def sheds_read(self, now_s: float) -> bool:
        """Whether a read is refused: claims are left behind by the batches, or refused."""
        self.look(now_s)
        if not self.adapts or (self._standing is None and not self._is_shedding):
            return False
        self.refused("reads")
        return True

    def look(self, now_s: float) -> None:
        """Ends the shedding where nobody had to be refused for an interval, also when no claim comes."""
        if self._is_shedding and now_s - self._refused_at > STANDS_AFTER_S:
            self._shed(False)

    def refused(self, reason: Reason, now_s: float | None = None) -> None:
        """Counts a refusal. ``now_s`` is the time, where a claim found no place in the queue."""
        self._cells.add(f"shed.{reason}")
        if now_s is not None:
            self._refused_at = now_s

    def landed(self, round_trip_s: float) -> None:
        """A batch has come back after so long: claims that wait will take as long, load by load."""
        self._round_trip_s += (round_trip_s - self._round_trip_s) / 8
        self._set_limit()

    def left_behind(self, count: int, now_s: float) -> None:
        """A flush has left so many claims behind. What waits past ``limit`` then is to be refused."""
        if self._is_shedding:
            self.look(now_s)
        elif not count:
            self._standing = None
        elif self._standing is None:
            self._standing = now_s, count
        elif now_s - self._standing[0] > STANDS_AFTER_S:
            if count >= max(self._standing[1], LOADS * self._load) and self.adapts:
                self._refused_at = now_s
                self._shed(True)
            else:
                self._standing = now_s, count  # a burst, which gets shorter

    def _shed(self, sheds: bool) -> None:
        self._is_shedding, self._standing = sheds, None
        self._cells.set("shedding", int(sheds))
        self._set_limit()

    def _set_limit(self) -> None:
        loads = self.wait_max_s / self._round_trip_s if self._round_trip_s and self.adapts else float("inf")
        loads = LOADS if self._is_shedding else max(LOADS, loads)
        self.limit = int(min(self._waiting_max, loads * self._load))
        self._cells.set("limit", self.limit)

    def begin_turn(self, now_s: float) -> None:
        """The first request of a turn of the loop begins it: ``turn_began_s`` is when, or 0 between turns."""
        self.turn_began_s = now_s
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self.turn_began_s = 0.0

    def is_late(self, now_s: float) -> bool:
        """Whether a request comes too late in its turn, where all turns of an interval were too long."""
        if not self.turn_began_s:
            self.begin_turn(now_s)
        if now_s - self.turn_began_s < TURN_S:
            return False
        if now_s - self._late_at > 2 * STANDS_AFTER_S:
            self._late_since = now_s
        self._late_at = now_s
        if not self.adapts or now_s - self._late_since < STANDS_AFTER_S:
            return False
        self.refused("turn")
        return True

    def has_room_for(self, connections: int) -> bool:
        """Whether one more connection may come to so many."""
        if connections < self._connections_max:
            return True
        self.refused("connections")
        return False

    def take(self, size: int) -> bool:
        """Takes so many bytes of the memory that requests may be read into; False where there are not."""
        if size > self._memory:
            self.refused("memory")
            return False
        self._memory -= size
        return True

    def give(self, size: int) -> None:
        """Gives back what was taken."""
        self._memory += size
