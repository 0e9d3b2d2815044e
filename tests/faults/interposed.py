"""Somebody between the service and its store, who reads each command and may answer in the store's place."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import hiredis

Reply = Callable[[Sequence[bytes]], bytes | None]
"""The bytes to answer a command with; None lets the store answer it."""


def forwarded(_: Sequence[bytes]) -> None:
    """Every command is the store's."""


CONTAINERS = (b"CONFIG", b"FUNCTION", b"CLIENT", b"XINFO")


def name_of(command: Sequence[bytes]) -> str:
    """The command's name, with its subcommand where it has one."""
    return b" ".join(command[: 2 if command[0].upper() in CONTAINERS else 1]).decode().upper()


class Interposed:
    """``reply`` may be changed at any time. ``delay_s`` passes before each command. ``seen`` counts commands
    by name, and ``answered`` those of them that the store was not asked."""

    def __init__(self, store_socket: str | Path) -> None:
        self._store_socket = str(store_socket)
        self._tasks: set[asyncio.Task[None]] = set()
        self.reply: Reply = forwarded
        self.delay_s = 0.0
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def refuse(self, name: str, reply: bytes) -> None:
        """From now on every command of this name is answered with these bytes."""
        self.reply = lambda command: reply if name_of(command) == name else None

    def relent(self) -> None:
        self.reply = forwarded

    async def __aenter__(self) -> "Interposed":
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
        task.add_done_callback(self._tasks.discard)
        to_store = None
        try:
            from_store, to_store = await asyncio.open_unix_connection(self._store_socket)
            commands = hiredis.Reader()
            while data := await reader.read(1 << 16):
                commands.feed(data)
                while (command := commands.gets()) is not False:
                    said, name = self.reply(command), name_of(command)
                    self.seen[name] += 1
                    if self.delay_s:
                        await asyncio.sleep(self.delay_s)
                    if said is not None:
                        self.answered[name] += 1
                    else:
                        to_store.write(hiredis.pack_command(tuple(command)))
                        said = await _one_reply(from_store)
                    writer.write(said)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            if to_store is not None:
                to_store.close()


async def _one_reply(reader: asyncio.StreamReader) -> bytes:
    """The bytes of one reply of RESP2, as they came."""
    line = await reader.readuntil(b"\r\n")
    kind, count = line[:1], line[1:-2]
    if kind == b"$" and count != b"-1":
        return line + await reader.readexactly(int(count) + 2)
    if kind == b"*" and count != b"-1":
        return line + b"".join([await _one_reply(reader) for _ in range(int(count))])
    return line
