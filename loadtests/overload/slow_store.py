"""A store that takes its time: a proxy that holds the reply to each batch of claims.

Between a service and its private store it makes the store the bottleneck, as in production, where there are
workers enough. What one machine can generate is then ten times what the service may accept. It is a process
of its own: whoever measures must not hold it up.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from loadtests.errors import LoadTestError
from loadtests.processes import python
from scanner.ledger.functions import library

PIECE_BYTES = 1 << 16
# So much is made good for, no more: a stall that is longer is one.
LATE_MAX_S = 0.05


class SlowStore:
    """Takes ``hold_s`` for each batch of claims, one after the other, as a store with one core does.

    What the store behind it takes is part of that. Where a reply leaves late all the same, because the
    machine was busy elsewhere, the next one may leave so much earlier: the peak stays what it was. A batch
    and its reply must fit into 64 KiB, or each piece counts. All else passes at once.
    """

    def __init__(self, store_socket: Path, hold_s: float) -> None:
        self._store_socket = store_socket
        self._hold_s = hold_s
        self._claim = library().function("claim").encode()
        self._due_s = self._left_s = 0.0  # when the last reply was to leave, and when it did
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the service."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        asked_s: deque[float] = deque()  # when each batch came
        forward: asyncio.Task[None] | None = None
        try:
            from_store, to_store = await asyncio.open_unix_connection(self._store_socket)
            forward = asyncio.create_task(self._forward(reader, to_store, asked_s))
            while data := await from_store.read(PIECE_BYTES):
                if asked_s:
                    await self._hold(asked_s.popleft())
                writer.write(data)
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone, or we end
        finally:
            if forward is not None:
                forward.cancel()
                to_store.close()
            writer.transport.abort()
            self._tasks.discard(task)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(
        self, reader: asyncio.StreamReader, to_store: asyncio.StreamWriter, asked_s: deque[float]
    ) -> None:
        while data := await reader.read(PIECE_BYTES):
            if self._claim in data:
                asked_s.append(asyncio.get_running_loop().time())
            to_store.write(data)
        to_store.close()

    async def _hold(self, asked_s: float) -> None:
        clock = asyncio.get_running_loop().time
        late_s = min(self._left_s - self._due_s, LATE_MAX_S)
        if asked_s - self._left_s < self._hold_s:  # else the store has rested since
            asked_s -= late_s
        self._due_s = max(asked_s, self._due_s) + self._hold_s
        await asyncio.sleep(self._due_s - clock())
        self._left_s = clock()


async def serve(store_socket: Path, path: Path, hold_s: float) -> None:
    """Listens at ``path``, in front of the store, until it is cancelled."""
    slow = SlowStore(store_socket, hold_s)
    server = await asyncio.start_unix_server(slow.serve, path)
    print("ready", flush=True)
    try:
        await server.serve_forever()
    finally:
        await slow.end()


@asynccontextmanager
async def slow_store(store_socket: Path, path: Path, hold_s: float) -> AsyncIterator[str]:
    """The same in a process of its own, for as long as the block runs; the URL of it."""
    async with python(
        "-m", "loadtests.overload.slow_store", str(store_socket), str(path), str(hold_s), stdout=PIPE
    ) as process:
        assert process.stdout is not None
        if not await process.stdout.readline():
            raise LoadTestError("the proxy in front of the store did not start")
        yield f"unix://{path}"


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
