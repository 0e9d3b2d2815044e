"""The server's own answers, over real connections and on trivial routes."""

import asyncio

import pytest

from scanner.service.problems import JSON
from scanner.service.protocol import HEADERS_MAX
from tests.phone import Phone
from tests.running import PATIENCE_S
from tests.service.echo import BODY_MAX, chunked, head, post, refused, serves


async def test_answers_are_what_the_handler_gave_on_one_connection(phone, echo):
    for n, path in enumerate(("/echo", "/echo?x=/fail", "/echo")):
        reply = await phone.send(post(b"[%d]" % n, path=path))
        assert (reply.status, reply.body) == (200, b"[%d]" % n)
        assert (reply.headers["content-type"], reply.headers["server"]) == (JSON, "scanner")
    assert echo.handled == 3


async def test_there_is_nothing_elsewhere(phone):
    for path in ("/", "/echo/", "//echo", "/ECHO", "/echo/.."):
        await refused(phone, post(path=path), "not_found")
    assert await serves(phone)


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PATCH"])
async def test_a_wrong_method_is_told_the_right_ones(phone, method):
    reply = await refused(phone, head(method=method), "method_not_allowed")
    assert reply.headers["allow"] == "POST, PUT"


async def test_a_body_needs_a_length(phone):
    await refused(phone, head(), "length_required")
    assert (await phone.send(post(b""))).body == b""


async def test_a_body_has_a_most(phone, echo):
    assert (await phone.send(post(b"x" * BODY_MAX))).body == b"x" * BODY_MAX
    await refused(phone, head(f"Content-Length: {BODY_MAX + 1}"), "too_large")
    assert echo.handled == 1


async def test_a_chunked_body_has_the_same_most(port, echo):
    async with Phone(port) as phone:
        whole = b"x" * (BODY_MAX // 2)
        assert (await phone.send(chunked(whole, whole, b""))).body == whole * 2
        await refused(phone, chunked(whole, whole, b"x"), "too_large")
    assert echo.handled == 1


async def test_a_chunked_body_that_grows_past_it_is_refused_before_its_end(phone):
    phone._writer.write(chunked(b"x" * BODY_MAX))
    await phone._writer.drain()
    await refused(phone, b"1\r\nx\r\n", "too_large")


@pytest.mark.parametrize(
    "line",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: application/jsonx",
        "Content-Type: ;",
        "Content-Encoding: gzip",
    ],
)
async def test_a_body_is_plain_json(phone, line):
    await refused(phone, post(b"{}", line), "unsupported_media_type")


@pytest.mark.parametrize(
    "line",
    [
        "Content-Type: application/json; charset=utf-8",
        "Content-Type: Application/JSON",
        "Content-Encoding: identity",
    ],
)
async def test_other_spellings_of_plain_json_are_taken(phone, line):
    assert (await phone.send(post(b"{}", line))).status == 200


async def test_a_slow_body_is_given_up_and_the_connection_with_it(phone, echo):
    phone._writer.write(head("Content-Length: 4") + b"[1")  # slow, but not too slow
    assert (await phone.send(b"2]")).body == b"[12]"
    reply = await refused(phone, head("Content-Length: 20") + b"{", "request_timeout")
    assert reply.headers["connection"] == "close"
    assert echo.handled == 1


async def test_an_address_has_a_most(port):
    async with Phone(port) as phone:
        await refused(phone, post(path="/" + "a" * 4000), "not_found")
    async with Phone(port) as phone:
        await refused(phone, post(path="/" + "a" * 5000), "uri_too_long")


