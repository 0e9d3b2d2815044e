"""The bridge to NATS JetStream, on a real server: each event is there once, whatever is killed."""

import asyncio
import json
import sys
from pathlib import Path
from random import Random

import pytest

from scanner.errors import ConfigurationError
from scanner.queue import Consumer
from scanner.queue.bridges import bridge as bridge_module
from scanner.queue.bridges.bridge import Sent, TargetError, TargetRefusedError, message_of, waves
from scanner.queue.bridges.nats import Connection, JetStreamTarget, subject_of
from scanner.queue.events import event_of
from tests.nats import NatsServer, messages_of, nats_server
from tests.queue.bridging import Till, carrying, event, is_at_a_loss, unacknowledged
from tests.queue.jetstream import STREAM, keys_in, opened, target_of
from tests.running import eventually

DICE = Random(6)


@pytest.fixture
async def server(tmp_path: Path):
    async with nats_server(tmp_path / "nats") as server:
        yield server


async def has_all(server: NatsServer, till: Till) -> bool:
    return till.ids <= set(await keys_in(server))


# One target ------------------------------------------------------------------------------------------------


async def test_a_message_is_a_cloudevent_under_its_own_id(server):
    message = message_of(event(1), "main")
    async with opened(server) as target:
        assert not (await target.send([message])).waiting
    async with server.jetstream() as context:
        [stored] = await messages_of(context, STREAM)
    assert stored.subject == "scanner.main.spring.scan.accepted"
    assert stored.headers["Nats-Msg-Id"] == "SCAN000000000001"
    body = json.loads(stored.data)
    assert (body["specversion"], body["id"]) == ("1.0", "SCAN000000000001")
    assert body["type"] == "scanner.scan.accepted"
    assert body["data"]["member"] == "m1"


def test_subjects_have_no_signs_that_mean_something_there():
    fields = {"type": "scan.*.>", "at": "1"}
    assert subject_of("p", "b", message_of(event_of("1-1", fields), "b")) == "p.b._.scan._._"


async def test_without_a_stream_it_is_refused_and_says_what_to_do(server):
    target = target_of(server, create=None)
    with pytest.raises(TargetRefusedError, match="--create-stream"):
        await target.check()


async def test_a_stream_that_is_there_is_taken_as_it_is(server):
    async with server.jetstream() as context:
        await context.add_stream(name=STREAM, subjects=["scanner.>"], duplicate_window=7)
    async with opened(server) as target:
        assert target._window_s == 7


async def test_a_target_that_is_at_it_for_long_is_left_after_stop(brand, server, monkeypatch):
    monkeypatch.setattr(bridge_module, "STOP_S", 0.05)
    till = await Till(brand).open()
    await till.scan(1, Random(3))
    target, has_begun = target_of(server), asyncio.Event()

    async def looks_for_ever(*_):
        has_begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(target, "_look_up", looks_for_ever)
    async with carrying(brand, target):
        await has_begun.wait()
    assert await unacknowledged(brand) > 0


async def test_nobody_listens_there_and_it_stays_with_us(server):
    async with opened(server) as target:
        async with server.jetstream() as context:
            await context.delete_stream(STREAM)
        sent = await target.send([message_of(event(1), "main")])
    assert len(sent.waiting) == 1
    assert "no stream" in sent.reason


@pytest.mark.parametrize(
    "greeting", [b"", b"INFO []", b'INFO {"max_payload": "x"}', b"HTTP/1.1 400 Bad Request"]
)
async def test_what_greets_as_nats_does_not_is_a_trouble_and_no_end(greeting):
    async def greet(_, writer):
        writer.write(greeting + b"\r\n" if greeting else b"")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        url = f"nats://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        target = JetStreamTarget(Connection(servers=(url,)), stream=STREAM, brand="main", timeout_s=0.2)
        with pytest.raises(TargetError):
            await target.check()
        await target.close()


