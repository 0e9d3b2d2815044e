"""The heads of answers, as aiohttp writes them for :func:`scanner.service.protocol.respond`."""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from scanner.service.problems import Answer


@lru_cache(maxsize=256)
def head_of(status: int, content_type: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """An answer's head up to its length; the date follows that."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        "Server: scanner",
        *(f"{name}: {value}" for name, value in headers),
        "Content-Length: ",
    ]
    return "\r\n".join(lines).encode()


def on_the_wire(answer: Answer, now_s: float) -> bytes:
    """A whole answer, for where there is no request of aiohttp's to answer. ``now_s`` is Unix time."""
    head = head_of(answer.status, answer.content_type, tuple(answer.headers.items()))
    date = formatdate(now_s, usegmt=True).encode()
    return b"%b%d\r\nDate: %b\r\n\r\n%b" % (head, len(answer.body), date, answer.body)
