"""A webhook's receiver, a real one, and what posts to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from aiohttp import web

from scanner.errors import ScannerError
from scanner.queue import Consumer
from scanner.queue.bridges.bridge import Progress
from scanner.queue.bridges.signing import SignatureError, new_secret, parse_secret, verify
from scanner.queue.bridges.webhook import WebhookTarget
from scanner.queue.events import event_of
from tests.brand import Brand
from tests.queue.bridging import Till, until_stopped
from tests.running import eventually

SECRET = new_secret()
LATER_S = (0.05, 0.2)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """What came, verified; ``answer`` decides what an event is answered with."""

    port: int = 0
    ids: list[str] = field(default_factory=list)
    members: list[tuple[str, str]] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    bad: int = 0
    asked: int = 0
    answer: Callable[[list[str]], web.Response | None] = lambda ids: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def receive(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.read()
        try:
            verify(SECRET, request.headers, body)
        except SignatureError:
            self.bad += 1
            return web.Response(status=401)
        data = json.loads(body)
        events = data if isinstance(data, list) else [data]
        refusal = self.answer([event["id"] for event in events])
        if refusal is not None:
            return refusal
        self.requests.append((dict(request.headers), body))
        self.ids += [event["id"] for event in events]
        self.members += [(event["data"].get("member", ""), event["id"]) for event in events]
        return web.Response(status=204)


@asynccontextmanager
async def receiving(port: int = 0, handler: Handler | None = None) -> AsyncIterator[Receiver]:
    """One that is asked at ``/hook``; ``handler`` in place of its own, which may call that."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", handler or receiver.receive)
    app.router.add_post("/elsewhere", receiver.receive)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def posting(brand: Brand, url: str, *, tries: int = 3, **values):
    """A bridge in this process; in the end it stops."""
    progress, stop = Progress("hook", _wait_s=(0.02, 0.2)), asyncio.Event()
    target = WebhookTarget(
        url,
        [parse_secret(SECRET)],
        brand="main",
        progress=progress,
        on_gone=stop.set,
        later_s=LATER_S,
        **values,
    )
    consumer = Consumer(
        "webhook", "one", store=brand.store, settings=brand.settings, tries=tries, wait_s=(0.02, 0.1)
    )
    consumer.handler(target.deliver)
    async with consumer:
        try:
            async with until_stopped(consumer.run(stop), stop):
                yield target, progress
        finally:
            await target.close()


def has(receiver: Receiver, till: Till):
    async def all_came() -> bool:
        return till.ids <= set(receiver.ids)

    return all_came


async def letters(brand: Brand) -> list[dict[bytes, bytes]]:
    found = await brand.store.client.xrange(brand.store.keys.dead("webhook"), "-", "+", count=100)
    return [fields for _, fields in found]


async def only_dead(brand: Brand, receiver: Receiver, till: Till, poison: str) -> None:
    """Waits until the event is a dead letter, the only one, and all others came."""

    async def is_dead() -> bool:
        await till.scan(1, Random(receiver.asked))  # a failure counts only while others are taken
        return bool(await letters(brand))

    async def rest_came() -> bool:
        return till.ids - {poison} <= set(receiver.ids)

    await eventually(is_dead)
    await eventually(rest_came)
    assert len(await letters(brand)) == 1


def plain_event(no: int):
    return event_of(f"1764000000000-{no}", {"type": "x.y", "at": "1764000000000", "id": f"E{no}"})


async def outcome(target: WebhookTarget, no: int) -> str:
    try:
        await target.deliver(plain_event(no))
    except ScannerError as error:
        return type(error).__name__
    return "taken"


@asynccontextmanager
async def alone(url: str, **values):
    """The target without a consumer, and a progress whose waits are short."""
    progress = Progress("hook", _wait_s=(0.001, 0.002))
    target = WebhookTarget(
        url, [parse_secret(SECRET)], brand="main", progress=progress, later_s=LATER_S, **values
    )
    try:
        yield target
    finally:
        await target.close()


async def till_taken(target: WebhookTarget, no: int) -> None:
    async def is_taken() -> bool:
        return await outcome(target, no) == "taken"

    await eventually(is_taken)
