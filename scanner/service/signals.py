"""How a process of the service is told to stop, or to replace its workers."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable


def stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT from now on; an earlier event no more."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def on_hangup(work: Callable[[], None], stop: asyncio.Event) -> None:
    """Does ``work`` at each SIGHUP. One that comes because the terminal was closed stops, as everywhere."""
    began_on_terminal = _is_on_terminal()

    def hung_up() -> None:
        if began_on_terminal and not _is_on_terminal():
            stop.set()
        else:
            work()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


def _is_on_terminal() -> bool:
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):  # it has no standard input
        return False
