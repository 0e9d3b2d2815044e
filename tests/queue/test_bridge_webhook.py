"""The bridge to a webhook, against a real receiver: signed, tried again, in order, and nobody held up."""

import json
from random import Random

import pytest
from aiohttp import web

from scanner.errors import ConfigurationError
from scanner.queue.bridges.webhook_failures import DeliveryError, Failures
from scanner.queue.bridges.webhook_post import check_url
from tests.queue.bridging import Till, is_at_a_loss
from tests.queue.receiving import has, letters, only_dead, posting, receiving
from tests.running import eventually


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


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
        await only_dead(brand, receiver, till, poison)
    [letter] = await letters(brand)
    assert b"500" in letter[b"reason"]
    assert [id for member, id in receiver.members if member == whose] == till.of[whose][1:]


async def test_in_a_batch_the_poisoned_one_is_found(brand, receiver):
    till = await Till(brand, members=100).open()
    await till.scan(40, Random(3))
    poison = next(iter(till.of.values()))[0]
    receiver.answer = lambda ids: web.Response(status=422) if poison in ids else None
    async with posting(brand, receiver.url, batch=20):
        await only_dead(brand, receiver, till, poison)


@pytest.mark.parametrize("status", [500, 503, 404, 302])
async def test_while_nothing_is_taken_nothing_is_a_dead_letter(brand, receiver, status):
    till = await Till(brand).open()
    await till.scan(20, Random(4))
    location = {"Location": "/elsewhere"}
    receiver.answer = lambda ids: web.Response(status=status, headers=location)
    async with posting(brand, receiver.url, tries=2) as (_, progress):

        async def asked_enough() -> bool:
            return receiver.asked >= 12 and progress.tries >= 3

        await eventually(asked_enough)
        assert receiver.ids == []  # a redirect is not followed
        assert await letters(brand) == []
        receiver.answer = lambda ids: None
        await eventually(has(receiver, till))
    assert await letters(brand) == []


async def test_control_without_that_rule_a_bad_hour_fills_the_dead_letters(brand, receiver, monkeypatch):
    judged = Failures.judged

    def counts_all(self, key, failure):
        judged(self, key, failure)
        return DeliveryError(failure.reason)

    monkeypatch.setattr(Failures, "judged", counts_all)
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
        await is_at_a_loss(progress, 3)
        async with receiving(port) as receiver:
            await eventually(has(receiver, till))
    assert await letters(brand) == []


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
