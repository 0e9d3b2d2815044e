"""Each limit by itself, on both lanes: what is silent, slow, large or too much ends, with an answer where one
can be given, and nobody beside it is disturbed. And what answers give away: nothing.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import orjson
import pytest
from aiohttp import web

from scanner.errors import ConfigurationError
from scanner.service.connection import LINE_MAX_BYTES
from scanner.service.metrics import ROW_BYTES, Cells, ServiceCollector
from scanner.service.operations import operations_app
from scanner.service.protocol import HEADERS_MAX, require_native_parser
from tests.brand import Brand, campaign_toml
from tests.phone import Phone, http_request, scan_request
from tests.running import eventually
from tests.service.here import serving_here
from tests.service.pools import http_get

GENEROUS_MS = 600_000
HEAD = b"POST /v1/scans HTTP/1.1\r\nHost: scanner.test\r\nContent-Type: application/json\r\n"
CHUNK = b"2000\r\n" + b"x" * 8192 + b"\r\n"
PATIENCE_S = 30
"""Longer than anything here takes: what is still open then stays open."""

Serve = Callable[..., AbstractAsyncContextManager[int]]


@pytest.fixture(params=["fast lane", "aiohttp"])
async def serve(brand: Brand, request: pytest.FixtureRequest) -> Serve:
    """Serves the brand with other limits; by default they are generous."""
    await brand.apply(campaign_toml())

    def run(**limits: object) -> AbstractAsyncContextManager[int]:
        patient = {"head_timeout_ms": GENEROUS_MS, "body_timeout_ms": GENEROUS_MS, "keepalive_timeout_s": 600}
        return serving_here(brand, fast_lane=request.param == "fast lane", **(patient | limits))

    return run


class Wire:
    """A plain connection: what is written, and all that comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.write = writer.write

    async def rest(self) -> bytes:
        """All that still comes until the server closes."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                return await self.reader.read()
        return b""


@asynccontextmanager
async def wire_to(port: int, *first: bytes) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for data in first:
            writer.write(data)
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


async def works(brand: Brand, port: int) -> bool:
    """Whether somebody else is served."""
    async with Phone(port) as phone:
        return (await phone.send(scan_request(brand.token("alice"), "0" * 24))).outcome == "unknown_code"


@pytest.mark.parametrize("first", [b"", b"POST /v1/sc", HEAD, HEAD + b"X-Slow: ", b"\r\n"], ids=repr)
async def test_who_does_not_finish_a_head_is_closed(brand: Brand, serve: Serve, first: bytes) -> None:
    async with serve(head_timeout_ms=200) as port, wire_to(port, first) as wire:
        assert await works(brand, port)
        assert await wire.rest() == b""  # closed, and without a word


async def test_a_head_that_trickles_is_no_head_in_time(serve: Serve) -> None:
    async with serve(head_timeout_ms=300) as port, wire_to(port, HEAD) as wire:
        ended = asyncio.create_task(wire.rest())
        async with asyncio.timeout(PATIENCE_S):
            while not ended.done():
                wire.write(b"X")
                await asyncio.sleep(0.02)
        assert await ended == b""


async def test_control_in_a_generous_time_it_is_answered(brand: Brand, serve: Serve) -> None:
    request = scan_request(brand.token("alice"), "0" * 24)
    async with serve() as port, wire_to(port) as wire:
        for at in range(0, len(request), 40):
            wire.write(request[at : at + 40])
            await asyncio.sleep(0.02)  # each its own read; longer in all than the limits above
        assert (await wire.reader.readline()).startswith(b"HTTP/1.1 404 ")


async def test_a_next_request_that_is_begun_and_not_finished_is_closed(brand: Brand, serve: Serve) -> None:
    async with serve(head_timeout_ms=200) as port, Phone(port) as phone:
        assert (await phone.send(scan_request(brand.token("alice"), "0" * 24))).outcome == "unknown_code"
        phone._writer.write(HEAD[:30])
        async with asyncio.timeout(PATIENCE_S):
            assert await phone._reader.read() == b""


async def test_a_body_that_does_not_come_is_answered_and_closed(brand: Brand, serve: Serve) -> None:
    request = scan_request(brand.token("alice"), "0" * 24)
    async with serve(body_timeout_ms=200) as port, wire_to(port, request[:-5]) as wire:
        assert await works(brand, port)
        answer = await wire.rest()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nConnection: close\r\n" in answer


async def test_an_idle_connection_is_closed_and_one_that_is_used_is_not(brand: Brand, serve: Serve) -> None:
    request = scan_request(brand.token("alice"), "0" * 24)
    async with (
        serve(keepalive_timeout_s=2, head_timeout_ms=500) as port,
        Phone(port) as idle,
        Phone(port) as busy,
    ):
        await idle.send(request)
        ended = asyncio.create_task(idle._reader.read())
        async with asyncio.timeout(PATIENCE_S):
            while not ended.done():
                assert (await busy.send(request)).status == 404
                await asyncio.sleep(0.05)
        assert await ended == b""


async def ask_on(one: socket.socket, request: bytes) -> None:
    """Sends the request again and again, and reads nothing."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await loop.sock_sendall(one, request)
            await asyncio.sleep(0.01)


async def test_who_does_not_take_answers_is_cut_off(brand: Brand, serve: Serve) -> None:
    """Answers pile up in the system and then here; neither without end."""
    async with serve(body_timeout_ms=200) as port:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.setblocking(False)
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
            with pytest.raises(ConnectionError):  # the server has had enough
                await ask_on(one, http_get("/openapi.json"))
        assert await works(brand, port)