async def test_another_stream_does_not_get_our_messages(server):
    async with server.jetstream() as context:
        await context.add_stream(name="other", subjects=["scanner.>"])
        await context.add_stream(name=STREAM, subjects=["nothing.>"])
    async with opened(server) as target:
        sent = await target.send([message_of(event(1), "main")])
    assert len(sent.waiting) == 1
    assert "expected stream" in sent.reason


async def test_what_is_too_large_only_with_its_headers_is_refused_for_good(tmp_path):
    """The server counts them, and breaks the connection of who sends more, each time."""
    async with nats_server(tmp_path / "nats", "max_payload: 4096") as server, opened(server) as target:
        fits = len(message_of(event(1, note=""), "main").body)
        wave = [message_of(event(1, note="x" * (size - fits)), "main") for size in range(3900, 4097)]
        for message in wave:
            before = len(await keys_in(server))
            sent = await target.send([message])
            assert not sent.waiting, f"{len(message.body)} bytes: {sent.reason}"
            if sent.refused:
                break
        else:
            raise AssertionError("none was refused")
        assert before == 1
        assert 3900 < len(message.body) < 4096


async def test_what_is_too_large_is_refused_for_good_and_the_rest_is_taken(tmp_path):
    async with nats_server(tmp_path / "nats", "max_payload: 4096") as server, opened(server) as target:
        wave = [message_of(one, "main") for one in (event(1), event(2, note="x" * 9000), event(3))]
        sent = await target.send(wave)
        assert not sent.waiting
        [(message, reason)] = sent.refused
        assert message.event.serial == 2
        assert "more than NATS takes" in reason
        assert len(await keys_in(server)) == 2


@pytest.mark.parametrize("right", [True, False])
async def test_a_password_lets_in_or_not(tmp_path, right):
    user = 'authorization { user: "bridge", password: "s3cret-word" }'
    async with nats_server(tmp_path / "nats", user) as server:
        password = "s3cret-word" if right else "another-word"
        target = target_of(server, connection={"user": "bridge", "password": password})
        assert password not in repr(target._connection)
        try:
            if right:
                await target.check()
            else:
                with pytest.raises(TargetError, match="does not let this user in") as refused:
                    await target.check()
                assert password not in str(refused.value)
        finally:
            await target.close()


async def test_who_may_not_publish_hears_why(tmp_path):
    users = """authorization { users: [
        {user: "all", password: "a"},
        {user: "bridge", password: "b", permissions: {publish: {deny: "scanner.>"}}} ] }"""
    async with nats_server(tmp_path / "nats", users) as server:
        async with opened(server, connection={"user": "all", "password": "a"}):
            pass
        async with opened(server, connection={"user": "bridge", "password": "b"}) as target:
            sent = await target.send([message_of(event(1), "main")])
    assert len(sent.waiting) == 1
    assert "permissions violation" in sent.reason.lower()


def test_messages_that_keep_their_order_are_never_under_way_together():
    messages = [message_of(event(no, member), "main") for no, member in enumerate("abcbacc")]
    parts = [[message.event.member for message in wave] for wave in waves(messages)]
    assert parts == [["a", "b", "c"], ["b", "a", "c"], ["c"]]


def test_without_nats_py_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(ConfigurationError, match="extra `nats`"):
        JetStreamTarget(Connection(servers=("nats://127.0.0.1:1",)), stream="s", brand="main")


# The way there ---------------------------------------------------------------------------------------------


async def test_events_arrive_in_order_and_are_acknowledged(brand, server):
    till = await Till(brand).open()
    await till.scan(60, DICE)
    async with carrying(brand, target_of(server)):
        await till.scan(60, DICE)
        await eventually(lambda: has_all(server, till))
    keys = await keys_in(server)
    assert len(keys) == len(set(keys))
    for ids in till.of.values():
        assert [key for key in keys if key in ids] == ids
    assert await unacknowledged(brand) == 0


