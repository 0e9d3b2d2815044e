"""Processes of a load test's own: they find its code wherever it is started, and none outlives it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
END_TIMEOUT_S = 10


@asynccontextmanager
async def python(*arguments: str, **options: Any) -> AsyncIterator[Process]:
    """``python …`` for as long as the block runs; ``options`` are those of a subprocess.

    It does not hear Ctrl-C: that is for us, and we end it.
    """
    environment = {**os.environ, **options.pop("env", {})}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [environment.get("PYTHONPATH", "")])]
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: Process, number: int) -> None:
    """Not its own way: that would first look whether the process has ended, and take its exit code from the
    watcher that waits for it."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
