"""Heads of every form, and several requests on one connection; more of what ``seeds.py`` has."""

from collections.abc import Iterator

from tests.fuzz.furnished import Hand
from tests.fuzz.seeds import HOST, JSON, LINE, TRACE, Seed, Steps, get, request, said, scan, senders

# More lines of a plain scan, those that hold a length in place of its own.
LINES: tuple[tuple[str, ...], ...] = (
    (TRACE,),
    (TRACE.upper(),),
    ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",),
    ("traceparent: x", "tracestate: a=b"),
    ("traceparent:",),
    (TRACE, TRACE),
    ("Connection: close",),
    ("Connection: keep-alive",),
    ("Connection: Keep-Alive", "Keep-Alive: timeout=5"),
    ("Connection: keep-alive, close",),
    ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    ("Upgrade: websocket",),
    ("Proxy-Connection: close",),
    ("Proxy-Connection: keep-alive",),
    ("Sec-WebSocket-Key1: x",),
    ("Expect: 100-continue",),
    ("Expect: 200-ok",),
    ("Content-Encoding: gzip",),
    ("Content-Encoding: identity",),
    ("Transfer-Encoding: chunked",),
    ("Transfer-Encoding: identity",),
    ("Transfer-Encoding : chunked",),
    ("Content-Length: 40", "Transfer-Encoding: chunked"),
    ("Content-Length: LENGTH", "Content-Length: LENGTH"),
    ("Content-Length: LENGTH", "Content-Length: 5"),
    ("Content-Length: LENGTH, LENGTH",),
    ("Content-Length: 000LENGTH",),
    ("Content-Length: 0000000LENGTH",),
    ("Content-Length: +LENGTH",),
    ("Content-Length: LENGTH ",),
    ("Content-Length:\tLENGTH",),
    ("Content-Length: -1",),
    ("Content-Length: 0x1",),
    ("Content-Length: 99999999999999999999",),
    ("Content-Length:",),
    ("Content-Length: 0",),
    ("Content_Length: 5",),
    ("content-LENGTH: LENGTH",),
    ("Trailer: x",),
    ("TE: trailers",),
    ("X-Folded: a", "\tb"),
    ("X-Folded: a", " b"),
    ("X-Spaced : a",),
    ("X-Tab:\ta\tb\t",),
    ("X-Bytes: \udc80\udcff",),
    ("X-Text: 油漆",),
    ("X-Null: a\0b",),
    ("X-Bell: \a",),
    ("X-Delete: \x7f",),
    ("X-Return: a\rb",),
    ("X-Line: a\nX-More: b",),
    ("X:a",),
    (": a",),
    ("X",),
    ("X-(a): b",),
    ("X.a: b", "X!#$%&'*+^`|~: b"),
    ("X-A: 1", "x-a: 2"),
    ("Host: other.test",),
    ("Cookie: a=b; c=d", "User-Agent: Mozilla/5.0 (Linux; Android 14) MicroMessenger/8.0.50"),
    ("Referer: https://servicewechat.com/wx/1/page-frame.html", "Accept: */*", "Accept-Encoding: gzip, br"),
    tuple(f"X-{number}: {number}" for number in range(36)),
    tuple(f"X-{number}: {number}" for number in range(60)),
    tuple(f"X-{number}: {number}" for number in range(61)),
    ("X-Long: " + "x" * 2990,),
    ("X-Long: " + "x" * 4080,),
    ("X-Long: " + "x" * 4090,),
    ("X-" + "x" * 4090 + ": 1",),
    ("X-" + "x" * 1600 + ": 1", "Y-" + "y" * 2500 + ": 1"),
    ("X-" + "x" * 200 + ": 1", "Y: " + "y" * 2950),
    tuple(f"X-{number}: {'x' * 1000}" for number in range(9)),
)
STARTS = (
    "POST /v1/scans?c=1 HTTP/1.1",
    "POST /v1/scans# HTTP/1.1",
    "POST /v1/scans/ HTTP/1.1",
    "POST //v1/scans HTTP/1.1",
    "POST /v1/%73cans HTTP/1.1",
    "POST /v1/../v1/scans HTTP/1.1",
    "POST http://scanner.test/v1/scans HTTP/1.1",
    "POST v1/scans HTTP/1.1",
    "POST * HTTP/1.1",
    "POST /v1/scans HTTP/1.0",
    "POST /v1/scans HTTP/1.2",
    "POST /v1/scans HTTP/2.0",
    "POST /v1/scans http/1.1",
    "POST /v1/scans",
    "POST  /v1/scans HTTP/1.1",
    "POST /v1/scans  HTTP/1.1",
    "POST /v1/scans HTTP/1.1 ",
    "POST\t/v1/scans\tHTTP/1.1",
    "post /v1/scans HTTP/1.1",
    "PUT /v1/scans HTTP/1.1",
    "GET /v1/scans HTTP/1.1",
    "OPTIONS /v1/scans HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "HEAD /v1/scans HTTP/1.1",
    "CONNECT scanner.test:80 HTTP/1.1",
    "BREW /v1/scans HTTP/1.1",
    "POST /v1/draws HTTP/1.1",
    "POST /nowhere HTTP/1.1",
    "POST /\x80 HTTP/1.1",
    "POST /v1/scans\0 HTTP/1.1",
    f"POST /v1/scans?{'x' * 2990} HTTP/1.1",
    f"POST /v1/scans?{'x' * 4090} HTTP/1.1",
    f"\r\n{LINE}",
    f"\n{LINE}",
    f" {LINE}",
)
HOSTS = (
    "",
    "Host:",
    "Host: [::1]:8080",
    "Host: a b",
    "Host: a/b",
    "Host: 127.0.0.1:1",
    "Host: scänner",
    "host:x",
)
TYPES = (
    "",
    "Content-Type:",
    "content-type: APPLICATION/JSON",
    JSON + "; charset=utf-8",
    "Content-Type: text/plain",
)


