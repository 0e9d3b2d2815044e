"""How a process of the service is told to stop, or to replace its workers."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

CANCEL_AGAIN_S = 1.0


def stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT from now on; an earlier event no more."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancels tasks and waits for their ends. A cancellation may get lost where it meets a time-out that ends
    at the same moment, and a loop would go on for ever: so it is said again."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # what they raised was logged where it was raised


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
