"""The bridge to NATS JetStream, on a real server: each event is there once, whatever is killed."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from nats.js.api import RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

from scanner.errors import ConfigurationError
from scanner.queue import Consumer
from scanner.queue.bridges import bridge as bridge_module
from scanner.queue.bridges import nats as nats_module
from scanner.queue.bridges.bridge import Progress, TargetError, TargetRefusedError, carry, message_of, waves
from scanner.queue.bridges.nats import Connection, JetStreamTarget, NewStream, subject_of
from scanner.queue.events import event_of
from tests.brand import Brand
from tests.faults.figures import say
from tests.faults.seeds import seeded, share
from tests.nats import NatsServer, messages_of, nats_server
from tests.queue.bridging import Till, bridge, broken_bridge, nothing_is_left
from tests.running import eventually

STREAM = "scanner-main"
KILLS = 5  # a chapter
DICE = Random(6)
MADE = NewStream()


@pytest.fixture
async def server(tmp_path: Path):
    async with nats_server(tmp_path / "nats") as server:
        yield server


def event(no: int, member: str = "", **fields: str):
    scan = {
        **{"type": "scan.accepted", "at": "1764000000000", "id": f"SCAN{no:012d}", "campaign": "spring"},
        **{"member": member or f"m{no}", "rules": "r", "product": "06901234567892", "lot": "1"},
        **{"serial": str(no), "awards": "[]"},
    }
    return event_of(f"1764000000000-{no}", {**scan, **fields})


def target_of(server: NatsServer, *, create: NewStream | None = MADE, **values) -> JetStreamTarget:
    connection = Connection(servers=(server.url,), **values.pop("connection", {}))
    return JetStreamTarget(connection, stream=STREAM, brand="main", create=create, **values)


@asynccontextmanager
async def opened(server: NatsServer, **values):
    target = target_of(server, **values)
    try:
        await target.check()
        yield target
    finally:
        await target.close()


@asynccontextmanager
async def carrying(brand: Brand, target: JetStreamTarget):
    """A bridge in this process; in the end it stops."""
    stop, progress = asyncio.Event(), Progress("target", _wait_s=(0.01, 0.1))
    async with Consumer("nats", "one", store=brand.store, settings=brand.settings, tries=None) as consumer:
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


async def keys_in(server: NatsServer) -> list[str]:
    with suppress(NotFoundError):  # nobody has made it yet
        async with server.jetstream() as context:
            return [json.loads(message.data)["id"] for message in await messages_of(context, STREAM)]
    return []


async def group_of(brand: Brand) -> dict[str, object]:
    groups = await brand.store.client.execute_command("XINFO", "GROUPS", brand.store.keys.events)
    named = [{name.decode(): value for name, value in _pairs(group)} for group in groups]
    return named[0] if named else {"pending": -1, "lag": -1}


def _pairs(group):
    return group.items() if isinstance(group, dict) else zip(group[::2], group[1::2], strict=True)


async def unacknowledged(brand: Brand) -> int:
    return int(str((await group_of(brand))["pending"]))


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


async def test_what_is_sent_twice_is_there_once(server):
    messages = [message_of(event(no), "main") for no in range(50)]
    async with opened(server) as target:
        await target.send(messages)
    async with opened(server) as target:
        assert not (await target.send(messages)).waiting
    assert len(await keys_in(server)) == 50


@pytest.mark.parametrize(("looks", "copies"), [(True, 1), (False, 2)])
async def test_after_the_duplicate_window_what_may_be_there_is_looked_up(server, looks, copies):
    """Without the look, which is the control, they are there twice."""
    async with opened(server, create=NewStream(duplicate_window_s=0.2)) as target:
        await target.send([message_of(event(no), "main") for no in range(1500)])
        await asyncio.sleep(1)  # the server's own window passes; nothing tells when
        again = [message_of(event(no), "main", is_repeat=looks) for no in range(1500)]
        assert not (await target.send(again)).waiting
        new = [message_of(event(no), "main", is_repeat=looks) for no in range(1400, 1600)]
        await target.send(new)
    keys = await keys_in(server)
    assert len(set(keys)) == 1600
    assert len(keys) >= 1500 * copies + 100
    assert (len(keys) == 1600) is looks


async def test_without_a_stream_it_is_refused_and_says_what_to_do(server):
    target = target_of(server, create=None)
    with pytest.raises(TargetRefusedError, match="--create-stream"):
        await target.check()


async def test_a_stream_that_is_there_is_taken_as_it_is(server):
    async with server.jetstream() as context:
        await context.add_stream(name=STREAM, subjects=["scanner.>"], duplicate_window=7)
    async with opened(server) as target:
        assert target._window_s == 7


async def test_what_a_work_queue_may_have_had_is_not_looked_up(server):
    """The server does not let one look there, and what was read is gone: only the window protects."""
    async with server.jetstream() as context:
        await context.add_stream(
            StreamConfig(name=STREAM, subjects=["scanner.>"], retention=RetentionPolicy.WORK_QUEUE)
        )
    old = [message_of(event(no), "main", is_repeat=True) for no in range(3)]
    async with opened(server) as target:
        assert not (await target.send(old)).waiting
        assert not (await target.send(old)).waiting
    async with server.jetstream() as context:
        assert (await context.stream_info(STREAM)).state.messages == 3


async def test_what_was_found_is_not_sent_when_the_connection_breaks_then(server, monkeypatch):
    async with opened(server, create=NewStream(duplicate_window_s=0.2)) as target:
        await target.send([message_of(event(1), "main")])
        await asyncio.sleep(1)  # the server's own window passes; nothing tells when
        wave = [message_of(event(no), "main", is_repeat=True) for no in (1, 2)]
        publish = target._publish

        async def breaks(*_):
            raise ConnectionResetError

        monkeypatch.setattr(target, "_publish", breaks)
        sent = await target.send(wave)
        assert [message.key for message in sent.waiting] == [wave[1].key]
        monkeypatch.setattr(target, "_publish", publish)
        assert not (await target.send(sent.waiting)).waiting
    assert len(await keys_in(server)) == 2


async def test_a_target_that_is_at_it_for_long_is_left_after_stop(brand, server, monkeypatch):
    monkeypatch.setattr(bridge_module, "STOP_S", 0.05)
    till = await Till(brand).open()
    await till.scan(1, Random(3))
    target, has_begun = target_of(server), asyncio.Event()

    async def looks_for_ever(_):
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


async def test_another_stream_does_not_get_our_messages(server):
    async with server.jetstream() as context:
        await context.add_stream(name="other", subjects=["scanner.>"])
        await context.add_stream(name=STREAM, subjects=["nothing.>"])
    async with opened(server) as target:
        sent = await target.send([message_of(event(1), "main")])
    assert len(sent.waiting) == 1
    assert "expected stream" in sent.reason


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
    with pytest.raises(ConfigurationError, match=r"scanner\[nats\]"):
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

        async def is_waiting() -> bool:
            return progress.tries >= 3

        await eventually(is_waiting)
        assert await unacknowledged(brand) > 0
        await server.start()
        await eventually(lambda: has_all(server, till))
        server.pause()
        await till.scan(20, DICE)
        tries = progress.tries

        async def waits_again() -> bool:
            return progress.tries >= tries + 2

        await eventually(waits_again, 40)
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

            async def is_waiting() -> bool:
                return progress.tries >= 3

            await eventually(is_waiting)
            assert await unacknowledged(brand) > 0
            await context.update_stream(name=STREAM, subjects=["scanner.>"], **{**limits, "max_msgs": 10_000})
            await eventually(lambda: has_all(server, till))
    keys = await keys_in(server)
    assert len(keys) == len(set(keys))


async def test_it_stops_while_the_server_is_away_and_acknowledges_nothing(brand, server):
    till = await Till(brand).open()
    await server.stop()
    await till.scan(10, DICE)
    async with carrying(brand, target_of(server)) as progress:

        async def is_waiting() -> bool:
            return progress.tries >= 2

        await eventually(is_waiting)
    assert await unacknowledged(brand) > 0
    await server.start()
    async with carrying(brand, target_of(server)):
        await eventually(lambda: has_all(server, till))
    assert await unacknowledged(brand) == 0


async def test_what_can_never_be_taken_is_a_dead_letter_and_holds_nobody_up(brand, server, monkeypatch):
    monkeypatch.setattr(nats_module, "_NEVER", {*nats_module._NEVER, 10060})  # another stream expected
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
    assert await brand.store.client.xlen(brand.store.keys.dead("nats")) == 1


# Killed ----------------------------------------------------------------------------------------------------


async def killed_at_random(
    brand: Brand, server: NatsServer, directory: Path, dice: Random, *, window_s: float, broken: str = ""
) -> tuple[Till, list[str]]:
    """Scans that arrive while the bridge is killed; what the stream has in the end."""
    async with server.jetstream() as context:
        await context.add_stream(name=STREAM, subjects=["scanner.>"], duplicate_window=window_s)
    till = await Till(brand).open()
    arguments = ("nats", "--server", server.url, "--name", "one", "--type", "scan.accepted", "--batch", 20)
    process = (
        broken_bridge(brand, directory, broken, *arguments)
        if broken
        else bridge(brand, directory, *arguments)
    )
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
    return till, await keys_in(server)


@pytest.mark.parametrize("window_s", [120, 0.1])
async def test_killed_at_random_each_scan_is_there_exactly_once(brand, server, tmp_path, window_s):
    """A window of 0.1 s has always passed when the bridge is back: only the look makes it once."""
    kills = 0
    for chapter in range(share(1, 10)):
        with seeded(chapter) as dice:
            if chapter:
                async with server.jetstream() as context:
                    await context.delete_stream(STREAM)
                await brand.store.client.execute_command("XGROUP", "DESTROY", brand.store.keys.events, "nats")
            till, keys = await killed_at_random(
                brand, server, tmp_path / f"{chapter}", dice, window_s=window_s
            )
            assert till.ids <= set(keys)
            assert len(keys) == len(set(keys))
            for ids in till.of.values():
                assert [key for key in keys if key in set(ids)] == ids
            kills += KILLS
    say(
        f"bridge to NATS killed {kills} times (duplicate window {window_s:g} s): each scan there exactly once"
    )


@pytest.mark.parametrize(
    ("broken", "window_s"), [("acknowledges-first", 120), ("no-message-id", 120), ("never-looks", 0.1)]
)
async def test_control_a_broken_bridge_is_found(brand, server, tmp_path, broken, window_s):
    with seeded() as dice:
        till, keys = await killed_at_random(
            brand, server, tmp_path / "broken", dice, window_s=window_s, broken=broken
        )
    lost, double = till.ids - set(keys), len(keys) - len(set(keys))
    say(f"bridge to NATS, control {broken}, {KILLS} kills: {len(lost)} lost, {double} double")
    assert lost if broken == "acknowledges-first" else double
