"""Prepared requests: each code scanned once, the members taking turns."""

from collections.abc import Iterator, Sequence
from itertools import islice

import orjson

_BEFORE_CODE, _AFTER_CODE = b'{"code":"', b'","channel":"load"}'


def scan_requests(
    codes: Sequence[str], tokens: Sequence[str], *, start: int = 0, step: int = 1
) -> Iterator[bytes]:
    """Complete requests for every ``step``-th code from ``start`` on, made as they are asked for."""
    heads: dict[int, list[bytes]] = {}  # by the code's length: all else of a member's request stays the same
    for no, code in enumerate(islice(codes, start, None, step)):
        text = code.encode() if code.isascii() and code.isalnum() else orjson.dumps(code)[1:-1]
        if len(text) not in heads:
            heads[len(text)] = [_head(token, len(text)) for token in tokens]
        yield b"%b%b%b" % (heads[len(text)][(start + no * step) % len(tokens)], text, _AFTER_CODE)


def _head(token: str, code_bytes: int) -> bytes:
    length = len(_BEFORE_CODE) + code_bytes + len(_AFTER_CODE)
    return (
        "POST /v1/scans HTTP/1.1\r\nHost: load.test\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    ).encode() + _BEFORE_CODE
