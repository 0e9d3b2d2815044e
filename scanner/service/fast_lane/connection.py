"""A connection that offers each read to the fast lane first."""

from typing import Any
from typing import Protocol as Interface

from scanner.service.connection import Protocol
from scanner.service.protocol import Server


class Lane(Interface):
    """What takes whole requests."""

    def received(self, connection: "FastProtocol", data: bytes, /) -> bool:
        """Whether the bytes were taken; else they are aiohttp's, and ``owed`` says what is known of them."""


class FastProtocol(Protocol):
    """``scan`` is what is outstanding here, and ``held`` the one read that came meanwhile.

    ``owed`` are the bytes after which the next request begins, once aiohttp was handed some of one: 0 is
    between two requests, -1 is not known, and never will be.
    """

    __slots__ = ("held", "lane", "owed", "scan")

    def __init__(self, lane: Lane, server: Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self.lane = lane
        self.scan: object = None
        self.held = b""
        self.owed = 0

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp's own way to go on with what it has
            super().data_received(data)
            return
        is_at_request = self.owed == 0
        if self.lane.received(self, data):
            return
        count = self._request_count
        super().data_received(data)
        if self._request_count != count + is_at_request:
            self.owed = -1  # aiohttp read it otherwise

    def pay(self, received: int) -> None:
        """aiohttp is given so many bytes of the request that it has begun."""
        self.owed = self.owed - received if received <= self.owed else -1

    def hold(self, data: bytes) -> None:
        """Keeps what came before the answer; no more is read until then."""
        if not self.server.admission.take(len(data)):
            self.force_close()
            return
        self.held += data
        self._pause_transport_reading()

    def go_on(self) -> None:
        """After an answer, where something else waits: the end, or the next request."""
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self._close or self._force_close:
            self.close()
            if self.transport is not None:
                self.transport.close()
                if self.transport.get_write_buffer_size():
                    self._expect_reader()
            return
        self._next_keepalive_close_time = self._loop.time() + self.keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        if self.held:
            held = self.held
            self._let_go()
            self._resume_transport_reading()
            self.data_received(held)

    def drain(self) -> None:
        self.owed = -1  # the rest is aiohttp's

    def close(self) -> None:
        self._close = True
        if self.scan is None:  # else after its answer
            super().close()

    def _process_keepalive(self) -> None:
        if self.scan is None:
            super()._process_keepalive()
        else:
            self._keepalive_handle = None  # not idle; go_on() sets it again

    def connection_lost(self, exc: BaseException | None) -> None:
        self._let_go()
        super().connection_lost(exc)

    def _let_go(self) -> None:
        if self.held:
            self.server.admission.give(len(self.held))
            self.held = b""
