"""The bridge to Kafka, as far as it can be tested without Kafka: on librdkafka's mock broker."""

import asyncio
import json
import ssl
import sys
from random import Random

import pytest

from scanner.errors import ConfigurationError
from scanner.queue.bridges.bridge import TargetError, message_of
from scanner.queue.bridges.kafka import Brokers, KafkaTarget
from tests.kafka import (
    INIT_PRODUCER_ID,
    MESSAGE_TOO_LARGE,
    NOT_ENOUGH_REPLICAS,
    PRODUCE,
    TOPIC_AUTHORIZATION_FAILED,
    MockBroker,
    mock_broker,
)
from tests.queue.bridging import Till, carrying, event, is_at_a_loss, nothing_is_left
from tests.running import eventually


@pytest.fixture
def broker():
    with mock_broker() as broker:
        yield broker


def target_of(broker: MockBroker, **values) -> KafkaTarget:
    values = {"topic": broker.topic, "brand": "main", "timeout_s": 2.0, **values}
    return KafkaTarget(Brokers(servers=(broker.server,)), **values)


def id_of(record) -> str:
    return dict(record.headers)["ce_id"].decode()


def has_all(broker: MockBroker, till: Till):
    async def all_came() -> bool:
        return till.ids <= set(await broker.ids())

    return all_came


async def sent(target: KafkaTarget, *events) -> object:
    try:
        return await target.send([message_of(one, "main") for one in events])
    finally:
        await target.close()


async def test_structured_all_is_in_the_value_and_the_key_is_the_member(broker):
    assert not (await sent(target_of(broker), event(1, "alice"))).waiting
    [record] = await broker.records()
    assert record.key == b"alice"
    headers = dict(record.headers)
    assert headers == {"content-type": b"application/cloudevents+json", "ce_id": b"SCAN000000000001"}
    body = json.loads(record.value)
    assert (body["id"], body["data"]["member"]) == ("SCAN000000000001", "alice")


async def test_binary_attributes_are_headers_and_the_value_is_the_data(broker):
    assert not (await sent(target_of(broker, mode="binary"), event(1, "alice"))).waiting
    [record] = await broker.records()
    headers = dict(record.headers)
    assert headers["ce_id"] == b"SCAN000000000001"
    assert headers["ce_type"] == b"scanner.scan.accepted"
    assert headers["content-type"] == b"application/json"
    assert json.loads(record.value)["member"] == "alice"


async def test_a_members_events_are_in_one_partition_in_order(brand, broker):
    till = await Till(brand).open()
    await till.scan(60, Random(1))
    async with carrying(brand, target_of(broker)):
        await till.scan(60, Random(2))
        await eventually(has_all(broker, till))
    records = await broker.records()
    assert len({record.partition for record in records}) > 1
    for member, ids in till.of.items():
        of_member = [record for record in records if record.key == member.encode()]
        assert len({record.partition for record in of_member}) == 1
        assert [id_of(record) for record in of_member] == ids


async def test_an_error_that_passes_loses_nothing(broker):
    broker.answer(PRODUCE, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS)
    outcome = await sent(target_of(broker), *(event(no) for no in range(20)))
    assert not outcome.waiting
    assert set(await broker.ids()) == {f"SCAN{no:012d}" for no in range(20)}


async def test_an_error_that_stays_is_told_and_what_was_not_taken_is_kept(broker):
    target = target_of(broker)
    broker.answer(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 20)
    wave = [message_of(event(no), "main") for no in range(3)]
    first = await target.send(wave)
    assert first.waiting
    assert first.reason
    assert not first.refused
    left = first.waiting
    for _ in range(30):
        if not left:
            break
        left = (await target.send(left)).waiting
    await target.close()
    assert not left
    assert set(await broker.ids()) == {message.key for message in wave}


async def test_nobody_there_is_told(broker):
    broker.down()
    with pytest.raises(TargetError):
        await sent(target_of(broker, timeout_s=0.5), event(1))


