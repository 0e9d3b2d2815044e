"""What may become of a request on its way: bytes and lines that are lost, doubled, swapped, mixed."""

import random
from collections.abc import Callable
from itertools import pairwise

PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b": ", b",", b"0", b"-", b"_", b"\x7f"),
    *(
        b"\x80",
        b"\xff",
        b'"',
        b"{}",
        b"}",
        b"\\",
        b"%",
        b"#",
        b"?",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"POST ",
        b"GET ",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Proxy-Connection: close\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"Sec-WebSocket-Key1: x\r\n", b"Host: other\r\n"),
    *(b"Authorization: Bearer x\r\n", b"traceparent: x\r\n", b"X: y\r\n", b" folded\r\n", b"/v1/scans"),
    *(
        b"POST /v1/scans HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        b'"channel":"shop",',
        b'"pin":null,',
    ),
)

Mutation = Callable[[random.Random, bytes], bytes]


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def _put(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(PIECES) + data[at:]


def _put_line(rng: random.Random, data: bytes) -> bytes:
    """Between two lines, where it does the most."""
    ends = [at + 2 for at in range(len(data)) if data[at : at + 2] == b"\r\n"] or [0]
    at = rng.choice(ends)
    return data[:at] + rng.choice(PIECES) + data[at:]


def _drop(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 1, 1, 2, 5, 40)) :]


def _swap(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    one, other = rng.randrange(len(data)), rng.randrange(len(data))
    changed[one], changed[other] = changed[other], changed[one]
    return bytes(changed)


def _case(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at : at + rng.choice((1, 10))].swapcase() + data[at + 10 :]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    piece = data[at : at + rng.choice((1, 2, 20, 200))]
    return data[:at] + piece * rng.choice((2, 2, 3)) + data[at + len(piece) :]


def _lines(rng: random.Random, data: bytes) -> bytes:
    """One line is lost, doubled or moved."""
    lines = data.split(b"\r\n")
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.choice((0, 1, 2))):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"\r\n".join(lines)


MUTATIONS: tuple[Mutation, ...] = (_flip, _put, _put_line, _drop, _swap, _case, _repeat, _lines)


def mutated(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        data = rng.choice(MUTATIONS)(rng, data) or b"x"
    return data


def body_mutated(rng: random.Random, data: bytes) -> bytes:
    """The same within the body, whose length is told again: the head stays what it was."""
    head, end, body = data.partition(b"\r\n\r\n")
    changed = mutated(rng, body) if body else rng.choice(PIECES)
    return head.replace(b"Length: %d" % len(body), b"Length: %d" % len(changed)) + end + changed


def spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def cut(rng: random.Random, data: bytes, pieces: int) -> list[bytes]:
    """In at most so many pieces."""
    places = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(pieces - 1))})
    return [data[first:last] for first, last in pairwise(places)]
