"""A TCP proxy before the store that loses replies: the request is forwarded and executed."""

import asyncio
from pathlib import Path


class Proxy:
    """``replies_to_drop``: how many of the next replies are lost, each with its connection."""

    def __init__(self, store_socket: str | Path) -> None:
        self._store_socket = str(store_socket)
        self._tasks: set[asyncio.Task[None]] = set()
        self.replies_to_drop = 0
        self.replies_dropped = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        from_store, to_store = await asyncio.open_unix_connection(self._store_socket)
        forward = asyncio.create_task(_copy(reader, to_store))
        try:
            while data := await from_store.read(1 << 16):
                if self.replies_to_drop:
                    self.replies_to_drop -= 1
                    self.replies_dropped += 1
                    break
                writer.write(data)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            forward.cancel()
            to_store.close()
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