def forms() -> Iterator[tuple[str, Seed]]:
    for number, lines in enumerate(LINES):

        def of(hand: Hand, lines: tuple[str, ...] = lines) -> Steps:
            length = str(len(scan(hand)) - scan(hand).index(b"\r\n\r\n") - 4)
            return [scan(hand, *(line.replace("LENGTH", length) for line in lines))]

        yield f"lines {number}", of
    for start in STARTS:
        yield f"start {start[:40]!r}", lambda hand, start=start: [changed(hand, LINE, start)]
    for host in HOSTS:
        yield f"host {host!r}", lambda hand, host=host: [changed(hand, HOST + "\r\n", host and host + "\r\n")]
    for form in TYPES:
        yield f"type {form!r}", lambda hand, form=form: [changed(hand, JSON + "\r\n", form and form + "\r\n")]
    yield "bare LF", lambda hand: [scan(hand).replace(b"\r\n", b"\n")]
    yield "one bare LF", lambda hand: [scan(hand).replace(b"\r\n", b"\n", 2)]
    yield "chunked", lambda hand: [chunked(hand)]
    yield "binary", lambda hand: [bytes(range(256)) * 4]
    yield "TLS", lambda hand: [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
    yield "preface", lambda hand: [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]


def changed(hand: Hand, old: str, new: str) -> bytes:
    assert old.encode() in scan(hand)
    return scan(hand).replace(old.encode(), new.encode("utf-8", "surrogateescape"), 1)


def chunked(hand: Hand) -> bytes:
    body = scan(hand).partition(b"\r\n\r\n")[2]
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return request(data, HOST, f"Authorization: Bearer {hand.token()}", JSON, "Transfer-Encoding: chunked")


def several(hand: Hand) -> Iterator[tuple[str, Steps]]:
    """What comes one after another, at once, in pieces, or within something else."""
    one, two, three = (scan(hand, k=k, channel="shop") for k in range(3))
    look = get(hand, f"/v1/codes/{hand.code()}")
    api = get(hand, "/openapi.json")
    close = scan(hand, "Connection: close")
    head, _, body = one.partition(b"\r\n\r\n")
    wrong = [scan(hand, lot="pin", pin="999999" if hand.pin() != "999999" else "999998")] * 5
    half = len(one) // 2
    yield "again", [one, None, one]
    yield "again at once", [one + one]
    yield "again, not waiting", [one, one]
    yield "claimed", [one, None, scan(hand, who=1)]
    yield "limit of the day", [scan(hand, lot="limited"), None, scan(hand, lot="limited", k=1)]
    yield "wrong pins", [step for one in wrong for step in (one, None)][:-1]
    yield "right pin after wrong ones", [*wrong[:1], None, scan(hand, lot="pin", pin=hand.pin())]
    yield "two at once", [one + two]
    yield "five at once", [one + two + three + one + two]
    yield "forty at once", [one * 40]
    yield "forty, not waiting", [one] * 40
    yield "five, not waiting", [one, two, three, one, two]
    yield "five, waiting", [one, None, two, None, three, None, one, None, two]
    yield "forged before and after", [*(scan(hand, code="0" * 24), one), None, scan(hand, code="0" * 24)]
    yield "looked up before and after", [look, None, one, None, look, None, two]
    yield "description before", [api, None, one]
    yield "description and scan at once", [api + one, None, two]
    yield "head of a look-up", [get(hand, f"/v1/codes/{hand.code()}", method="HEAD"), None, one]
    yield "closing first", [close, None, one]
    yield "closing first, not waiting", [close + one, two]
    yield "closing second", [one, close, two]
    yield "garbage behind", [one + b"garbage"]
    yield "garbage after", [one, b"garbage\r\n\r\n"]
    yield "empty lines after", [one, None, b"\r\n", two, b"\r\n\r\n" + three]
    yield "one and a half", [one + two[:half], two[half:]]
    yield "half, and one and a half", [one[:half], one[half:] + two[:half], None, two[half:], None, three]
    yield "head and body", [head + b"\r\n\r\n", body, None, two]
    yield "head, and body with another", [head + b"\r\n\r\n", body + two, None, three]
    yield "byte by byte", [one[at : at + 1] for at in range(len(one))]
    yield "head that stays away", [one[:half]]
    yield "body that stays away", [one[:-3]]
    yield "cut in a value, then whole", [b"POST /v1/scans HTTP/1.1\r\nHost: a\r\nX: ", one, None, two]
    yield "cut in a name, then whole", [b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nX", one, None, two]
    yield "cut in the line, then whole", [b"GET /", one, None, two]
    yield "empty line, then whole", [b"\r\n", one, None, two]
    for path in ("/v1/draws", "/nowhere", "/v1/scans", "/v1/shares/x/claims"):
        lines = (HOST, f"Authorization: Bearer {hand.token()}", JSON)
        outer = request(one, *lines, start=f"POST {path} HTTP/1.1")
        at = len(outer) - len(one)
        yield f"within {path}", [outer[:at], one, None, two]
        yield f"within {path}, one more", [outer[:at], one + two, None, three]
        yield f"within {path}, split", [outer[:at], one[:half], one[half:], two]
        expect = request(one, *lines, "Expect: 100-continue", start=f"POST {path} HTTP/1.1")
        yield f"within {path} as expected", [expect[: -len(one)], one, None, two]
        sized = b"%x\r\n" % len(one)
        head = request(sized, *lines, "Transfer-Encoding: chunked", start=f"POST {path} HTTP/1.1")
        yield f"within chunks to {path}", [head, one, b"\r\n0\r\n\r\n", None, two]
    upgraded = scan(hand, "Connection: upgrade", "Upgrade: websocket")
    yield "after an upgrade", [upgraded, None, one, None, two]
    yield "after HTTP/1.0", [changed(hand, "HTTP/1.1", "HTTP/1.0"), None, one]


def corpus(hand: Hand) -> list[tuple[str, Seed]]:
    """Every seed, by its name; the hand is used for nothing else."""
    found = [*said(), *senders(), *forms()]
    for name, _ in several(hand):
        found.append((name, lambda hand, name=name: dict(several(hand))[name]))
    return found