@pytest.mark.parametrize(
    "lines",
    [
        ["X: " + "a" * 5000],
        ["a" * 5000 + ": x"],
        [f"X-{n}: x" for n in range(HEADERS_MAX + 1)],
    ],
    ids=["value", "name", "number"],
)
async def test_headers_have_a_most(port, lines):
    async with Phone(port) as phone:
        await refused(phone, post(b"{}", *lines), "headers_too_large")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST http://[::1/echo HTTP/1.1\r\nHost: x\r\n\r\n",
        head("Content-Length: -2"),
        head("Content-Length: 0x2") + b"{}",
        head("Content-Length: 2", "Content-Length: 3") + b"{}",
        head("Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
        head("Transfer-Encoding: chunked") + b"zz\r\n{}\r\n",
        head("Transfer-Encoding: chunked") + b"2\r\n{}xx\r\n0\r\n\r\n",
    ],
    ids=lambda data: repr(data[-30:]),
)
async def test_what_is_not_http_is_malformed_and_ends_the_connection(port, echo, request_bytes):
    async with Phone(port) as phone:
        reply = await refused(phone, request_bytes, "malformed")
        assert "HTTP" in reply.data["detail"]
        assert await asyncio.wait_for(phone._reader.read(), PATIENCE_S) == b""
    assert echo.handled == 0
    async with Phone(port) as phone:
        assert await serves(phone)


async def test_a_fault_of_ours_is_told_without_details(phone, cells, caplog):
    reply = await refused(phone, post(path="/fail"), "internal_error")
    assert b"hunter2" not in reply.body
    assert b"RuntimeError" not in reply.body
    assert "hunter2" in caplog.text  # the log is where it belongs
    assert await serves(phone)
    assert cells.get("outcome.internal_error") == 1


async def test_a_refusal_leaves_the_connection_in_step(phone):
    for request in (
        post(b"[1]", path="/nothing"),
        post(b"[2]", "Content-Type: text/plain"),
        head(method="GET"),
    ):
        assert (await phone.send(request)).status >= 400
        assert await serves(phone)


async def test_an_old_client_gets_its_answer_and_the_end(port):
    async with Phone(port) as phone:
        reply = await phone.send(b"POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        assert (reply.status, reply.body) == (200, b"{}")
        assert await asyncio.wait_for(phone._reader.read(), PATIENCE_S) == b""


async def test_pipelined_requests_are_answered_in_order(phone):
    requests = [post(b"1"), post(path="/nothing"), post(b"2"), head(method="GET"), post(b"3")]
    phone._writer.write(b"".join(requests))
    replies = [await phone.receive() for _ in requests]
    assert [reply.status for reply in replies] == [200, 404, 200, 405, 200]
    assert [reply.body for reply in replies if reply.status == 200] == [b"1", b"2", b"3"]


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(phone):
    # RFC 9110, section 10.1.1: libcurl before 8.7 and .NET send this, and wait.
    phone._writer.write(head("Content-Length: 2", "Expect: 100-continue"))
    assert (await asyncio.wait_for(phone.receive(), PATIENCE_S)).status == 100
    assert (await phone.send(b"{}")).body == b"{}"


@pytest.mark.parametrize("cut", [0, 1, 20, 60, -1], ids=["at once", "line", "headers", "head", "body"])
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_client_that_hangs_up_midway_is_no_fault_of_ours(runner, port, cells, caplog, cut, end):
    async with Phone(port) as gone, Phone(port) as phone:
        gone._writer.write(post(b"x" * 100)[:cut])
        assert await serves(phone)  # so what was sent before has been read too
        gone.hang_up() if end == "abort" else gone._writer.close()
        assert await serves(phone)
    await runner.cleanup()  # ends when every request has
    assert cells.get("outcome.accepted") == 2
    assert cells.get("outcome.internal_error") == 0
    assert "Traceback" not in caplog.text


async def test_a_client_that_hangs_up_before_its_answer_leaves_the_server_working(port, echo, cells):
    async with Phone(port) as gone:
        gone._writer.write(post(path="/hold"))
        await asyncio.wait_for(echo.arrived.wait(), PATIENCE_S)
        gone.hang_up()
    echo.go_on.set()
    async with Phone(port) as phone:
        assert await serves(phone)
    assert cells.get("outcome.internal_error") == 0
