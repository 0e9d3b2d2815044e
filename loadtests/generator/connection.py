"""One keep-alive connection to the service: one request at a time, its answer read by Content-Length.

This is the generator's hot path. It stands on the bare protocol, because whatever it costs, the service that
is measured on the same machine has less.
"""

import asyncio
import re
from time import perf_counter
from typing import Protocol, cast

ANSWER_BYTES_MAX = 16 << 20
_LENGTH = b"\r\nContent-Length: "
_ANY_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_WITHOUT_BODY = (204, 304)


class Caller(Protocol):
    """Whoever sends over connections, and is told what became of it."""

    def answered(self, connection: "Connection", status: int, body: bytes) -> None: ...

    def lost(self, connection: "Connection", reason: str) -> None:
        """The connection is gone. ``reason`` is empty where no request was under way."""


class Connection(asyncio.Protocol):
    """``index`` and ``counts_from_s`` are of the request under way; times are of ``perf_counter``."""

    __slots__ = ("_caller", "_held", "_transport", "closes", "counts_from_s", "index", "is_busy", "sent_s")

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._held = b""
        self._transport: asyncio.Transport | None = None
        self.is_busy = False
        self.closes = False
        self.index = 0
        self.counts_from_s = self.sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, index: int, counts_from_s: float) -> None:
        assert self._transport is not None
        assert not self.is_busy
        self.is_busy = True
        self.index = index
        self.counts_from_s = counts_from_s
        self.sent_s = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return self._hold(data)
        try:
            status = int(data[9:12])
            stop = end + 4 + _body_bytes(data, end, status)
        except ValueError:
            return self.hang_up("unreadable answer")
        if len(data) < stop:
            return self._hold(data)
        if len(data) > stop or not self.is_busy or data[:7] != b"HTTP/1.":
            return self.hang_up("unreadable answer")
        self._held = b""
        self.is_busy = False
        self.closes = data[7:8] == b"0" or (
            data.find(b"onnection:", 0, end) > 0 and _CLOSES.search(data, 0, end) is not None
        )
        if self.closes and self._transport is not None:
            self._transport.close()
        return self._caller.answered(self, status, data[end + 4 :])

    def connection_lost(self, error: Exception | None) -> None:
        self._end("broken answer" if self._held else "connection closed")

    def hang_up(self, reason: str) -> None:
        """Ends the connection at once; the request under way, if there is one, has failed for this reason."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def _end(self, reason: str) -> None:
        """Says it once, whether the end came from here or from there."""
        if self._transport is None:
            return
        failed, self.is_busy = self.is_busy, False
        self._transport, self._held = None, b""
        self._caller.lost(self, reason if failed else "")

    def _hold(self, data: bytes) -> None:
        if len(data) > ANSWER_BYTES_MAX:
            return self.hang_up("answer too long")
        self._held = data
        return None


def _body_bytes(data: bytes, end: int, status: int) -> int:
    """The length of the body behind a head that ends at ``end``. Raises ValueError where nothing says it."""
    at = data.find(_LENGTH, 0, end)
    if at >= 0:
        return int(data[at + len(_LENGTH) : data.find(b"\r\n", at + len(_LENGTH))])
    found = _ANY_LENGTH.search(data, 0, end + 2)
    if found:
        return int(found[1])
    if status in _WITHOUT_BODY:
        return 0
    raise ValueError("no Content-Length")
