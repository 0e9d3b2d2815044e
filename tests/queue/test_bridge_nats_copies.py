"""Copies of a message on the way to NATS JetStream: what the server tells itself, and what is looked up."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js.api import RetentionPolicy, StreamConfig

from scanner.queue.bridges.bridge import message_of
from scanner.queue.bridges.nats import NewStream
from scanner.queue.bridges.nats_earlier import CLOCKS_DIFFER_S, may_be_forgotten
from tests.nats import nats_server, window_passed
from tests.queue.bridging import event
from tests.queue.jetstream import STREAM, keys_in, opened


@pytest.fixture
async def server(tmp_path: Path):
    async with nats_server(tmp_path / "nats") as server:
        yield server


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
        await window_passed(server, STREAM, "scanner.main.probe")
        again = [message_of(event(no), "main", is_repeat=looks) for no in range(1500)]
        assert not (await target.send(again)).waiting
        new = [message_of(event(no), "main", is_repeat=looks) for no in range(1400, 1600)]
        await target.send(new)
    keys = await keys_in(server)
    assert len(set(keys)) == 1600
    assert len(keys) >= 1500 * copies + 100
    assert (len(keys) == 1600) is looks


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
        await window_passed(server, STREAM, "scanner.main.probe")
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


@given(
    window_s=st.floats(0.1, 86_400),
    age_s=st.floats(0, 1e6),
    behind_s=st.floats(-CLOCKS_DIFFER_S, CLOCKS_DIFFER_S),
)
def test_what_the_server_may_have_forgotten_is_looked_up_though_clocks_differ(window_s, age_s, behind_s):
    if age_s > window_s + 0.001:
        assert may_be_forgotten(1e9, 1e9 + age_s - behind_s, window_s)


def test_it_is_looked_up_where_our_clock_was_put_back():
    assert may_be_forgotten(1e9, 1e9 - 3600, 120)


def test_what_was_sent_a_moment_ago_is_not_looked_up():
    assert not may_be_forgotten(1e9, 1e9 + 5, 120)
