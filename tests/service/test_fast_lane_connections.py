"""A connection while the lane has a scan of it outstanding: what comes, who goes, and what ends it."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web_protocol

from tests.fuzz.seeds import get, scan
from tests.fuzz.wires import ANSWER, Wire
from tests.running import PATIENCE_S, eventually
from tests.service.lanes import LOOPS, WAIT_S, Gate, NewLoop, Shop, shop_in, with_a_shop


def answers(wire: Wire) -> int:
    return len(ANSWER.findall(wire.data))


def ids(wire: Wire) -> list[bytes]:
    """The scans that were answered, in their order."""
    return [part[:16] for part in bytes(wire.data).split(b'"scan_id":"')[1:]]


def scan_ids(shop: Shop, ks: Sequence[int]) -> list[bytes]:
    return [shop.hand.table.scan_id(*shop.hand.place("plain", k)).encode() for k in ks]


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@with_a_shop()
async def test_who_hangs_up_has_scanned_all_the_same(shop: Shop, gate: Gate) -> None:
    wire, tap = await shop.outstanding(gate)
    connection = weakref.ref(tap.connection)
    wire.transport.abort()
    await tap.until(10**9)
    await some_turns()
    assert shop.side.server.connections == []
    gate.is_open.set()
    await shop.side.scanner.batcher.drain()
    assert shop.side.scanner.cells.get("outcome.accepted") == 1
    del wire, tap
    await some_turns()
    gc.collect()
    assert connection() is None
    [reply] = await shop.side.ask([shop.scan(0)])
    assert reply.outcome == "replayed"


@with_a_shop()
async def test_what_comes_meanwhile_waits_and_is_answered_in_order(shop: Shop, gate: Gate) -> None:
    wire, tap = await shop.outstanding(gate)
    wire.transport.write(shop.scan(1))
    await tap.until(2 * len(shop.scan(0)))
    assert not tap.connection.transport.is_reading()
    for more in (shop.scan(2), get(shop.hand, f"/v1/codes/{shop.hand.code()}"), shop.scan(3), shop.scan(0)):
        wire.transport.write(more)
    await some_turns()
    assert tap.received == 2 * len(shop.scan(0))
    assert gate.arrived == 1
    gate.is_open.set()
    await wire.until(lambda: answers(wire) == 6)
    assert ids(wire) == scan_ids(shop, (0, 1, 2, 3, 0))
    assert bytes(wire.data).index(b'"genuine"') > bytes(wire.data).index(scan_ids(shop, [2])[0])
    assert bytes(wire.data).endswith(b"}")


@LOOPS
@pytest.mark.parametrize("behind", [b"", b"garbage\r\n\r\n", b"POST /v1/scans HTTP/1.1\r\n"])
@pytest.mark.parametrize("has_lane", [True, False])
def test_a_shutdown_waits_for_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_loop: NewLoop, behind: bytes, has_lane: bool
) -> None:
    """The same with the lane and without: what came behind the scan is not answered any more."""

    async def play() -> None:
        gate = Gate(monkeypatch)
        async with shop_in(tmp_path / "data", fast_lane=has_lane) as shop:
            await _shut_down(shop, gate, behind)
            assert shop.side.taken == has_lane

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(play())


async def _shut_down(shop: Shop, gate: Gate, behind: bytes) -> None:
    wire, tap = await shop.side.wire()
    idle, _ = await shop.side.wire()
    wire.transport.write(shop.scan(0))
    await gate.until(1)
    if behind:
        wire.transport.write(behind)
        await tap.until(len(shop.scan(0)) + len(behind))
    # It may take as long as WAIT_S; that it does not, the limit shows.
    async with asyncio.timeout(WAIT_S / 2):
        shutdown = asyncio.create_task(shop.side.runner.cleanup())
        await idle.until(lambda: False)
        assert not wire.data
        gate.is_open.set()
        await shutdown
        await wire.until(lambda: False)
    assert ids(wire) == scan_ids(shop, [0])
    assert answers(wire) == 1


@with_a_shop()
async def test_a_shutdown_does_not_wait_for_ever(shop: Shop, gate: Gate) -> None:
    wire, _ = await shop.outstanding(gate)
    async with asyncio.timeout(PATIENCE_S):
        shop.side.server.pre_shutdown()
        await shop.side.server.shutdown(0.05)
        await wire.until(lambda: False)
    assert not wire.data
    gate.is_open.set()
    await shop.side.scanner.batcher.drain()
    assert shop.side.scanner.cells.get("outcome.accepted") == 1


@with_a_shop()
async def test_closing_comes_after_the_answer(shop: Shop, gate: Gate) -> None:
    wire, tap = await shop.outstanding(gate)
    tap.connection.close()
    await some_turns()
    assert not wire.is_over
    gate.is_open.set()
    await wire.until(lambda: False)
    assert ids(wire) == scan_ids(shop, [0])
    assert tap.is_lost


@with_a_shop(keepalive_timeout_s=1)
async def test_idle_is_who_has_nothing_outstanding(shop: Shop, gate: Gate) -> None:
    """The timer of an idle connection runs out during a scan, and once more after it."""
    wire, tap = await shop.outstanding(gate)

    async def has_run_out() -> bool:
        return tap.connection._keepalive_handle is None

    await eventually(has_run_out)
    assert not wire.is_over
    gate.is_open.set()
    await wire.until(lambda: answers(wire) == 1)
    assert tap.connection._keepalive_handle is not None
    await wire.until(lambda: False)
    assert ids(wire) == scan_ids(shop, [0])
    await tap.until(10**9)


@with_a_shop()
async def test_the_timer_begins_anew_with_each_answer(shop: Shop, gate: Gate) -> None:
    gate.is_open.set()
    wire, tap = await shop.side.wire()
    until = tap.connection._next_keepalive_close_time
    for k, code in enumerate((shop.hand.code(), "0" * 24, shop.hand.code(), "none")):
        await asyncio.sleep(0.002)
        wire.transport.write(scan(shop.hand, code=code))
        await wire.until(lambda k=k: answers(wire) == k + 1)
        until, before = tap.connection._next_keepalive_close_time, until
        assert until > before


@with_a_shop()
async def test_who_does_not_read_is_not_written_to_for_ever(shop: Shop, gate: Gate) -> None:
    gate.is_open.set()
    wire, tap = await shop.side.wire(receive_bytes=4096)
    buffer = tap.connection.transport.get_extra_info("socket")
    buffer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # or there is room for thousands
    wire.transport.pause_reading()
    forged, sent = scan(shop.hand, code="0" * 24), 0

    async def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            wire.transport.write(forged)
            sent += 1
            await tap.until(sent * len(forged))

    while not tap.connection.writing_paused:
        assert not tap.is_lost
        assert sent < 50_000
        await send(1)
    taken = shop.side.taken
    assert taken == sent
    await send(web_protocol.MAX_MSG_QUEUE_SIZE)  # more of them are not read meanwhile
    assert shop.side.taken == taken
    wire.transport.resume_reading()
    await wire.until(lambda: answers(wire) >= sent)
    assert answers(wire) == bytes(wire.data).count(b'"unknown_code"') == sent
    wire.transport.write(shop.scan(0))
    await wire.until(lambda: answers(wire) > sent)
    assert shop.side.taken == taken + 1


@with_a_shop()
async def test_a_fault_behind_the_answer_is_no_second_one(shop: Shop, gate: Gate) -> None:
    """What came meanwhile cannot be read: that is this connection's trouble, and not its neighbour's."""
    (wire, tap), (other, _) = await shop.outstanding(gate), await shop.side.wire()
    other.transport.write(shop.scan(1))
    wire.transport.write(shop.scan(2))
    await tap.until(2 * len(shop.scan(0)))

    def broken(data: bytes) -> None:
        raise RuntimeError("a fault of ours")

    tap.connection.data_received = broken
    gate.is_open.set()
    await other.until(lambda: answers(other) == 1)
    await wire.until(lambda: answers(wire) == 1)
    await shop.side.scanner.batcher.drain()
    await some_turns()
    assert ids(wire) == scan_ids(shop, [0])
    assert ids(other) == scan_ids(shop, [1])
    assert answers(wire) == 1


@with_a_shop()
async def test_one_connection_is_served_by_both_ways_in_turn(shop: Shop, gate: Gate) -> None:
    gate.is_open.set()
    look = get(shop.hand, f"/v1/codes/{shop.hand.code()}")
    replies = await shop.side.ask([shop.scan(0), look, shop.scan(1), look, shop.scan(2)])
    assert [reply.outcome for reply in replies] == ["accepted", "genuine"] * 2 + ["accepted"]
    assert shop.side.taken == 3
