"""One connection's life on aiohttp's protocol: how long it may take, and how parser errors are answered."""

import asyncio
import logging
import time
from random import random
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web, web_protocol
from aiohttp.http_exceptions import LineTooLong

from scanner.service.guard import BY_PROXY
from scanner.service.heads import on_the_wire
from scanner.service.problems import Answer, problem

if TYPE_CHECKING:
    from scanner.service.protocol import Server

log = logging.getLogger("scanner")

# A mini-program's request has some 500 bytes of headers, most of them the token.
LINE_MAX_BYTES = 4096
HEAD_MAX_BYTES = 1 << 14
# Requests that are parsed ahead, each with its headers as objects: aiohttp's 32 would let who does not read
# the answers fill the memory. It has no parameter for it, and reads this at each connection.
web_protocol.MAX_MSG_QUEUE_SIZE = 2


class Protocol(web.RequestHandler):
    """One connection. A head is whole in time, an answer is taken in time, or the connection is closed.

    aiohttp closes what is idle for the keep-alive time, which is long, because phones come again. Here a new
    connection, and one that has begun to send a head, have the head's time instead, however they trickle.
    ``address`` is the key of where it comes from, or BY_PROXY, where each request says so; ``reads_much``
    says that heads larger than they may be could have come at once.
    """

    def __init__(self, server: "Server", **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self.peer, self.address = "", 0
        self.reads_much = False
        self._head_bytes = 0
        self._unread: asyncio.TimerHandle | None = None

    @property
    def server(self) -> "Server":
        return cast("Server", self._manager)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.server.has_room():
            super().connection_made(transport)
            self.peer, self.address = self.server.origins.of_peer(transport.get_extra_info("peername"))
            self._await_head()
            return
        # The one answer to no request: aiohttp's task and timers would cost more than the refusal does.
        assert isinstance(transport, asyncio.Transport)
        self._refuse(transport, "overloaded")
        transport.close()

    def origin(self, forwarded_for: str) -> int:
        """The key of a request's address, by its ``X-Forwarded-For``."""
        if self.address != BY_PROXY:
            return self.address
        return self.server.origins.of_request(self.peer, forwarded_for)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if len(data) > HEAD_MAX_BYTES:
            self.reads_much = True
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages:
            self._head_bytes = 0
        elif data:  # some of a head came, and not all of it
            if not self._head_bytes:
                self._await_head()
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES and self.transport is not None:
                self._refuse(self.transport, "headers_too_large")
                self.force_close()

    def _refuse(self, transport: asyncio.Transport, outcome: str) -> None:
        """Answers what is no request of aiohttp's."""
        answer = problem(outcome, headers={"Connection": "close"})
        self.server.cells.observe(answer.outcome, 0.0)
        transport.write(on_the_wire(answer, time.time()))

    async def start(self) -> None:
        try:
            await super().start()
        finally:
            if self.transport is not None and self.transport.get_write_buffer_size():
                self._expect_reader()  # closing waits for who does not read

    def drain(self) -> None:
        """The server drains: its answers say which is the last."""

    def _await_head(self) -> None:
        # Spread, so that connections that came together are not all closed at the same moment.
        due = self._loop.time() + self.server.head_timeout_s * (1 + random() / 5)  # noqa: S311
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
        self._next_keepalive_close_time = due
        self._keepalive_handle = self._loop.call_at(due, self._process_keepalive)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def force_close(self) -> None:
        transport = self.transport
        super().force_close()
        if transport is not None and transport.get_write_buffer_size():
            self._expect_reader(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        task, is_due = self._task_handler, self._waiter is not None and self._waiter.done()
        super().connection_lost(exc)
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        if task is not None and is_due:
            # A request came in this very turn: aiohttp's task would go on with it, on a connection without
            # its parts. Nothing of it has begun.
            task.cancel()

    def _expect_reader(self, transport: asyncio.Transport | None = None) -> None:
        """Who does not take an answer is not waited for longer than for a body."""
        transport = transport or self.transport
        if self._unread is None and transport is not None:
            self._unread = self._loop.call_later(self.server.body_timeout_s, transport.abort)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp's parser refuses gets an answer in our form, and no line in the log."""
        if isinstance(exc, LineTooLong):
            answer = problem("uri_too_long" if exc.args[1] == LINE_MAX_BYTES else "headers_too_large")
        elif "Too many headers" in str(exc):
            answer = problem("headers_too_large")
        elif status == 400:
            answer = problem("malformed", detail="the request is not HTTP/1.1 as this server reads it")
        else:
            log.error("a request failed", exc_info=exc)
            answer = problem("internal_error")
        self.server.cells.observe(answer.outcome, 0.0)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        response = respond(answer)
        response.force_close()
        return response


def respond(answer: Answer) -> web.Response:
    response = web.Response(
        body=answer.body,
        status=answer.status,
        headers={"Content-Type": answer.content_type, "Server": "scanner", **answer.headers},
    )
    if "Connection" in answer.headers:
        response.force_close()
    return response
