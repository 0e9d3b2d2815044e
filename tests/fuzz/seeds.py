"""Requests to begin with: by name, the steps of a connection. Good ones, bad ones, and several at once."""

from collections.abc import Callable, Iterator

import orjson

from tests.brand import PRODUCT
from tests.fuzz.furnished import STRANGERS, Hand

Steps = list[bytes | None]
Seed = Callable[[Hand], Steps]

BODY_MAX = 1024
"""The services' largest body, in bytes."""
LINE = "POST /v1/scans HTTP/1.1"
HOST, JSON = "Host: scanner.test", "Content-Type: application/json"
TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def request(body: bytes, *lines: str, start: str = LINE) -> bytes:
    """Lines that hold a length of their own get no other."""
    has_length = any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines)
    length = () if has_length else (f"Content-Length: {len(body)}",)
    return "\r\n".join((start, *lines, *length, "", "")).encode("utf-8", "surrogateescape") + body


def scan(hand: Hand, *lines: str, k: int = 0, who: int = 0, lot: str = "plain", **said: object) -> bytes:
    """A plain scan of one of the hand's codes."""
    body = orjson.dumps({"code": hand.code(lot, k), **said})
    return request(body, HOST, f"Authorization: Bearer {hand.token(who)}", JSON, *lines)


def by(hand: Hand, authorization: str, **said: object) -> bytes:
    """A scan with this ``Authorization`` line."""
    body = orjson.dumps({"code": hand.code(), **said})
    return request(body, HOST, *([authorization] if authorization else []), JSON)


def get(hand: Hand, path: str, *lines: str, method: str = "GET") -> bytes:
    head = (f"{method} {path} HTTP/1.1", HOST, f"Authorization: Bearer {hand.token()}", *lines, "", "")
    return "\r\n".join(head).encode()


# CODE is put in.
BODIES = (
    '{"code":"CODE"}',
    '{"code":"CODE","channel":"wx-mini"}',
    '{"channel":"shop","code":"CODE"}',
    '{"code":"CODE","channel":""}',
    '{"code":"CODE","channel":"WX"}',
    '{"code":"CODE","channel":"a b"}',
    '{"code":"CODE","channel":"abcdefghijabcdefghijabcdefghij12"}',
    '{"code":"CODE","channel":"abcdefghijabcdefghijabcdefghij123"}',
    '{"code":"CODE","channel":"shop\\n"}',
    '{"code":"CODE","channel":"店"}',
    '{"code":"CODE","channel":7}',
    '{"code":"CODE","channel":null,"pin":null,"location":null}',
    '{"code":"CODE","location":{"lat":31.23,"lng":121.47}}',
    '{"code":"CODE","location":{"lat":31,"lng":-0}}',
    '{"code":"CODE","location":{"lat":-0.0,"lng":1e-7}}',
    '{"code":"CODE","location":{"lat":1E1,"lng":0.1000000000000000055511151231257827}}',
    '{"code":"CODE","location":{"lat":90,"lng":180}}',
    '{"code":"CODE","location":{"lat":90.00000001,"lng":180}}',
    '{"code":"CODE","location":{"lat":1e999,"lng":0}}',
    '{"code":"CODE","location":{"lat":123456789012345678901234567890,"lng":0}}',
    '{"code":"CODE","location":{"lat":18446744073709551615,"lng":0}}',
    '{"code":"CODE","location":{"lat":1,"lng":2,"accuracy":3}}',
    '{"code":"CODE","location":{"lng":2,"lat":1,"lat":3}}',
    '{"code":"CODE","location":{"lat":"1","lng":2}}',
    '{"code":"CODE","location":{"lat":true,"lng":2}}',
    '{"code":"CODE","location":{"lat":null,"lng":2}}',
    '{"code":"CODE","location":{"lat":1}}',
    '{"code":"CODE","location":{}}',
    '{"code":"CODE","location":[1,2]}',
    '{"code":"CODE","location":"here"}',
    '{"code":"CODE","location":false}',
    '{"code":"CODE","location":NaN}',
    '{"code":"CODE","model":"x","more":{"a":[1,{"b":null}]},"":0}',
    '{"code":"none","code":"CODE"}',
    '{"code":"CODE","code":"none"}',
    '{"code":"CODE","channel":"shop","channel":"wx-mini"}',
    '{"\\u0063ode":"CODE"}',
    '{"code":"CODE","note":"\\ud83e\\uddff \\u0000 \\" 油漆 🎨"}',
    '{"code":"CODE","note":"\\ud800"}',
    '{"code":"CODE\\u0030"}',
    '{"code":"CODE\\u0000"}',
    '{"code":"CODE\\u00e9"}',
    ' \t\r\n{ "code" :\n"CODE" \t}\n ',
    '{"code":" CODE "}',
    '{"code":"CODE","pin":"123456"}',
    '{"code":"CODE","pin":"12345"}',
    '{"code":"CODE","pin":123456}',
    '{"code":"CODE","pin":"１２３４５６"}',
    '{"code":"CODE","pin":"12345\\n"}',
    '{"code":["CODE"]}',
    '{"code":null}',
    '{"code":7}',
    '{"code":""}',
    '{"CODE":"code"}',
    "{}",
    "",
    " ",
    "[]",
    '["CODE"]',
    '"CODE"',
    "null",
    "{",
    '{"code":"CODE"',
    '{"code":"CODE"}}',
    '{"code":"CODE",}',
    "{'code':'CODE'}",
    '\ufeff{"code":"CODE"}',
    "code=CODE",
    "[" * 500 + "]" * 500,
    '{"code":"CODE","more":"' + "x" * 900 + '"}',
    '{"code":"CODE","more":"' + "x" * 1200 + '"}',
)
CARRIERS: tuple[Callable[[str], str], ...] = (
    str.lower,
    lambda code: "-".join(code[at : at + 4] for at in range(0, 24, 4)),
    lambda code: " ".join(code[at : at + 6] for at in range(0, 24, 6)) + " ",
    lambda code: code.replace("0", "O").replace("1", "I"),
    lambda code: code.replace("0", "o").replace("1", "l"),
    lambda code: code[:-1] + ("0" if code[-1] != "0" else "1"),
    lambda code: "U" + code[1:],
    lambda code: code[:-1],
    lambda code: code + "0",
    lambda code: code[:23] + "é",
    lambda code: code[:23] + "-",
    lambda code: "0" * 24,
    lambda code: f"https://brand.example/c/{code}",
    lambda code: f"HTTPS://brand.example/{code}/",
    lambda code: f"https://brand.example/{code}?x=1#there",
    lambda code: f"http://brand.example/?c={code}",
    lambda code: f"https://brand.example/?c={code}&c=none",
    lambda code: f"https://brand.example/a?q=https%3A%2F%2Fbrand.example%2Fc%2F{code}",
    lambda code: f"https%3A%2F%2Fbrand.example%2Fc%2F{code}",
    lambda code: f"https%253A%252F%252Fbrand.example%252Fc%252F{code}",
    lambda code: f"ftp://brand.example/{code}",
    lambda code: f"https://brand.example/{code}/{'x' * 500}",
    lambda code: "https://brand.example/" + "x" * 466 + code,
    lambda code: "https://brand.example/" + "x" * 465 + "/" + code,
    lambda code: "https://brand.example/nothing",
)


