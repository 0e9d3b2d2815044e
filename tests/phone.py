"""A phone that posts scans: one keep-alive connection, whole requests, whole answers, little CPU."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import orjson


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, object]:
        return orjson.loads(self.body)

    @property
    def outcome(self) -> str:
        data = self.data
        return "replayed" if data.get("replayed") else str(data["outcome"])


def scan_request(token: str, code: str, **body: object) -> bytes:
    return http_request(orjson.dumps({"code": code, **body}), authorization=f"Bearer {token}")


def http_request(body: bytes, **headers: str) -> bytes:
    lines = [b"POST /v1/scans HTTP/1.1", b"Host: scanner.test", b"Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


class Phone:
    """``async with Phone(port) as phone: reply = await phone.send(request)``"""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Phone":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()

    def hang_up(self) -> None:
        self._writer.transport.abort()

    async def send(self, request: bytes) -> Reply:
        """Raises ConnectionError or IncompleteReadError where the server goes away."""
        self._writer.write(request)
        return await self.receive()

    async def receive(self) -> Reply:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Reply(int(status_line.split()[1]), headers, body)