async def test_no_producer_id_is_told(broker):
    broker.answer(INIT_PRODUCER_ID, TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(TargetError):
        await sent(target_of(broker, timeout_s=0.5), event(1))


async def test_what_is_too_large_is_refused_and_the_rest_is_taken(broker):
    target = target_of(broker)
    wave = [message_of(one, "main") for one in (event(1), event(2, note="x" * (2 << 20)), event(3))]
    left, refused = wave, []
    for _ in range(3):
        outcome = await target.send(left)
        left, refused = outcome.waiting, [*refused, *outcome.refused]
    await target.close()
    assert not left
    [(message, reason)] = refused
    assert message is wave[1]
    assert "more than Kafka takes" in reason
    assert sorted(await broker.ids()) == ["SCAN000000000001", "SCAN000000000003"]


async def test_a_batch_that_the_broker_finds_too_large_goes_one_by_one(broker):
    target = target_of(broker)
    wave = [message_of(event(no, "m"), "main") for no in range(5)]
    broker.answer(PRODUCE, MESSAGE_TOO_LARGE)
    outcome = await target.send(wave)
    assert len(outcome.waiting) == 5
    assert not outcome.refused
    assert not (await target.send(outcome.waiting)).waiting
    await target.close()
    assert len(set(await broker.ids())) == 5


async def test_what_was_acknowledged_is_kept_when_another_is_not_in_time(broker, monkeypatch):
    target = target_of(broker, timeout_s=0.3)
    wave = [message_of(event(no), "main") for no in range(3)]
    producer = await target._open()
    send, never = producer.send, asyncio.get_running_loop().create_future()

    async def loses_one(topic, value, **values):
        return never if b"SCAN000000000001" in value else await send(topic, value, **values)

    monkeypatch.setattr(producer, "send", loses_one)
    outcome = await target.send(wave)
    await target.close()
    assert [message.key for message in outcome.waiting] == [wave[1].key]
    assert "no acknowledgement within" in outcome.reason
    assert sorted(await broker.ids()) == [wave[0].key, wave[2].key]


async def test_what_was_done_is_kept_when_no_producer_can_be_made_then(broker, monkeypatch):
    target = target_of(broker)
    wave = [message_of(one, "main") for one in (event(1, note="x" * (2 << 20)), event(2), event(3))]
    target._alone = {wave[0].key, wave[2].key}  # so there are three parts
    opened, opens = target._open, iter(range(9))

    async def fails_later():
        if next(opens) == 2:  # after the one that is refused
            raise TargetError("nobody there")
        return await opened()

    monkeypatch.setattr(target, "_open", fails_later)
    outcome = await target.send(wave)
    assert [message.key for message, _ in outcome.refused] == [wave[0].key]
    assert [message.key for message in outcome.waiting] == [wave[2].key]
    assert outcome.reason == "nobody there"
    await target.close()


async def test_while_the_broker_is_away_nothing_is_lost(brand, broker):
    till = await Till(brand).open()
    async with carrying(brand, target_of(broker, timeout_s=0.5)) as progress:
        await till.scan(20, Random(3))
        await eventually(has_all(broker, till))
        broker.down()
        await till.scan(20, Random(4))
        await is_at_a_loss(progress, 2)
        assert not await nothing_is_left(brand)
        broker.up()
        await eventually(has_all(broker, till), 40)
    assert await nothing_is_left(brand)


def test_what_the_client_is_told():
    tls = ssl.create_default_context()
    for brokers, protocol in (
        (Brokers(servers=("a:1",)), "PLAINTEXT"),
        (Brokers(servers=("a:1",), tls=tls), "SSL"),
        (Brokers(servers=("a:1",), mechanism="PLAIN", user="u", password="p"), "SASL_PLAINTEXT"),
        (Brokers(servers=("a:1",), mechanism="PLAIN", user="u", password="p", tls=tls), "SASL_SSL"),
    ):
        assert brokers.options()["security_protocol"] == protocol
        assert "password='p'" not in repr(brokers)


def test_without_aiokafka_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    with pytest.raises(ConfigurationError, match="extra `kafka`"):
        KafkaTarget(Brokers(servers=("127.0.0.1:1",)), topic="t", brand="main")
