"""The HTTP server: aiohttp's low-level one, with our routes, our limits and our form for its errors."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from scanner.errors import ConfigurationError
from scanner.service.metrics import Cells
from scanner.service.problems import JSON, Answer, problem
from scanner.service.scans import Scans
from scanner.settings import Settings

log = logging.getLogger("scanner")

# A mini-program's request has some 500 bytes of headers, most of them the token.
LINE_MAX_BYTES = 4096
# One less, because aiohttp's error tells the limit that was passed, but not which.
FIELD_MAX_BYTES = LINE_MAX_BYTES - 1
HEADERS_MAX = 64
LINGERING_S = 2.0

Handler = Callable[[web.BaseRequest, bytes], Awaitable[Answer]]
Routes = Mapping[str, Mapping[str, Handler]]


class Protocol(web.RequestHandler):
    """One connection. What aiohttp's parser refuses gets an answer in our form, and no line in the log."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, LineTooLong):
            answer = problem("uri_too_long" if exc.args[1] == LINE_MAX_BYTES else "headers_too_large")
        elif "Too many headers" in str(exc):
            answer = problem("headers_too_large")
        elif status == 400:
            answer = problem("malformed", detail="the request is not HTTP/1.1 as this server reads it")
        else:
            log.error("a request failed", exc_info=exc)
            answer = problem("internal_error")
        if isinstance(self._manager, Server):
            self._manager.cells.observe(answer.outcome, 0.0)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        response = respond(answer)
        response.force_close()
        return response


class Server(web.Server):
    """aiohttp's server over our protocol, our routes and our limits."""

    def __init__(self, routes: Routes, cells: Cells, settings: Settings) -> None:
        super().__init__(
            self._answer,
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=settings.keepalive_timeout_s,
            max_line_size=LINE_MAX_BYTES,
            max_field_size=FIELD_MAX_BYTES,
            max_headers=HEADERS_MAX,
            lingering_time=LINGERING_S,
            auto_decompress=False,
        )
        self._routes = routes
        self.cells = cells
        self._body_max = settings.body_max_bytes
        self._body_timeout_s = settings.body_timeout_ms / 1000

    def __call__(self) -> web.RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)

    def _request(
        self, message: RawRequestMessage, payload: StreamReader, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._body_max
        )

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        began = time.perf_counter()
        try:
            answer = await self._route(request)
        except Exception:
            log.exception("a request failed")
            answer = problem("internal_error")
        self.cells.observe(answer.outcome, time.perf_counter() - began)
        return respond(answer)

    async def _route(self, request: web.BaseRequest) -> Answer:
        methods = self._routes.get(request.path)
        if methods is None:
            return problem("not_found")
        handler = methods.get(request.method)
        if handler is None:
            return problem("method_not_allowed", headers={"Allow": ", ".join(methods)})
        body = await self._read(request)
        return body if isinstance(body, Answer) else await handler(request, body)

    async def _read(self, request: web.BaseRequest) -> bytes | Answer:
        """The whole body, or the refusal of it."""
        headers = request.headers
        if request.content_length is None and not request.can_read_body:
            return problem("length_required")
        if (request.content_length or 0) > self._body_max:
            return problem("too_large")
        media_type = headers.get("Content-Type", JSON)
        if media_type != JSON and request.content_type != JSON:
            return problem("unsupported_media_type")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            return problem("unsupported_media_type")
        try:
            if headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # the answer itself is not begun
            if request.content.is_eof():  # it came with the headers, as a phone sends it: no timer for it
                return await request.read()
            async with asyncio.timeout(self._body_timeout_s):
                return await request.read()
        except (TimeoutError, ConnectionError):  # too slow, or gone: then nobody reads the answer
            return problem("request_timeout", headers={"Connection": "close"})
        except web.HTTPRequestEntityTooLarge:
            return problem("too_large")


def respond(answer: Answer) -> web.Response:
    response = web.Response(
        body=answer.body,
        status=answer.status,
        headers={"Content-Type": answer.content_type, "Server": "scanner", **answer.headers},
    )
    if "Connection" in answer.headers:
        response.force_close()
    return response


def routes(scans: Scans) -> Routes:
    async def post_scan(request: web.BaseRequest, body: bytes) -> Answer:
        headers = request.headers
        return await scans.answer(headers.get("Authorization", ""), body, headers.get("traceparent", ""))

    return {"/v1/scans": {"POST": post_scan}}


def require_native_parser() -> None:
    """Refuses aiohttp's pure-Python parser: several request-smuggling advisories hit only that one."""
    if HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise ConfigurationError("aiohttp runs without its C parser: install its binary wheel")