def said() -> Iterator[tuple[str, Seed]]:
    """What a body may say, and which codes there are."""
    for number, body in enumerate(BODIES):

        def of(hand: Hand, body: str = body) -> Steps:
            text = body.replace("CODE", hand.code())
            return [request(text.encode(), HOST, f"Authorization: Bearer {hand.token()}", JSON)]

        yield f"body {number}", of
    for number, carrier in enumerate(CARRIERS):
        yield f"carrier {number}", lambda hand, carrier=carrier: [scan(hand, code=carrier(hand.code()))]
    for size in (BODY_MAX - 1, BODY_MAX, BODY_MAX + 1):
        yield f"body of {size} bytes", lambda hand, size=size: [scan(hand, more="x" * (size - 45))]
    yield "link", lambda hand: [scan(hand, code=hand.link())]
    for gtin in ("06901234567809", "06901234567893", PRODUCT[1:]):
        yield f"link of {gtin}", lambda hand, gtin=gtin: [scan(hand, code=hand.link(gtin))]
    for lot in ("seller", "limited", "friends", "inactive", "blocked", "paused", "later", "over", "small"):
        yield lot, lambda hand, lot=lot: [scan(hand, lot=lot, channel="shop")]
    yield "pin", lambda hand: [scan(hand, lot="pin", pin=hand.pin())]
    for pin in ("000000", "12345", 123456, None, ""):
        yield f"pin {pin!r}", lambda hand, pin=pin: [scan(hand, lot="pin", pin=pin)]
    yield "no pin", lambda hand: [scan(hand, lot="pin")]
    yield "lot that is none", lambda hand: [scan(hand, code=unknown(hand))]


def unknown(hand: Hand) -> str:
    """A genuine code of a lot that was never registered."""
    other = Hand(hand.brand, hand.table, {"plain": 999}, hand.number)
    return other.code()


def senders() -> Iterator[tuple[str, Seed]]:
    """Who may send a scan."""
    roles = {"role": "dealer", "tier": "gold", "seller": "S-7", "inviter": "anna"}
    for name, value in roles.items():
        yield name, lambda hand, one={name: value}: [by(hand, f"Authorization: Bearer {hand.token(**one)}")]
    yield "all of it", lambda hand: [by(hand, f"Authorization: Bearer {hand.token(**roles)}", channel="shop")]
    yield (
        "other script",
        lambda hand: [by(hand, f"Authorization: Bearer {hand.token(seller='店 1', tier='金')}")],
    )
    yield "service", lambda hand: [by(hand, f"Authorization: Bearer {hand.token(role='service')}")]
    yield "expired", lambda hand: [by(hand, f"Authorization: Bearer {hand.token(ago_s=7200)}")]
    yield "expiring", lambda hand: [by(hand, f"Authorization: Bearer {hand.token(ago_s=3600)}")]
    yield "not yet", lambda hand: [by(hand, f"Authorization: Bearer {hand.token(ago_s=3599)}")]
    yield "stranger", lambda hand: [by(hand, f"Authorization: Bearer {hand.token(keys=STRANGERS)}")]
    for form in (
        "",
        "Authorization:",
        "Authorization: Bearer",
        "Authorization: Bearer ",
        "Authorization: TOKEN",
        "Authorization: bearer TOKEN",
        "authorization:BEARER TOKEN",
        "AUTHORIZATION:   Bearer TOKEN   ",
        "Authorization: Bearer  TOKEN",
        "Authorization: Bearer\tTOKEN",
        "Authorization: Bearer TOKEN\t",
        "Authorization: Bearer TOKEN x",
        "Authorization: Bearer TOKEN.",
        "Authorization: Bearer TOKEN=",
        "Authorization: Basic TOKEN",
        'Authorization: "Bearer TOKEN"',
        "Authorization: Bearer TOKEN\r\nAuthorization: Bearer TOKEN",
        "X-Authorization: Bearer TOKEN",
        "Authorization: Bearer " + "x" * 2100,
        "Authorization: Bearer " + "x" * 4200,
    ):
        yield (
            f"by {form[:40]}",
            lambda hand, form=form: [by(hand, form.replace("TOKEN", hand.token()))],
        )
