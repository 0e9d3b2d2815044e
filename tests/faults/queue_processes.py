"""Processes beside the service: consumers and the keeper, real ones, that are killed and started again."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.running import eventually

ROOT = Path(__file__).parents[2]
LONGEST_END_S = 60
QUOTED = 2_000
STORE_AWAY = re.compile(r"^scanner: the store did not answer", re.MULTILINE)
"""What a command says that ends, because there is no store when it starts."""


class Doomed:
    """One process, and after it was killed the next one of the same. Nobody else may end it.

    Its output is kept, of all its lives.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._arguments, self._environment, self.log = tuple(arguments), dict(environment), log
        self._process: asyncio.subprocess.Process | None = None
        self._began_at = 0
        self.kills = 0

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started"
        return self._process.pid

    @property
    def has_died(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    @property
    def said(self) -> str:
        """What this life of it has said."""
        return self.log.read_bytes()[self._began_at :].decode(errors="replace")

    async def start(self, *more: str) -> None:
        """Starts it; ``more`` are arguments of this life only."""
        self._began_at = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._arguments, *more),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self._environment},
            )

    async def has_said(self, text: str, timeout_s: float = 60) -> None:
        """Waits until this life has said so, or has ended."""

        async def is_there() -> bool:
            return text in self.said or self.has_died

        await eventually(is_there, timeout_s)

    async def kill(self) -> bool:
        """As ``dead``."""
        if not self.has_died:
            os.kill(self.pid, signal.SIGKILL)
        return await self.dead()

    async def dead(self, timeout_s: float = 60) -> bool:
        """Waits until it has died of SIGKILL, whoever sent it. False where it ended by itself, because the
        store was away when it started; any other end is a fault of its own."""
        assert self._process is not None
        async with asyncio.timeout(timeout_s):
            code = await self._process.wait()
        if code == 1 and STORE_AWAY.search(self.said):
            return False
        assert code == -signal.SIGKILL, f"it ended by itself with {code}: {self.said[-QUOTED:]}"
        self.kills += 1
        return True

    async def end(self) -> None:
        """Tells it to end, once it has begun, and sees that it does so in order."""
        assert self._process is not None
        await eventually(self._heeds_sigterm, LONGEST_END_S)
        assert not self.has_died, f"it ended by itself: {self.said[-QUOTED:]}"
        self._process.terminate()
        async with asyncio.timeout(LONGEST_END_S):
            code = await self._process.wait()
        assert code == 0, f"it ended with {code}: {self.said[-QUOTED:]}"

    async def _heeds_sigterm(self) -> bool:
        return self.has_died or catches_sigterm(self.pid)

    async def remove(self) -> None:
        """Leaves nothing behind, whatever has happened."""
        if self._process is not None:
            if not self.has_died:
                self._process.kill()
            await self._process.wait()


def catches_sigterm(pid: int) -> bool:
    """Whether the process has come so far that the signal would not just end it."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = re.findall(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


async def command(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Runs `scanner` with the arguments: its exit code, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scanner", *arguments),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
