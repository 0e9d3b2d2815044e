"""Answers of a receiver that come late, without an end, or as nobody foresaw."""

import asyncio
from random import Random

import pytest
from aiohttp import web

from scanner.queue.bridges import webhook_post
from tests.queue.bridging import Till
from tests.queue.receiving import alone, has, letters, outcome, posting, receiving
from tests.running import eventually


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


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

    async with receiving(handler=hang) as hanging, posting(brand, hanging.url, timeout_s=0.3):
        await eventually(has(receiver, till))
        hung.set()


async def test_of_an_endless_answer_only_the_beginning_is_read(brand):
    async def endless(request):
        await request.read()
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    till = await Till(brand).open()
    await till.scan(3, Random(9))
    async with receiving(handler=endless) as answering, posting(brand, answering.url) as (_, progress):

        async def are_taken() -> bool:
            return progress.delivered >= 3

        await eventually(are_taken)
    assert await letters(brand) == []


@pytest.mark.parametrize("ending", ["never", "broken off"])
async def test_the_status_counts_and_not_how_the_answer_goes_on(brand, ending):
    ids, is_over = [], asyncio.Event()

    async def answer(request):
        ids.append((await request.json())["id"])
        response = web.StreamResponse(status=200, headers={"Content-Length": "10"})
        await response.prepare(request)
        if ending == "never":
            await is_over.wait()
        else:
            request.transport.abort()
        return response

    till = await Till(brand).open()
    await till.scan(3, Random(9))
    async with (
        receiving(handler=answer) as answering,
        posting(brand, answering.url, timeout_s=3) as (_, progress),
    ):

        async def are_taken() -> bool:
            return progress.delivered >= len(till.ids)

        await eventually(are_taken)
        is_over.set()
    assert till.ids <= set(ids)
    assert len(ids) == len(set(ids))
    assert progress.tries == 0


async def test_an_unforeseen_error_of_a_post_is_a_failure_of_the_receiver(receiver, monkeypatch):
    def raises(*_):
        raise OverflowError

    monkeypatch.setattr(webhook_post, "_retry_after", raises)
    receiver.answer = lambda ids: web.Response(status=500)
    async with alone(receiver.url) as target:
        assert [await outcome(target, no) for no in range(20)] == ["TryLaterError"] * 20
        assert receiver.asked < 20  # by then it is taken to be away
