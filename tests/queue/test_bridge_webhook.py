"""The bridge to a webhook, against a real receiver: signed, tried again, in order, and nobody held up."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from scanner.errors import ConfigurationError, ScannerError
from scanner.queue import Consumer
from scanner.queue.bridges import webhook as webhook_module
from scanner.queue.bridges.bridge import Progress
from scanner.queue.bridges.signing import SignatureError, new_secret, parse_secret, verify
from scanner.queue.bridges.webhook import WebhookTarget, check_url
from scanner.queue.events import event_of
from tests.brand import Brand
from tests.faults.figures import say
from tests.faults.seeds import seeded, share
from tests.queue.bridging import Till, bridge, broken_bridge, first_of_each, nothing_is_left
from tests.running import eventually

SECRET = new_secret()
KILLS = 5
DOCS = Path(__file__).parents[2] / "docs" / "bridges.md"


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
async def receiving(port: int = 0):
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
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


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def waits_are_short(monkeypatch):
    monkeypatch.setattr(webhook_module, "_LATER_S", (0.05, 0.2))


@asynccontextmanager
async def posting(brand: Brand, url: str, *, tries: int = 3, **values):
    """A bridge in this process; in the end it stops."""
    progress, stop = Progress("hook", _wait_s=(0.02, 0.2)), asyncio.Event()
    target = WebhookTarget(
        url, [parse_secret(SECRET)], brand="main", progress=progress, on_gone=stop.set, **values
    )
    consumer = Consumer(
        "webhook", "one", store=brand.store, settings=brand.settings, tries=tries, wait_s=(0.02, 0.1)
    )
    consumer.handler(target.deliver)
    async with consumer:
        work = asyncio.create_task(consumer.run(stop))
        try:
            yield target, progress
            stop.set()
            async with asyncio.timeout(20):
                await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await target.close()


def has(receiver: Receiver, till: Till):
    async def all_came() -> bool:
        return till.ids <= set(receiver.ids)

    return all_came


async def letters(brand: Brand) -> list[dict[bytes, bytes]]:
    found = await brand.store.client.xrange(brand.store.keys.dead("webhook"), "-", "+", count=100)
    return [fields for _, fields in found]


@pytest.mark.parametrize("batch", [1, 10])
async def test_events_arrive_signed_and_each_members_in_order(brand, receiver, batch):
    till = await Till(brand).open()
    await till.scan(80, Random(1))
    async with posting(brand, receiver.url, batch=batch):
        await eventually(has(receiver, till))
    assert receiver.bad == 0
    assert len(receiver.ids) == len(set(receiver.ids))
    for member, ids in till.of.items():
        assert [id for whose, id in receiver.members if whose == member] == ids
    headers, body = receiver.requests[-1]
    kind = "application/cloudevents-batch+json" if batch > 1 else "application/cloudevents+json"
    assert headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert "." not in headers["webhook-id"]
    if batch > 1:
        assert any(len(json.loads(body)) > 1 for _, body in receiver.requests)
    else:
        assert headers["webhook-id"] == json.loads(body)["id"].replace(".", ":")


async def test_a_poisoned_event_is_a_dead_letter_and_holds_nobody_up(brand, receiver):
    till = await Till(brand).open()
    await till.scan(80, Random(2))
    whose = next(iter(till.of))
    poison = till.of[whose][0]
    receiver.answer = lambda ids: web.Response(status=500) if poison in ids else None
    async with posting(brand, receiver.url):
        others = till.ids - set(till.of[whose])

        async def others_came() -> bool:
            return others <= set(receiver.ids)

        await eventually(others_came)

        async def is_dead() -> bool:
            await till.scan(1, Random(receiver.asked))  # a failure counts only while others are taken
            return bool(await letters(brand))

        await eventually(is_dead)
        assert len(await letters(brand)) == 1

        async def rest_came() -> bool:
            return till.ids - {poison} <= set(receiver.ids)

        await eventually(rest_came)
    [letter] = await letters(brand)
    assert b"500" in letter[b"reason"]
    assert [id for member, id in receiver.members if member == whose] == till.of[whose][1:]


async def test_in_a_batch_the_poisoned_one_is_found(brand, receiver):
    till = await Till(brand, members=100).open()
    await till.scan(40, Random(3))
    poison = next(iter(till.of.values()))[0]
    receiver.answer = lambda ids: web.Response(status=422) if poison in ids else None
    async with posting(brand, receiver.url, batch=20):

        async def is_dead() -> bool:
            await till.scan(1, Random(receiver.asked))
            return bool(await letters(brand))

        await eventually(is_dead)

        async def rest_came() -> bool:
            return till.ids - {poison} <= set(receiver.ids)

        await eventually(rest_came)
    assert len(await letters(brand)) == 1


@pytest.mark.parametrize("status", [500, 503, 404, 302])
async def test_while_nothing_is_taken_nothing_is_a_dead_letter(brand, receiver, status):
    till = await Till(brand).open()
    await till.scan(20, Random(4))
    location = {"Location": "/elsewhere"}
    receiver.answer = lambda ids: web.Response(status=status, headers=location)
    async with posting(brand, receiver.url, tries=2) as (_, progress):

        async def asked_enough() -> bool:
            return receiver.asked >= 12

        await eventually(asked_enough)
        assert progress.tries >= 3
        assert receiver.ids == []  # a redirect is not followed
        assert await letters(brand) == []
        receiver.answer = lambda ids: None
        await eventually(has(receiver, till))
    assert await letters(brand) == []


async def test_control_without_that_rule_a_bad_hour_fills_the_dead_letters(brand, receiver, monkeypatch):
    judged = WebhookTarget._judged

    def counts_all(self, key, failure):
        judged(self, key, failure)
        return webhook_module.DeliveryError(failure.reason)

    monkeypatch.setattr(WebhookTarget, "_judged", counts_all)
    till = await Till(brand).open()
    await till.scan(20, Random(4))
    receiver.answer = lambda ids: web.Response(status=500)
    async with posting(brand, receiver.url, tries=2):

        async def are_dead() -> bool:
            return len(await letters(brand)) >= 1

        await eventually(are_dead)


async def test_nobody_there_and_then_somebody(brand):
    async with receiving() as first:
        port = first.port
    till = await Till(brand).open()
    await till.scan(10, Random(5))
    async with posting(brand, f"http://127.0.0.1:{port}/hook", tries=2) as (_, progress):

        async def is_waiting() -> bool:
            return progress.tries >= 3

        await eventually(is_waiting)
        async with receiving(port) as receiver:
            await eventually(has(receiver, till))
    assert await letters(brand) == []


async def test_one_that_never_answers_is_given_up_and_tried_again(brand, receiver):
    till = await Till(brand).open()
    await till.scan(3, Random(6))
    hung = asyncio.Event()
    receive, hangs = receiver.receive, [True]

    async def hang(request):
        if hangs:
            hangs.pop()
            await hung.wait()
        return await receive(request)

    app = web.Application()
    app.router.add_post("/hook", hang)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        async with posting(brand, url, timeout_s=0.3):
            await eventually(has(receiver, till))
    finally:
        hung.set()
        await runner.cleanup()


async def test_410_ends_the_bridge_and_acknowledges_nothing(brand, receiver):
    till = await Till(brand).open()
    await till.scan(3, Random(7))
    receiver.answer = lambda ids: web.Response(status=410)
    async with posting(brand, receiver.url) as (target, _):

        async def is_gone() -> bool:
            return target.gone is not None

        await eventually(is_gone)
    assert "410" in str(target.gone)
    assert await letters(brand) == []
    receiver.answer = lambda ids: None
    async with posting(brand, receiver.url):
        await eventually(has(receiver, till))


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("Mon, 01 Jan 2027 00:00:00 +9999999999999999999999", 0),
        (f"Mon, {'9' * 30} Jan 2027 00:00:00 GMT", 0),
        *(("", 0), ("7", 7), ("-7", 0), ("soon", 0), ("99999", 3600), ("1e3", 0), ("9" * 5000, 3600)),
        (format_datetime(datetime.fromtimestamp(1_000_030, UTC), usegmt=True), 30),
        (format_datetime(datetime.fromtimestamp(999_000, UTC), usegmt=True), 0),
    ],
)
def test_what_retry_after_asks_for(text, wait_s):
    assert webhook_module._retry_after(text, 1_000_000) == wait_s


async def test_retry_after_is_kept(brand, receiver):
    till = await Till(brand).open()
    await till.scan(5, Random(8))
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    def answer(ids):
        moments.append(loop.time())
        return web.Response(status=429, headers={"Retry-After": "1"}) if len(moments) == 1 else None

    receiver.answer = answer
    async with posting(brand, receiver.url, posts=1):
        await eventually(has(receiver, till))
    assert moments[1] - moments[0] >= 1


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
    target = WebhookTarget(url, [parse_secret(SECRET)], brand="main", progress=progress, **values)
    try:
        yield target
    finally:
        await target.close()


async def till_taken(target: WebhookTarget, no: int) -> None:
    async def is_taken() -> bool:
        return await outcome(target, no) == "taken"

    await eventually(is_taken)


async def test_one_event_that_is_always_answered_503_waits_alone_and_becomes_a_try(receiver, monkeypatch):
    monkeypatch.setattr(webhook_module, "ASKED_S_MAX", 0.1)
    monkeypatch.setattr(webhook_module, "TAKEN_BETWEEN", 2)
    receiver.answer = lambda ids: (
        web.Response(status=503, headers={"Retry-After": "3600"}) if "x.y/E0" in ids else None
    )
    async with alone(receiver.url) as target:
        assert [await outcome(target, no) for no in (1, 2)] == ["taken"] * 2
        assert await outcome(target, 0) == "TryLaterError"
        await till_taken(target, 3)  # after the short wait, in place of an hour
        assert await outcome(target, 4) == "taken"
        assert await outcome(target, 0) == "DeliveryError"
        assert await outcome(target, 5) == "taken"  # nobody waits any more
        asked = receiver.asked
        assert await outcome(target, 0) == "TryLaterError"  # but it, as long as it was told to
        assert receiver.asked == asked


async def test_in_batches_too_others_go_on_beside_one_that_is_answered_503(brand, receiver, monkeypatch):
    monkeypatch.setattr(webhook_module, "TAKEN_BETWEEN", 2)
    till = await Till(brand, members=100).open()
    await till.scan(40, Random(12))
    poison = next(iter(till.of.values()))[0]
    receiver.answer = lambda ids: web.Response(status=503) if poison in ids else None
    async with posting(brand, receiver.url, batch=20):

        async def is_dead() -> bool:
            await till.scan(1, Random(receiver.asked))
            return bool(await letters(brand))

        await eventually(is_dead)

        async def rest_came() -> bool:
            return till.ids - {poison} <= set(receiver.ids)

        await eventually(rest_came)
    assert len(await letters(brand)) == 1


async def test_where_several_are_refused_all_wait_as_long_as_was_asked(receiver, monkeypatch):
    monkeypatch.setattr(webhook_module, "ASKED_S_MAX", 0.01)
    receiver.answer = lambda ids: web.Response(status=429, headers={"Retry-After": "3600"})
    async with alone(receiver.url) as target:
        for no in range(3):

            async def has_asked(asked=receiver.asked, no=no) -> bool:
                assert await outcome(target, no) == "TryLaterError"
                return receiver.asked > asked

            await eventually(has_asked)
        assert 3590 < target._wait_s() <= 3600


async def test_one_that_had_left_before_a_429_does_not_clear_its_wait(receiver):
    slow = asyncio.Event()

    async def answer(request):
        receiver.asked += 1
        if json.loads(await request.read())["id"] == "x.y/E1":
            await slow.wait()
            return web.Response(status=204)
        return web.Response(status=429, headers={"Retry-After": "60"})

    app = web.Application()
    app.router.add_post("/hook", answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with alone(f"http://127.0.0.1:{runner.addresses[0][1]}/hook") as target:
            early = asyncio.create_task(outcome(target, 1))

            async def has_left() -> bool:
                return receiver.asked == 1

            await eventually(has_left)
            assert await outcome(target, 2) == "TryLaterError"
            slow.set()
            assert await early == "taken"
            assert await outcome(target, 3) == "TryLaterError"
            assert receiver.asked == 2
    finally:
        slow.set()
        await runner.cleanup()


async def test_an_unforeseen_error_of_a_post_is_a_failure_of_the_receiver(receiver, monkeypatch):
    def raises(*_):
        raise OverflowError

    monkeypatch.setattr(webhook_module, "_retry_after", raises)
    receiver.answer = lambda ids: web.Response(status=500)
    async with alone(receiver.url) as target:
        assert [await outcome(target, no) for no in range(20)] == ["TryLaterError"] * 20
        assert receiver.asked < 20  # by then it is taken to be away


async def test_of_an_endless_answer_only_the_beginning_is_read(brand):
    async def endless(request):
        await request.read()
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        taken.append(request)
        while True:
            await response.write(b"x" * 65536)

    taken: list[web.Request] = []
    app = web.Application()
    app.router.add_post("/hook", endless)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    till = await Till(brand).open()
    await till.scan(3, Random(9))
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        async with posting(brand, url) as (_, progress):

            async def are_taken() -> bool:
                return progress.delivered >= 3

            await eventually(are_taken)
    finally:
        await runner.cleanup()
    assert await letters(brand) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a.example/", "expected https"),
        ("https://", "expected https"),
        ("https://[::1", "expected https"),
        ("https://a.example:port/", "expected https"),
        ("https://user:hidden-word@a.example/", "must not hold a user"),
        ("http://a.example/", "must be https"),
        ("http://10.0.0.1/", "must be https"),
        ("http://localhost.a.example/", "must be https"),
    ],
)
def test_where_events_may_not_be_sent(url, words):
    with pytest.raises(ConfigurationError, match=words) as refused:
        check_url(url)
    assert "hidden-word" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://a.example/h?x=1", "http://127.0.0.1:80/", "http://[::1]/", "http://localhost/h"]
)
def test_where_events_may_be_sent(url):
    assert check_url(url) == url
    assert check_url("http://a.example/", allow_http=True)


async def test_the_receiver_of_the_documentation_takes_each_event_once(tmp_path):
    """It is run as it stands there: a wrong signature, an old one and a repeated one have no effect."""
    [code] = re.findall(r"```python\n(# receiver\.py\n.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {"__name__": "receiver"}
    exec(compile(code, "receiver.py", "exec"), names)
    from aiohttp.test_utils import TestClient, TestServer

    from scanner.queue.bridges.signing import sign

    given: list[str] = []
    app = names["make_app"]([SECRET], tmp_path / "seen.sqlite", lambda event: given.append(event["id"]))
    now = int(datetime.now(UTC).timestamp())
    keys = [parse_secret(SECRET)]
    event = json.dumps({"id": "ONE", "data": {}}).encode()
    async with TestClient(TestServer(app)) as client:

        async def post(headers, body=event):
            async with client.post("/hooks/scans", data=body, headers=headers) as response:
                return response.status

        right = sign(keys, "ONE", now, event)
        assert await post({**right, "webhook-signature": "v1,AAAA"}) == 401
        assert await post(right, event + b" ") == 401
        assert await post(sign(keys, "ONE", now - 600, event)) == 401
        assert await post({}) == 401
        assert given == []
        assert await post(right) == 204
        assert await post(right) == 204  # as it was, once more
        assert await post(sign(keys, "ONE", now + 1, event)) == 204  # tried again: signed anew
        assert given == ["ONE"]


# Killed ----------------------------------------------------------------------------------------------------


async def killed_at_random(brand, receiver, directory, dice, *, broken=""):
    till = await Till(brand).open()
    arguments = ("webhook", receiver.url, "--name", "one", "--type", "scan.accepted", "--posts", 4)
    environment = {"SCANNER_WEBHOOK_SECRET": SECRET}
    if broken:
        process = broken_bridge(brand, directory, broken, *arguments, **environment)
    else:
        process = bridge(brand, directory, *arguments, **environment)
    try:
        for _ in range(KILLS):
            await process.start()
            await till.scan(dice.randrange(1, 30), dice)
            await process.has_said("bridging group")
            scanning = asyncio.create_task(till.scan(60, dice))
            await asyncio.sleep(dice.random() * (1.0 if broken else 0.3))  # at any moment
            await process.kill()
            await scanning
        await process.start()
        await process.has_said("bridging group")
        if not broken:
            await eventually(has(receiver, till), 60)

        await eventually(lambda: nothing_is_left(brand), 60)
        await process.end()
    finally:
        await process.remove()
    return till


async def test_killed_at_random_each_scan_is_there_once_after_deduplication(brand, receiver, tmp_path):
    kills = double = 0
    for chapter in range(share(1, 10)):
        with seeded(chapter) as dice:
            if chapter:
                await brand.store.client.execute_command(
                    "XGROUP", "DESTROY", brand.store.keys.events, "webhook"
                )
            till = await killed_at_random(brand, receiver, tmp_path / f"{chapter}", dice)
            assert till.ids <= set(receiver.ids)
            assert await letters(brand) == []
            for member, ids in till.of.items():
                came = first_of_each([id for whose, id in receiver.members if whose == member])
                assert [id for id in came if id in set(ids)] == ids
            kills, double = kills + KILLS, len(receiver.ids) - len(set(receiver.ids))
    say(
        f"bridge to a webhook killed {kills} times: nothing lost, {double} came twice, each is there once "
        "after deduplication"
    )


async def test_control_one_that_acknowledges_first_loses_some(brand, receiver, tmp_path):
    with seeded() as dice:
        till = await killed_at_random(brand, receiver, tmp_path / "b", dice, broken="acknowledges-first")
    lost = till.ids - set(receiver.ids)
    say(f"bridge to a webhook, control acknowledges-first, {KILLS} kills: {len(lost)} lost")
    assert lost
