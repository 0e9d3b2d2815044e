"""What a receiver asks for by 429, 503 and Retry-After, and for whom it counts."""

import asyncio
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random

import pytest
from aiohttp import web

from scanner.queue.bridges import webhook_failures, webhook_post
from tests.queue.bridging import Till
from tests.queue.receiving import alone, has, only_dead, outcome, posting, receiving, till_taken
from tests.running import eventually


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


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
    assert webhook_post._retry_after(text, 1_000_000) == wait_s


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


async def test_one_event_that_is_always_answered_503_waits_alone_and_becomes_a_try(receiver, monkeypatch):
    monkeypatch.setattr(webhook_failures, "ASKED_S_MAX", 0.1)
    monkeypatch.setattr(webhook_failures, "TAKEN_BETWEEN", 2)
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
    monkeypatch.setattr(webhook_failures, "TAKEN_BETWEEN", 2)
    till = await Till(brand, members=100).open()
    await till.scan(40, Random(12))
    poison = next(iter(till.of.values()))[0]
    receiver.answer = lambda ids: web.Response(status=503) if poison in ids else None
    async with posting(brand, receiver.url, batch=20):
        await only_dead(brand, receiver, till, poison)


async def test_where_several_are_refused_all_wait_as_long_as_was_asked(receiver, monkeypatch):
    monkeypatch.setattr(webhook_failures, "ASKED_S_MAX", 0.01)
    receiver.answer = lambda ids: web.Response(status=429, headers={"Retry-After": "3600"})
    async with alone(receiver.url) as target:
        for no in range(3):

            async def has_asked(asked=receiver.asked, no=no) -> bool:
                assert await outcome(target, no) == "TryLaterError"
                return receiver.asked > asked

            await eventually(has_asked)
        assert 3590 < target._failures.wait_s() <= 3600


async def test_one_that_had_left_before_a_429_does_not_clear_its_wait(receiver):
    slow = asyncio.Event()

    async def answer(request):
        receiver.asked += 1
        if json.loads(await request.read())["id"] == "x.y/E1":
            await slow.wait()
            return web.Response(status=204)
        return web.Response(status=429, headers={"Retry-After": "60"})

    async with receiving(handler=answer) as slow_one, alone(slow_one.url) as target:
        early = asyncio.create_task(outcome(target, 1))

        async def has_left() -> bool:
            return receiver.asked == 1

        await eventually(has_left)
        assert await outcome(target, 2) == "TryLaterError"
        slow.set()
        assert await early == "taken"
        assert await outcome(target, 3) == "TryLaterError"
        assert receiver.asked == 2
