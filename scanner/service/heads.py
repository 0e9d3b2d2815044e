"""The heads of answers, as aiohttp writes them for :func:`scanner.service.protocol.respond`."""

from functools import lru_cache
from http import HTTPStatus


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
