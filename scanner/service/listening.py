"""The sockets that a worker accepts from: its own row's, and those of rows that nobody serves.

A row is one listening socket of the public port and the worker that serves it. Where there is none (it was
killed, it hangs, there are more sockets than workers) the others accept from its queue until it is back. What
they need for that stands in the cells: who accepts from which row, and whose heart beats.
"""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from scanner.service.metrics import Cells
from scanner.service.operations import BEAT_MAX_MS
from scanner.service.port import BACKLOG

log = logging.getLogger("scanner")

LOOK_EVERY_S = 0.25
FIRST_LOOK_EVERY_S = 0.02
LAST_ANSWERS_POLL_S = 0.02


class Place(NamedTuple):
    """A worker's place in the service, as its supervisor tells it. ``cells`` and ``sockets`` are descriptors.

    A successor accepts only once it is ready, because another one serves its row until then.
    """

    row: int
    slot: int  # its row of the cells: while it succeeds another worker, each has its own
    layout: int  # of the supervisor's cells
    cells: int
    sockets: list[int]
    is_successor: bool

    def to_json(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> "Place":
        return cls(**json.loads(text))


class Listening:
    """What one worker accepts from. ``slots`` are the cells of all workers, its own among them."""

    def __init__(self, runner: web.ServerRunner, place: Place, slots: Sequence[Cells]) -> None:
        self._runner = runner
        self._place = place
        self._own = slots[place.slot]
        self._others = [cells for slot, cells in enumerate(slots) if slot != place.slot]
        self._sockets = [socket.socket(fileno=descriptor) for descriptor in place.sockets]
        self._sites: dict[int, web.SockSite] = {}

    async def keep(self) -> None:
        """Accepts what it should, for ever."""
        said = ""
        while True:
            try:
                await self.look()
                said = ""
            except Exception as error:  # whatever it is: nobody would come in any more
                if str(error) != said:
                    log.error("connections cannot be taken from a socket: %s", error)
                said = str(error)
            await asyncio.sleep(LOOK_EVERY_S if self._sites else FIRST_LOOK_EVERY_S)

    async def look(self) -> None:
        """Begins and ceases to accept, as the others come and go."""
        wanted = self._wanted()
        for row in wanted - self._sites.keys():
            # A copy, because the server closes what it is given.
            site = web.SockSite(self._runner, self._sockets[row].dup(), backlog=BACKLOG)
            await site.start()
            self._sites[row] = site
            if row == self._place.row:
                self._own.set("accepts_row", row + 1)
        for row in self._sites.keys() - wanted:
            await self._sites.pop(row).stop()

    async def stop(self) -> None:
        """Ceases to accept. What the kernel has queued is left for whoever else holds the sockets."""
        self._own.set("accepts_row", 0)
        for site in self._sites.values():
            await site.stop()
        self._sites.clear()
        for one in self._sockets:
            one.close()
        await asyncio.sleep(0)  # what was accepted before becomes a connection now

    def _wanted(self) -> set[int]:
        row, is_ready = self._place.row, self._own.get("store_ready")
        if not self._own.get("beat_ms"):
            return set()  # it has not looked at the store yet
        if row not in self._sites and self._place.is_successor and not is_ready:
            return set()
        if not is_ready:
            return {row}  # to say so
        latest_ms = time.monotonic_ns() // 1_000_000 - BEAT_MAX_MS
        served = {cells.get("accepts_row") - 1 for cells in self._others if cells.get("beat_ms") > latest_ms}
        return {row, *range(len(self._sockets))} - (served - {row})


async def last_answers(server: web.Server, timeout_s: float) -> None:
    """Waits until all connections of a server that drains have had their last answer."""
    for _ in range(int(timeout_s / LAST_ANSWERS_POLL_S)):
        if not server.connections:
            return
        await asyncio.sleep(LAST_ANSWERS_POLL_S)
