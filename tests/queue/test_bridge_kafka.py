"""The bridge to Kafka, as far as it can be tested without Kafka: on librdkafka's mock broker."""

import asyncio
import json
import ssl
import sys
from contextlib import asynccontextmanager
from random import Random

import pytest

from scanner.errors import ConfigurationError
from scanner.queue import Consumer
from scanner.queue.bridges.bridge import Progress, TargetError, carry, message_of
from scanner.queue.bridges.kafka import Brokers, KafkaTarget
from scanner.queue.events import event_of
from tests.brand import Brand
from tests.faults.figures import say
from tests.faults.seeds import seeded, share
from tests.kafka import (
    INIT_PRODUCER_ID,
    MESSAGE_TOO_LARGE,
    NOT_ENOUGH_REPLICAS,
    PRODUCE,
    TOPIC_AUTHORIZATION_FAILED,
    MockBroker,
    mock_broker,
)
from tests.queue.bridging import Till, bridge, broken_bridge, first_of_each, nothing_is_left
from tests.running import eventually

KILLS = 5


@pytest.fixture
def broker():
    with mock_broker() as broker:
        yield broker


def event(no: int, member: str = "", **fields: str):
    scan = {
        **{"type": "scan.accepted", "at": "1764000000000", "id": f"SCAN{no:012d}", "campaign": "spring"},
        **{"member": member or f"m{no}", "rules": "r", "product": "06901234567892", "lot": "1"},
        **{"serial": str(no), "awards": "[]"},
    }
    return event_of(f"1764000000000-{no}", {**scan, **fields})


def target_of(broker: MockBroker, **values) -> KafkaTarget:
    values = {"topic": broker.topic, "brand": "main", "timeout_s": 2.0, **values}
    return KafkaTarget(Brokers(servers=(broker.server,)), **values)


@asynccontextmanager
async def carrying(brand: Brand, target: KafkaTarget):
    stop, progress = asyncio.Event(), Progress("target", _wait_s=(0.01, 0.1))
    async with Consumer("kafka", "one", store=brand.store, settings=brand.settings, tries=None) as consumer:
        work = asyncio.create_task(
            carry(consumer, target, brand="main", batch=100, progress=progress, stop=stop)
        )
        try:
            yield progress
            stop.set()
            async with asyncio.timeout(20):
                await work
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await target.close()


def id_of(record) -> str:
    return dict(record.headers)["ce_id"].decode()


async def ids_in(broker: MockBroker) -> list[str]:
    return [id_of(record) for record in await broker.records()]


def has_all(broker: MockBroker, till: Till):
    async def all_came() -> bool:
        return till.ids <= set(await ids_in(broker))

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
    assert set(await ids_in(broker)) == {f"SCAN{no:012d}" for no in range(20)}


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
    assert set(await ids_in(broker)) == {message.key for message in wave}


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
    assert sorted(await ids_in(broker)) == ["SCAN000000000001", "SCAN000000000003"]


async def test_a_batch_that_the_broker_finds_too_large_goes_one_by_one(broker):
    target = target_of(broker)
    wave = [message_of(event(no, "m"), "main") for no in range(5)]
    broker.answer(PRODUCE, MESSAGE_TOO_LARGE)
    outcome = await target.send(wave)
    assert len(outcome.waiting) == 5
    assert not outcome.refused
    assert not (await target.send(outcome.waiting)).waiting
    await target.close()
    assert len(set(await ids_in(broker))) == 5


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

        async def is_waiting() -> bool:
            return progress.tries >= 2

        await eventually(is_waiting, 40)
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
    with pytest.raises(ConfigurationError, match=r"scanner\[kafka\]"):
        KafkaTarget(Brokers(servers=("127.0.0.1:1",)), topic="t", brand="main")


async def killed_at_random(brand, broker, directory, dice, *, broken=""):
    till = await Till(brand).open()
    arguments = ("kafka", "--server", broker.server, "--topic", broker.topic, "--name", "one")
    arguments = (*arguments, "--type", "scan.accepted", "--batch", 20)
    start = (brand, directory, broken, *arguments) if broken else (brand, directory, *arguments)
    process = broken_bridge(*start) if broken else bridge(*start)
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
        await eventually(lambda: nothing_is_left(brand), 60)
        await process.end()
    finally:
        await process.remove()
    return till, await broker.records()


async def test_killed_at_random_each_scan_is_there_once_after_deduplication(brand, tmp_path):
    kills = double = 0
    for chapter in range(share(1, 10)):
        with seeded(chapter) as dice, mock_broker() as broker:
            if chapter:
                await brand.store.client.execute_command(
                    "XGROUP", "DESTROY", brand.store.keys.events, "kafka"
                )
            till, records = await killed_at_random(brand, broker, tmp_path / f"{chapter}", dice)
            assert till.ids <= {id_of(record) for record in records}
            for member, ids in till.of.items():
                came = first_of_each([id_of(one) for one in records if one.key == member.encode()])
                assert [id for id in came if id in set(ids)] == ids
            kills, double = kills + KILLS, double + len(records) - len({id_of(one) for one in records})
    say(f"bridge to Kafka's stand-in killed {kills} times: nothing lost, {double} came twice")


async def test_control_one_that_acknowledges_first_loses_some(brand, broker, tmp_path):
    with seeded() as dice:
        till, records = await killed_at_random(
            brand, broker, tmp_path / "b", dice, broken="acknowledges-first"
        )
    lost = till.ids - {id_of(record) for record in records}
    say(f"bridge to Kafka's stand-in, control acknowledges-first, {KILLS} kills: {len(lost)} lost")
    assert lost