async def test_while_the_server_is_away_nothing_is_acknowledged_or_lost(brand, server):
    till = await Till(brand).open()
    async with carrying(brand, target_of(server, timeout_s=0.5)) as progress:
        await till.scan(20, DICE)
        await eventually(lambda: has_all(server, till))
        await server.kill()
        await till.scan(20, DICE)
        await is_at_a_loss(progress, 3)
        assert await unacknowledged(brand) > 0
        await server.start()
        await eventually(lambda: has_all(server, till))
        server.pause()
        await till.scan(20, DICE)
        await is_at_a_loss(progress, progress.tries + 2)
        server.go_on()
        await eventually(lambda: has_all(server, till))
    keys = await keys_in(server)
    assert len(keys) == len(set(keys))
    assert await unacknowledged(brand) == 0


async def test_a_full_stream_waits_until_there_is_room(brand, server):
    till = await Till(brand).open()
    async with server.jetstream() as context:
        limits = {"max_msgs": 10, "discard": "new"}
        await context.add_stream(name=STREAM, subjects=["scanner.>"], **limits)
        await till.scan(20, DICE)
        async with carrying(brand, target_of(server)) as progress:
            await is_at_a_loss(progress, 3)
            assert await unacknowledged(brand) > 0
            await context.update_stream(name=STREAM, subjects=["scanner.>"], **{**limits, "max_msgs": 10_000})
            await eventually(lambda: has_all(server, till))
    keys = await keys_in(server)
    assert len(keys) == len(set(keys))


async def test_a_server_that_reads_no_more_is_left(server):
    """However much is under way: neither sending nor closing waits for what it has not read."""
    target = target_of(server, timeout_s=0.2)
    await target.check()
    server.pause()
    wave = [message_of(event(no, note="x" * 200_000), "main") for no in range(100)]
    async with asyncio.timeout(15):
        assert len((await target.send(wave)).waiting) == 100
        await target.close()
    server.go_on()
    async with opened(server) as target:
        assert not (await target.send(wave)).waiting
    assert len(await keys_in(server)) == 100


async def test_it_stops_while_the_store_is_away_and_a_message_can_never_be_taken(brand, server, monkeypatch):
    monkeypatch.setattr(bridge_module, "STOP_S", 0.05)
    till = await Till(brand).open()
    await till.scan(1, Random(3))
    target, has_begun = target_of(server), asyncio.Event()

    async def refuses(wave):
        return Sent(refused=[(message, "too large") for message in wave])

    async def waits_for_the_store(*_):
        has_begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(target, "send", refuses)
    monkeypatch.setattr(Consumer, "reject", waits_for_the_store)
    async with carrying(brand, target):
        await has_begun.wait()
    assert await unacknowledged(brand) > 0


async def test_it_stops_while_the_server_is_away_and_acknowledges_nothing(brand, server):
    till = await Till(brand).open()
    await server.stop()
    await till.scan(10, DICE)
    async with carrying(brand, target_of(server)) as progress:
        await is_at_a_loss(progress, 2)
    assert await unacknowledged(brand) > 0
    await server.start()
    async with carrying(brand, target_of(server)):
        await eventually(lambda: has_all(server, till))
    assert await unacknowledged(brand) == 0


async def test_what_can_never_be_taken_is_a_dead_letter_and_holds_nobody_up(brand, server, monkeypatch):
    till = await Till(brand).open()
    await till.scan(5, DICE)
    target = target_of(server)
    await target.check()
    send = target._publish

    async def spoilt(client, messages):
        sent = await send(client, [one for one in messages if one.event.type != "lot.activated"])
        bad = [(one, "refused") for one in messages if one.event.type == "lot.activated"]
        return type(sent)(sent.waiting, sent.reason, [*sent.refused, *bad])

    monkeypatch.setattr(target, "_publish", spoilt)
    async with carrying(brand, target) as progress:
        await eventually(lambda: has_all(server, till))
    assert progress.refused == 1
    assert await brand.store.client.xlen(brand.store.keys.dead("bridge")) == 1
