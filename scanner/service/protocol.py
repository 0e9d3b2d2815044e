"""The HTTP server: aiohttp's low-level one, with our routes, our limits and our form for its errors."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from scanner.errors import ConfigurationError
from scanner.service.admission import Admission
from scanner.service.connection import HEAD_MAX_BYTES, LINE_MAX_BYTES, Protocol, respond
from scanner.service.guard import Guard, Origins
from scanner.service.metrics import Cells
from scanner.service.problems import JSON, Answer, problem
from scanner.settings import Settings

log = logging.getLogger("scanner")

# One less, because aiohttp's error tells the limit that was passed, but not which.
FIELD_MAX_BYTES = LINE_MAX_BYTES - 1
HEADERS_MAX = 64
LINGERING_S = 2.0
READ_BUFFER_BYTES = 1 << 14

Handler = Callable[[str, bytes, str, str], Awaitable[Answer]]
"""Answers the `Authorization` header, the body, the `traceparent` header and the path's parameter."""


class Route(NamedTuple):
    """One method of a path. ``body_max_bytes`` is the settings' where it is None; ``admit`` may refuse an
    `Authorization` header before the body is read; ``guard`` holds back who has failed too often."""

    handler: Handler
    has_body: bool = True
    body_max_bytes: int | None = None
    may_be_empty: bool = False
    admit: Callable[[str], Answer | None] | None = None
    guard: Guard | None = None


Routes = Mapping[str, Mapping[str, Route]]
"""By path, then by method. A path may have one parameter, a whole segment, as in `/v1/codes/{code}`."""


class _Pattern(NamedTuple):
    """A path with a parameter: what stands before it, and behind."""

    prefix: str
    suffix: str
    methods: Mapping[str, Route]

    @classmethod
    def of(cls, path: str, methods: Mapping[str, Route]) -> "_Pattern":
        prefix, _, rest = path.partition("{")
        return cls(prefix, rest.partition("}")[2], methods)

    def parameter(self, path: str) -> str | None:
        """The parameter as it stands in the path, where the path is one of these."""
        raw = path[len(self.prefix) : len(path) - len(self.suffix)]
        fits = raw and "/" not in raw and path == self.prefix + raw + self.suffix
        return raw if fits else None


class Server(web.Server):
    """aiohttp's server over our protocol, our routes and our limits."""

    def __init__(
        self,
        routes: Routes,
        cells: Cells,
        settings: Settings,
        admission: Admission,
        origins: Origins,
        connection: Callable[..., Protocol] = Protocol,
    ) -> None:
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
            read_bufsize=READ_BUFFER_BYTES,
        )
        self.use(routes)
        self.cells = cells
        self.admission = admission
        self.origins = origins
        self.drains = False
        self.head_timeout_s = min(settings.head_timeout_ms / 1000, settings.keepalive_timeout_s)
        self.body_timeout_s = settings.body_timeout_ms / 1000
        self._connection = connection
        self._body_max = settings.body_max_bytes

    def use(self, routes: Routes) -> None:
        """Has requests answered by these from now on: the same ones with other keys. An answer that is begun
        is finished."""
        self._routes = {path: methods for path, methods in routes.items() if "{" not in path}
        self._patterns = [_Pattern.of(path, methods) for path, methods in routes.items() if "{" in path]

    def __call__(self) -> web.RequestHandler:
        return self._connection(self, loop=self._loop, **self._kwargs)

    def drain(self) -> None:
        """From now on each connection is closed after its next answer, which says so."""
        self.drains = True
        for connection in self.connections:
            if isinstance(connection, Protocol):
                connection.drain()

    def has_room(self) -> bool:
        """Whether another connection may come."""
        return self.admission.has_room_for(len(self._connections))

    def _request(
        self, message: RawRequestMessage, payload: StreamReader, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._body_max
        )

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        began = time.perf_counter()
        try:
            if self.admission.is_late(time.monotonic()):
                answer = problem("overloaded")
            else:
                answer = await self._route(request)
        except Exception:
            log.exception("a request failed")
            answer = problem("internal_error")
        self.cells.observe(answer.outcome, time.perf_counter() - began)
        response = respond(answer)
        if self.drains:
            response.force_close()
        return response

    async def _route(self, request: web.BaseRequest) -> Answer:
        found = self._find(request)
        if found is None:
            return problem("not_found")
        methods, parameter = found
        route = methods.get(request.method)
        if route is None:
            return problem("method_not_allowed", headers={"Allow": ", ".join(methods)})
        headers = request.headers
        authorization = headers.get("Authorization", "")
        connection = request.protocol
        assert isinstance(connection, Protocol)
        address = connection.origin(",".join(headers.getall("X-Forwarded-For", ())))
        if route.guard and (held := route.guard.refuses(authorization, address)):
            return held
        if route.admit and (refused := route.admit(authorization)):
            return refused
        if connection.reads_much and (
            sum(len(name) + len(value) for name, value in request.raw_headers) > HEAD_MAX_BYTES
        ):
            return problem("headers_too_large")
        body = await self._read(request, route) if route.has_body else b""
        if isinstance(body, Answer):
            return body
        # A body may be long in coming: who was revoked meanwhile must not be judged by the keys of before.
        if route.has_body and (found := self._find(request)):
            route = found[0][request.method]
        answer = await route.handler(authorization, body, headers.get("traceparent", ""), parameter)
        if route.guard:
            route.guard.judged(authorization, address, answer.outcome)
        return answer

    def _find(self, request: web.BaseRequest) -> tuple[Mapping[str, Route], str] | None:
        """The methods of a request's path; and its parameter, decoded, where it has one."""
        methods = self._routes.get(request.path)
        if methods is not None:
            return methods, ""
        path = request.rel_url.raw_path
        for pattern in self._patterns:
            raw = pattern.parameter(path)
            if raw is not None:
                try:
                    return pattern.methods, unquote(raw, errors="strict")
                except UnicodeDecodeError:
                    return None  # nothing has a name that is no text
        return None

    async def _read(self, request: web.BaseRequest, route: Route) -> bytes | Answer:
        """The whole body, or the refusal of it."""
        if request.content.is_eof():  # it came with the headers, as a phone sends it: it is there already
            return await self._read_whole(request, route)
        # However long it is said to be: as much as it may be is set aside until it is there.
        size = route.body_max_bytes or self._body_max
        if not self.admission.take(size):
            return problem("overloaded")
        try:
            return await self._read_whole(request, route)
        finally:
            self.admission.give(size)

    async def _read_whole(self, request: web.BaseRequest, route: Route) -> bytes | Answer:
        headers = request.headers
        if request.content_length is None and not request.can_read_body:
            return b"" if route.may_be_empty else problem("length_required")
        if route.body_max_bytes is not None:
            request = request.clone(client_max_size=route.body_max_bytes)
        if (request.content_length or 0) > (route.body_max_bytes or self._body_max):
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
            async with asyncio.timeout(self.body_timeout_s):
                return await request.read()
        except (TimeoutError, ConnectionError):  # too slow, or gone: then nobody reads the answer
            return problem("request_timeout", headers={"Connection": "close"})
        except RuntimeError:  # aiohttp's word where the client is gone before its body is waited for
            if request.transport is not None:
                raise
            return problem("request_timeout", headers={"Connection": "close"})
        except web.HTTPRequestEntityTooLarge:
            return problem("too_large")


def require_native_parser() -> None:
    """Refuses aiohttp's pure-Python parser: several request-smuggling advisories hit only that one."""
    if HttpRequestParser.__module__ != "aiohttp._http_parser":
        raise ConfigurationError("aiohttp runs without its C parser: install its binary wheel")
