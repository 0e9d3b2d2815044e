"""The supervisor's watch over the stream: its figures, and whether there is room for more.

It alone looks, and tells the workers in one cell, which each claim reads. So what a look costs does not grow
with the scans, and neither `/metrics` nor `/readyz` waits for the store.
"""

import asyncio
import logging
import time

from scanner.ledger.connection import Store
from scanner.queue.limits import Level, Limit
from scanner.queue.status import QueueStatus, read_status
from scanner.service.metrics import Cells
from scanner.settings import Settings

log = logging.getLogger("scanner")

LOOK_EVERY_S = 1.0
LOOK_TIMEOUT_S = 5.0
STALE_AFTER_S = 10.0
# A decision outlives the figures that it was made by, but not for ever: a store that refuses to be looked at
# may serve all the same, and it refuses claims itself once its memory is at an end.
LAPSES_AFTER_S = 60.0
_LIMITS = {
    "stream": "the stream takes {:.0f} % of SCANNER_STREAM_MAX_BYTES, {:,} of {:,} bytes",
    "memory": "the store takes {:.0f} % of its maxmemory, {:,} of {:,} bytes",
}


class QueueWatch:
    """What was seen last, and what follows from it. ``cells`` are those that all workers read."""

    def __init__(self, store: Store, settings: Settings, cells: Cells) -> None:
        self._store, self._settings, self._cells = store, settings, cells
        self._levels: dict[str, Level] = {}
        self._looked_s = float("-inf")
        self._said = ""
        self.status: QueueStatus | None = None

    @property
    def age_s(self) -> float:
        """How old the figures are; infinite where there are none."""
        return time.monotonic() - self._looked_s

    def level(self, limit: str) -> Level:
        """How near the stream, or the memory, is to its limit."""
        return self._levels.get(limit, Level.FREE)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Takes new figures, and decides by them. Where there are none it says so once, in the log."""
        known = [group.name for group in self.status.groups or ()] if self.status else ()
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                status = await read_status(self._store, self._settings, known)
        except Exception as error:  # whatever it is: a shut eye would leave the last decision for ever
            self._say(f"the stream cannot be looked at: {str(error) or 'no answer in time'}")
            if self.age_s > LAPSES_AFTER_S:
                self._lapse()
            return
        self.status, self._looked_s = status, time.monotonic()
        self._decide({limit.name: limit.level(self.level(limit.name)) for limit in status.limits})
        self._say(f"the stream is watched in part only: {_unknown(status)}" if status.refused else "")

    def part(self) -> tuple[bool, str]:
        """Whether claims are taken, and what `/readyz` says of the queue."""
        status, worst = self.status, max(self._levels.values(), default=Level.FREE)
        if status is None:
            return True, "not known: the stream was not looked at yet; the log says why"
        then = f" (as of {self.age_s:.0f} s ago; the log says why)" if self.age_s > STALE_AFTER_S else ""
        if worst is Level.FULL:
            return False, f"at its limit, claims are refused: {self._why(status, worst)}{then}"
        if worst is Level.NEAR:
            return True, f"near its limit: {self._why(status, worst)}{then}"
        if then:
            return True, f"not known{then}"
        return True, f"not known in part: {_unknown(status)}" if status.refused else "ok"

    def _decide(self, levels: dict[str, Level]) -> None:
        before, self._levels = self._levels, levels
        is_full = Level.FULL in levels.values()
        self._cells.set("full", int(is_full))
        if levels == before:
            return
        _, words = self.part()
        if is_full:
            log.error("the queue is %s", words)
        elif Level.NEAR in levels.values():
            log.warning("the queue is %s", words)
        elif any(before.values()):
            log.info("the queue has room again")

    def _lapse(self) -> None:
        if self._cells.get("full"):
            log.warning("the queue was at its limit, %.0f s ago: claims are taken again", self.age_s)
        self._levels = {}
        self._cells.set("full", 0)

    def _why(self, status: QueueStatus, worst: Level) -> str:
        found = [_words(limit) for limit in status.limits if self.level(limit.name) is worst]
        return "; ".join([*found, _held_up_by(status, self._settings.stream_keep_s)])

    def _say(self, text: str) -> None:
        if text and text != self._said:
            log.warning("%s", text)
        self._said = text


def _words(limit: Limit) -> str:
    return _LIMITS[limit.name].format(limit.percent, limit.used, limit.most)


def _held_up_by(status: QueueStatus, keep_s: int) -> str:
    """Who, or what, keeps the stream from being trimmed."""
    if status.groups is None:
        return "who holds it up is not known"
    if status.archive is None:
        return "nothing is archived, so nothing is trimmed: run `scanner queue keep`"
    holder = status.holder
    if holder is None or (holder.oldest_s or 0) < keep_s:
        return f"entries are kept for SCANNER_STREAM_KEEP_S, {keep_s} s, and no group is further behind"
    most = "" if holder.lag_is_exact else "at most "
    return (
        f"group {holder.name} holds it up, {most}{holder.lag:,} entries behind and {holder.pending:,} "
        f"unfinished, the oldest {holder.oldest_s or 0:,.0f} s old"
    )


def _unknown(status: QueueStatus) -> str:
    commands = ", ".join(status.refused)
    return f"the store refuses {commands} to this user; `scanner store acl` makes its line anew"
