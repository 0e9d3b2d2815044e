"""Paths with a parameter, and routes that differ in what they read."""

import pytest

from tests.phone import Phone
from tests.service.echo import BODY_MAX, LARGE_MAX, get, head, post, refused, serves


async def test_a_get_is_asked_for_no_body(phone, echo):
    for lines in ((), ("Content-Type: text/plain",), ("Content-Length: 0",)):
        reply = await phone.send(get("/things/a", *lines, "Authorization: Bearer x", "traceparent: t"))
        assert (reply.status, reply.body) == (200, repr(("Bearer x", b"", "t", "a")).encode())
    assert await serves(phone)
    # One that comes all the same is not read.
    assert (await phone.send(get("/things/a", "Content-Length: 3") + b"[1]")).status == 200
    assert echo.handled == 5


@pytest.mark.parametrize(
    ("raw", "parameter"),
    [
        ("a", "a"),
        ("a%2Fb%3Fc%23d%25", "a/b?c#d%"),
        ("%E7%99%BD", "白"),
        ("a+b", "a+b"),
        ("%252F", "%2F"),
        ("%zz", "%zz"),
        ("..", ".."),
        ("parts", "parts"),
        ("%00", "\x00"),
    ],
)
async def test_a_parameter_is_one_segment_decoded_once(phone, raw, parameter):
    for path, method in ((f"/things/{raw}", "GET"), (f"/things/{raw}?x=/y", "GET")):
        reply = await phone.send(get(path, method=method))
        assert reply.body == repr(("", b"", "", parameter)).encode()
    reply = await phone.send(post(path=f"/things/{raw}/parts"))
    assert reply.body == repr(("", b"{}", "", parameter)).encode()
    absolute = await phone.send(get(f"http://other.test/things/{raw}"))
    assert absolute.body == repr(("", b"", "", parameter)).encode()


@pytest.mark.parametrize(
    "path",
    [
        "/things",
        "/things/",
        "/things//",
        "/things/a/",
        "/things/a/b",
        "/things//parts",
        "/things/a/b/parts",
        "/things/a/parts/",
        "/things/%FF",
        "/things%2Fa",
        "/Things/a",
        "/x/things/a",
        "/things/{thing}/parts/x",
    ],
)
async def test_what_is_no_such_path_is_not_found(phone, path):
    for request in (get(path), post(path=path)):
        await refused(phone, request, "not_found")
    assert await serves(phone)


async def test_a_path_with_a_parameter_has_its_methods(phone):
    reply = await refused(phone, get("/things/a", method="DELETE"), "method_not_allowed")
    assert reply.headers["allow"] == "GET, PUT"
    reply = await refused(phone, get("/things/a/parts"), "method_not_allowed")
    assert reply.headers["allow"] == "POST"


async def test_a_body_may_be_left_out_where_the_route_says_so(phone):
    nothing = repr(("", b"", "", "a")).encode()
    for lines in ((), ("Content-Length: 0",), ("Transfer-Encoding: chunked",)):
        request = head(*lines, path="/things/a/parts") + (b"0\r\n\r\n" if "chunked" in str(lines) else b"")
        assert (await phone.send(request)).body == nothing
    await refused(phone, head(method="PUT", path="/things/a"), "length_required")
    await refused(phone, post(b"x" * (BODY_MAX + 1), path="/things/a/parts"), "too_large")


async def test_a_route_may_take_larger_bodies_than_others(port, echo):
    good = "Authorization: Bearer good"
    whole = b"x" * LARGE_MAX
    async with Phone(port) as phone:
        assert (await phone.send(post(whole, good, path="/large"))).body == whole
        parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (whole[:-9], whole[-9:], b""))
        request = head("Transfer-Encoding: chunked", good, path="/large") + parts
        assert (await phone.send(request)).body == whole
        await refused(phone, head(f"Content-Length: {LARGE_MAX + 1}", good, path="/large"), "too_large")
    async with Phone(port) as phone:
        assert await serves(phone)
        await refused(phone, post(b"x" * (BODY_MAX + 1)), "too_large")
    assert echo.handled == 3


async def test_a_route_may_refuse_before_the_body_is_read(port, echo):
    async with Phone(port) as phone:
        # The body never comes, and nobody waits for it.
        await refused(phone, head(f"Content-Length: {LARGE_MAX}", path="/large"), "forbidden")
    async with Phone(port) as phone:
        await refused(phone, post(b"{}", "Authorization: Bearer bad", path="/large"), "forbidden")
        assert await serves(phone)
    assert echo.handled == 1
