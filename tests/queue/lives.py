"""The lives of a bridge: a process each, which a test may kill.

They are forked from one that has read the modules already, which is most of a start. That one is made for
the first of them and ends with pytest.
"""

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.faults.queue_processes import Doomed

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        *("pytest", "aiohttp", "aiokafka", "nats", "scanner.cli", "scanner.queue.consuming.consumer"),
        *(f"scanner.queue.bridges.{name}" for name in ("nats", "kafka", "webhook")),
    ]
)


class Bridge(Doomed):
    """``scanner queue bridge …``; ``broken`` is how it is broken on purpose (``broken_bridges.py``)."""

    def __init__(
        self, arguments: Sequence[object], environment: Mapping[str, str], log: Path, broken: str = ""
    ) -> None:
        super().__init__(["queue", "bridge", *map(str, arguments)], environment, log)
        self.broken = broken

    async def start(self, *more: str) -> None:
        self.log.touch()
        self._began_at = self.log.stat().st_size
        process = _FORKING.Process(
            target=_live,
            args=((*self._arguments, *more), {**os.environ, **self._environment}, self.log, self.broken),
        )
        await asyncio.to_thread(process.start)
        self._process = _Forked(process)


class _Forked:
    """A forked process, as asyncio has one of its own."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.pid = process.pid
        self.terminate, self.kill = process.terminate, process.kill

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    async def wait(self) -> int:
        await asyncio.to_thread(self._process.join)
        return self._process.exitcode


def _live(arguments: Sequence[str], environment: Mapping[str, str], log: Path, broken: str) -> None:
    said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in (1, 2):
        os.dup2(said, number)
    os.chdir(log.parent)  # no .env file of a developer's
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["scanner", *arguments]
    from scanner.cli import main
    from tests.queue.broken_bridges import BREAKS

    if broken:
        BREAKS[broken]()
    main()
