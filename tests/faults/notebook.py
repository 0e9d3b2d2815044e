"""The external ledger: what was asked stands on the disk before it is sent, and what came of it afterwards.

Many phones share an fsync, as claims share one in the store: what is written while a sync is under way goes
with the next. The file is what counts in the end; nothing that was only remembered does.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import orjson

from tests.phone import Reply

NO_ANSWER, KNOWN = 0, (200, 409)


class Errand(NamedTuple):
    """One member with one code. However often it is asked, it has one true answer."""

    code: str
    member: str


class Outcome(NamedTuple):
    """An answer, or the lack of one: the connection broke. All that is no 200 or 409 is *unknown*."""

    status: int = NO_ANSWER
    body: bytes = b""

    @property
    def is_known(self) -> bool:
        return self.status in KNOWN


class Notebook:
    """``number = await notebook.sends(errand)`` returns when that stands on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._sent = 0

    async def __aenter__(self) -> "Notebook":
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._thread = ThreadPoolExecutor(1)
        self._wake = asyncio.Event()
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        self._thread.shutdown()
        os.close(self._file)

    async def sends(self, errand: Errand) -> int:
        """A request of the errand leaves now; the number under which its outcome is told."""
        self._sent += 1
        number = self._sent
        self._lines.append(orjson.dumps(("asked", number, *errand)))
        await self._on_disk()
        return number

    def tells(self, number: int, reply: Reply | None) -> None:
        """The outcome; None where none came. It is synced with the next request."""
        outcome = Outcome() if reply is None else Outcome(reply.status, reply.body)
        self._lines.append(orjson.dumps(("outcome", number, outcome.status, outcome.body.decode())))

    async def read(self) -> dict[Errand, list[Outcome]]:
        """What the file says: the errands, and the outcomes of each, in order."""
        await self._on_disk()
        asked: dict[int, Errand] = {}
        found: dict[Errand, dict[int, Outcome]] = {}
        for line in self._path.read_bytes().splitlines():
            what, number, first, second = orjson.loads(line)
            if what == "asked":
                asked[number] = Errand(first, second)
                found.setdefault(asked[number], {})[number] = Outcome()
            else:
                found[asked[number]][number] = Outcome(first, second.encode())
        return {errand: list(outcomes.values()) for errand, outcomes in found.items()}

    async def _on_disk(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake.set()
        await waiter

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            lines, self._lines = self._lines, []
            waiting, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(self._thread, self._append, lines)
            except OSError as error:
                for waiter in waiting:
                    waiter.set_exception(error)
                continue
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)

    def _append(self, lines: list[bytes]) -> None:
        os.write(self._file, b"".join(line + b"\n" for line in lines))
        os.fdatasync(self._file)