async def test_connections_are_counted_and_one_too_many_is_told_so(brand: Brand, serve: Serve) -> None:
    async with serve(connections_max=2) as port:
        async with wire_to(port), Phone(port) as second:
            assert (await second.send(scan_request(brand.token("alice"), "0" * 24))).status == 404
            async with wire_to(port) as third:
                answer = await third.rest()
                assert answer.startswith(b"HTTP/1.1 503 ")
                head, _, body = answer.partition(b"\r\n\r\n")
                assert b"connection: close" in head.lower()
                assert orjson.loads(body)["outcome"] == "overloaded"
            assert (await second.send(scan_request(brand.token("alice"), "0" * 24))).status == 404

        async def is_free() -> bool:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                return await works(brand, port)
            return False

        await eventually(is_free)


@pytest.mark.parametrize(
    ("request_", "status", "outcome"),
    [
        (http_get("/" + "x" * LINE_MAX_BYTES), 414, "uri_too_long"),
        (http_request(b"{}", X_Long="x" * LINE_MAX_BYTES), 431, "headers_too_large"),
        (http_request(b"{}", **{f"X-{n}": "x" for n in range(HEADERS_MAX + 1)}), 431, "headers_too_large"),
        (http_request(b"{}", **{f"X-{n}": "x" * 3000 for n in range(10)}), 431, "headers_too_large"),
        (http_request(b" " * 9000), 413, "too_large"),
        (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", 400, "malformed"),
        (HEAD + b"Content-Length: 999999999999\r\n\r\n", 413, "too_large"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "malformed"),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "malformed"),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400, "malformed"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 2 * CHUNK + b"0\r\n\r\n", 413, "too_large"),
    ],
    ids=[
        "line", "field", "fields", "head", "body", "none", "length", "minus", "lengths", "smuggled", "chunks",
    ],
)  # fmt: skip
async def test_what_is_too_large_is_answered(
    brand: Brand, serve: Serve, request_: bytes, status: int, outcome: str
) -> None:
    authorized = request_.replace(b"\r\n", f"\r\nAuthorization: Bearer {brand.token('a')}\r\n".encode(), 1)
    async with serve() as port, Phone(port) as phone:
        async with asyncio.timeout(PATIENCE_S):
            reply = await phone.send(authorized)
        assert (reply.status, reply.outcome) == (status, outcome)
        assert await works(brand, port)


async def test_a_flood_of_requests_on_one_connection_is_answered_in_order(brand: Brand, serve: Serve) -> None:
    lot = await brand.lot(300)
    requests = [scan_request(brand.token("alice"), code) for code in brand.codes(lot, range(300))]
    async with serve() as port, Phone(port) as phone:
        phone._writer.write(b"".join(requests))
        assert await works(brand, port)  # beside it
        async with asyncio.timeout(PATIENCE_S):
            outcomes = {(await phone.receive()).outcome for _ in requests}
        assert outcomes == {"accepted"}
    assert not (await brand.audit()).differences


ALWAYS = {"content-type", "server", "content-length", "date"}
NOW_AND_THEN = {"connection", "retry-after", "www-authenticate", "allow"}


async def test_answers_give_nothing_away(brand: Brand, serve: Serve) -> None:
    lot = await brand.lot(3)
    token, code = brand.token("alice"), brand.code(lot, 0)
    requests = [
        scan_request(token, code),
        scan_request(token, code[:-1] + "0"),
        scan_request("x", code),
        http_request(b"{", authorization=f"Bearer {token}"),
        http_get("/v1/scans"),
        http_get("/etc/passwd"),
        http_get("/v1/scans", method="DEBUG"),
        http_get("/openapi.json"),
        b"nonsense\r\n\r\n",
    ]
    async with serve() as port:
        replies = []
        for request in requests:
            async with Phone(port) as phone:
                replies.append(await phone.send(request))
        # The store's own words, when it says no.
        await brand.store.client.execute_command("SET", brand.store.keys.claims(lot, 0), "x")
        await brand.store.client.execute_command("CONFIG", "SET", "maxmemory", "1")
        try:
            async with Phone(port) as phone:
                replies.append(await phone.send(scan_request(token, brand.code(lot, 1))))
        finally:
            await brand.store.client.execute_command("CONFIG", "SET", "maxmemory", "0")
    assert {reply.status for reply in replies} >= {200, 400, 401, 404, 405, 503}
    for reply in replies:
        assert ALWAYS <= set(reply.headers) <= ALWAYS | NOW_AND_THEN
        assert reply.headers["server"] == "scanner"
        text = reply.body.decode().lower()
        for word in ("python", "aiohttp", "traceback", "redis", "valkey", "lua", "oom", "wrongtype"):
            assert word not in text, (word, text)


async def test_the_operations_port_gives_no_versions_away() -> None:
    rows = [Cells(bytearray(ROW_BYTES), 0)]
    runner = web.AppRunner(operations_app(rows, ServiceCollector(rows), lambda: 1), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with Phone(runner.addresses[0][1]) as phone:
            for path in ("/livez", "/readyz", "/metrics", "/nothing"):
                assert (await phone.send(http_get(path))).headers["server"] == "scanner"
    finally:
        await runner.cleanup()


def test_the_pure_python_parser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_native_parser()
    from aiohttp.http_parser import HttpRequestParserPy

    monkeypatch.setattr("scanner.service.protocol.HttpRequestParser", HttpRequestParserPy)
    with pytest.raises(ConfigurationError, match="C parser"):
        require_native_parser()
