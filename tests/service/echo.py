"""A server of trivial routes to talk to, and the requests that do."""

import asyncio

from scanner.service.problems import JSON, OUTCOMES, PROBLEM, Answer, problem
from scanner.service.protocol import Route
from tests.running import PATIENCE_S

BODY_MAX, LARGE_MAX = 256, 100_000


class Echo:
    """Routes that answer a request with its body, fail, or hold it until it is let go."""

    def __init__(self):
        self.arrived, self.go_on = asyncio.Event(), asyncio.Event()
        self.handled = 0
        self.routes = {
            "/echo": {"POST": Route(self.echo), "PUT": Route(self.echo)},
            "/fail": {"POST": Route(self.fail)},
            "/hold": {"POST": Route(self.hold)},
            "/large": {"POST": Route(self.echo, body_max_bytes=LARGE_MAX, admit=self.admit)},
            "/things/{thing}": {"GET": Route(self.tell, has_body=False), "PUT": Route(self.tell)},
            "/things/{thing}/parts": {"POST": Route(self.tell, may_be_empty=True)},
        }

    async def echo(self, authorization, body, traceparent, parameter):
        self.handled += 1
        return Answer("accepted", 200, body, JSON)

    async def tell(self, *said):
        self.handled += 1
        return Answer("accepted", 200, repr(said).encode(), JSON)

    async def fail(self, *said):
        raise RuntimeError("the password is hunter2")

    async def hold(self, *said):
        self.arrived.set()
        await self.go_on.wait()
        return await self.echo(*said)

    def admit(self, authorization):
        return None if authorization == "Bearer good" else problem("forbidden")


def head(*lines, method="POST", path="/echo", version="1.1"):
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: scanner.test", *lines, "", ""]).encode()


def post(body=b"{}", *lines, path="/echo"):
    return head(f"Content-Length: {len(body)}", *lines, path=path) + body


def chunked(*chunks):
    parts = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head("Transfer-Encoding: chunked") + parts


async def refused(phone, request, outcome):
    """Sends what must be refused, and holds the refusal to the contract's form."""
    reply = await asyncio.wait_for(phone.send(request), PATIENCE_S)
    assert (reply.outcome, reply.status) == (outcome, OUTCOMES[outcome][0])
    assert reply.headers["content-type"] == PROBLEM
    assert reply.headers["server"] == "scanner"
    assert {
        "type": f"urn:scanner:{outcome}",
        "title": OUTCOMES[outcome][1],
        "status": reply.status,
    }.items() <= (reply.data.items())
    return reply


async def serves(phone):
    reply = await asyncio.wait_for(phone.send(post(b"[7]")), PATIENCE_S)
    return (reply.status, reply.body) == (200, b"[7]")


def get(path, *lines, method="GET"):
    return head(*lines, method=method, path=path)
