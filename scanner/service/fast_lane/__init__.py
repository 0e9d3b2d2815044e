"""The fast lane: one canonical ``POST /v1/scans`` in a read is answered without aiohttp's request objects.

It stands on aiohttp's connection and shares its timers and its shutdown. What is not recognised to the byte,
or cannot be judged without a look at the store, is aiohttp's, and nothing was done with it here. The native
part (``native/_fast_lane.pyx``) does what happens for every scan, ``lane.py`` what happens for few.
"""

import logging
from collections.abc import Callable
from importlib.metadata import version

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from scanner.service.batcher import Batcher
from scanner.service.connection import Protocol
from scanner.service.desk import Desk
from scanner.service.guard import Guard
from scanner.service.metrics import Cells
from scanner.service.scans import Scans
from scanner.settings import Settings

log = logging.getLogger("scanner")

AIOHTTP = "3.14."
# What the lane reads and writes of aiohttp's connection beside its documented methods.
LEANS_ON = frozenset(
    {
        "_close",
        "_force_close",
        "_handler_waiter",
        "_keepalive_handle",
        "_loop",
        "_messages",
        "_next_keepalive_close_time",
        "_paused",
        "_request_count",
        "_request_in_progress",
        "_waiter",
        "transport",
    }
)
OVERRIDES = (
    "_pause_transport_reading",
    "_process_keepalive",
    "_resume_transport_reading",
    "close",
    "connection_lost",
    "data_received",
    "force_close",
)


def unfit() -> str:
    """Why the lane cannot run here; "" where it can."""
    try:
        import scanner.service.fast_lane._native  # noqa: F401
    except ImportError as error:
        return f"the native extension is missing ({error})"
    if not version("aiohttp").startswith(AIOHTTP):
        return f"this is aiohttp {version('aiohttp')}, and the lane knows {AIOHTTP}x"
    missing = LEANS_ON - {*BaseProtocol.__slots__, *web.RequestHandler.__slots__}
    missing |= {name for name in OVERRIDES if not callable(getattr(web.RequestHandler, name, None))}
    return f"this aiohttp has no {', '.join(sorted(missing))}" if missing else ""


def connections(
    desk: Desk, scans: Scans, guard: Guard, batcher: Batcher, cells: Cells, settings: Settings
) -> Callable[..., Protocol]:
    """What makes a connection: with the fast lane, where it is wanted and can run; else the log says why."""
    if not settings.fast_lane:
        return Protocol
    reason = unfit()
    if reason:
        log.warning("scans are served without the fast lane, at several times the cost: %s", reason)
        return Protocol
    from scanner.service.fast_lane.lane import FastLane

    return FastLane(desk, scans, guard, batcher, cells, settings).connection
