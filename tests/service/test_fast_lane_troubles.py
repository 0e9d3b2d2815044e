"""The lane where the store, the directory or the installation is not as it should be: as without it."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from scanner.errors import StoreLostError, StoreUnavailableError
from scanner.identity import Member
from scanner.ledger import lots, operations
from scanner.ledger.embedded import EmbeddedStore
from scanner.service import fast_lane
from scanner.service.connection import Protocol
from scanner.service.fast_lane import connections
from scanner.service.fast_lane._native import Known
from scanner.service.fast_lane.connection import FastProtocol
from scanner.settings import load_settings
from tests.brand import Brand, brand_in, campaign_toml
from tests.fuzz.furnished import FRIENDS, Hand
from tests.fuzz.seeds import by, scan
from tests.fuzz.wires import undated
from tests.service.lanes import LOOPS, Gate, Lanes, NewLoop, lanes_in, served, shop_in
from tests.service.pools import wheel

KNOWN_MAX = 16_384
COUPON = """
[[pool]]
id = "p{no:02}-{long}"
draw = "every"
game = "{game}"
[[pool.prize]]
id = "{game}"
kind = "coupon"
amount = 1
coupon = "{coupon}"
"""


@pytest.fixture
async def lanes(tmp_path: Path) -> AsyncIterator[Lanes]:
    async with lanes_in(tmp_path / "data") as lanes:
        yield lanes


def hand_of(lanes: Lanes, number: int = 0) -> Hand:
    brand = lanes.fast.brand
    return Hand(brand, brand.keyring.table(), lanes.lots, number)


UNREADABLE = (b"", b"?", b"A", b"A\0\0\0\0\0\1", b"A" + bytes(23), b"L\0", b"X\0\0")
# Campaign 1, and after the digests a prize of which half is there, or the number of an amount.
DAMAGED = tuple(b"A" + bytes(6) + b"\0\1" + bytes(16) + rest for rest in (b"\1", b"\1\1\0\1\0", b"\0"))
# Things that no store of ours says: a campaign and a prize that never were.
UNHEARD = tuple(
    b"A" + bytes(6) + rest for rest in (b"\xff\xff" + bytes(16), b"\0\1" + bytes(16) + b"\xfe\xfe")
)


async def test_what_the_store_should_not_have_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(monkeypatch)
    gate.is_open.set()
    refused: list[tuple[str, bytes | Exception]] = [
        *(("unavailable", said) for said in (StoreLostError("gone"), StoreUnavailableError("no"), b"Y")),
        *(("unavailable", said) for said in (*UNREADABLE, *DAMAGED)),
        *(("internal_error", said) for said in (RuntimeError("a fault of ours"), *UNHEARD)),
    ]
    async with lanes_in(tmp_path / "data", keepalive_timeout_s=600) as lanes:
        for number, (outcome, gate.said) in enumerate(refused):
            hand = hand_of(lanes, number)
            scans = [scan(hand), scan(hand, channel="shop")]
            fast, plain = await lanes.ask(scans)
            assert fast == plain, gate.said
            assert [orjson.loads(reply.body)["outcome"] for reply in plain] == [outcome] * 2, gate.said
            assert (outcome == "internal_error") is ("a request failed" in caplog.text)
            caplog.clear()
        assert lanes.fast.taken == 2 * len(refused)


async def test_a_store_that_hangs(tmp_path: Path) -> None:
    async with lanes_in(tmp_path / "data", store_timeout_ms=100) as lanes:
        hand = hand_of(lanes)
        await lanes.ask([scan(hand)])
        pid = EmbeddedStore(lanes.fast.brand.settings.data_dir).pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            fast, plain = await lanes.ask([scan(hand, k=1), scan(hand, code="0" * 24)])
        finally:
            os.kill(pid, signal.SIGCONT)
        assert fast == plain
        assert [(reply.status, reply.outcome) for reply in plain] == [
            (503, "unavailable"),
            (404, "unknown_code"),
        ]
        assert plain[0].headers["retry-after"] == "1"
        fast, plain = await lanes.ask([scan(hand, k=1), scan(hand, k=2)])
        # The one that got no answer may have been claimed all the same.
        assert {fast[0].outcome, plain[0].outcome} <= {"accepted", "replayed"}
        assert fast[1] == plain[1]
        assert plain[1].outcome == "accepted"


@LOOPS
def test_as_many_wait_as_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_loop: NewLoop) -> None:
    async def play(has_lane: bool) -> list[bytes]:
        gate = Gate(monkeypatch)
        directory = tmp_path / f"data-{has_lane}"
        async with shop_in(directory, {"away_max": 1, "waiting_max": 2}, fast_lane=has_lane) as shop:
            wires = [(await shop.side.wire())[0] for _ in range(5)]
            for k, wire in enumerate(wires):
                wire.transport.write(shop.scan(k))
                if k == 0:
                    await gate.until(1)
                elif k > 2:  # the first is away, and two wait
                    await wire.until(lambda wire=wire: bool(wire.data))
            assert [bool(wire.data) for wire in wires] == [False, False, False, True, True]
            wires[3].transport.write(shop.scan(3))
            await wires[3].until(lambda: wires[3].data.count(b'"overloaded"') == 2)
            gate.is_open.set()
            for wire in wires:
                await wire.until(lambda wire=wire: bool(wire.data))
            assert shop.side.scanner.cells.get("outcome.overloaded") == 3
            return [undated(bytes(wire.data)) for wire in wires]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        fast, plain = runner.run(play(True)), runner.run(play(False))
    assert fast[3:] == plain[3:]
    for data in fast[3:]:
        assert data.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in data


async def furnish_long(brand: Brand) -> dict[str, int]:
    """A campaign whose answers are longer than the lane writes itself."""
    pools = "".join(COUPON.format(no=no, long="x" * 28, game="g" * 32, coupon="油" * 64) for no in range(50))
    await brand.apply(campaign_toml(pools=pools))
    return {"plain": await brand.lot(10)}


async def test_an_answer_that_is_very_long(tmp_path: Path) -> None:
    async with lanes_in(tmp_path / "data", furnish_long) as lanes:
        hand = hand_of(lanes)
        fast, plain = await lanes.ask([scan(hand), scan(hand)])
        assert fast == plain
        assert [reply.outcome for reply in plain] == ["accepted", "replayed"]
        assert len(plain[0].body) > 16_384
        assert lanes.fast.taken == 2


async def test_news_that_have_not_arrived(lanes: Lanes) -> None:
    """What was changed is in force with the next scan: the store says that the directory is behind."""
    hand = hand_of(lanes)
    fast, plain = await lanes.ask([scan(hand, lot=lot) for lot in ("plain", "seller", "friends")])
    assert fast == plain
    for side in (lanes.fast, lanes.plain):
        store = side.brand.store
        await lots.move(store, lanes.lots["plain"], by="test", campaign="friends")
        await lots.assign(store, lanes.lots["seller"], by="test", seller="S-9")
        await side.brand.apply(campaign_toml("friends", FRIENDS + wheel()))
        await operations.resume(store, "paused", by="test")
        await lots.block(store, lanes.lots["pin"], by="test")
    scans = [scan(hand, k=1, lot=lot) for lot in ("plain", "seller", "friends", "paused")]
    fast, plain = await lanes.ask([*scans, scan(hand, lot="pin", pin=hand.pin()), scan(hand)])
    assert fast == plain
    assert [reply.outcome for reply in plain] == [*["accepted"] * 4, "blocked", "replayed"]
    assert b'"share"' in plain[0].body
    assert b'"ticket"' in plain[2].body
    one, other = await lanes.entries()
    assert one == other
    assert {entry.get(b"seller") for entry in one} >= {"店 17".encode(), b"S-9"}


async def test_a_token_is_good_until_it_expires(lanes: Lanes) -> None:
    hand = hand_of(lanes)
    for seconds, status in ((0, 200), (3599, 200), (0.999, 200), (0.001, 401), (1, 401)):
        await lanes.forward(seconds)
        fast, plain = await lanes.ask([scan(hand)])
        assert fast == plain
        assert plain[0].status == status
    assert lanes.fast.taken == 5


def known_tokens() -> int:
    return sum(type(one) is Known for one in gc.get_objects())


async def test_so_many_tokens_are_remembered(lanes: Lanes) -> None:
    hand = hand_of(lanes)
    wire, tap = await lanes.fast.wire()
    connection, lane = tap.connection, lanes.fast.lane
    assert isinstance(connection, FastProtocol)
    # What it costs to verify them is not the point.
    lane.recognise = lambda authorization, now_s: Known(Member("m"), bytes(8), now_s + 60, 1)
    gc.collect()
    forged, before = "0" * 24, known_tokens()
    for number in range(2 * KNOWN_MAX + 100):
        line = f"Authorization: Bearer {number}"
        assert lane.received(connection, by(hand, line, code=forged))
        if number % 64 == 63:
            await wire.until(lambda: wire.data.count(b'"unknown_code"') == 64)
            wire.data.clear()
    assert KNOWN_MAX <= known_tokens() - before <= 2 * KNOWN_MAX
    desks = lanes.fast.scanner.desks
    lane.use(desks.desk, desks.scans, desks.guard)
    gc.collect()
    assert known_tokens() == before


async def test_the_setting(tmp_path: Path) -> None:
    for is_on in (True, False):
        async with brand_in(tmp_path / "data", fast_lane=is_on) as brand, served(brand) as side:
            assert (side.connection is Protocol) is not is_on
    assert load_settings().fast_lane


@pytest.mark.parametrize("missing", ["native", "aiohttp", "name"])
async def test_where_it_cannot_run(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    """Then scans are served all the same, and the log says why it costs more."""
    scanner = brand.scanner()
    desks = scanner.desks
    if missing == "native":
        monkeypatch.setitem(sys.modules, "scanner.service.fast_lane._native", None)
    elif missing == "aiohttp":
        monkeypatch.setattr(fast_lane, "version", lambda name: "3.15.0")
    else:
        monkeypatch.setattr(fast_lane, "LEANS_ON", fast_lane.LEANS_ON | {"_gone"})
    with caplog.at_level(logging.WARNING, "scanner"):
        made = connections(
            desks.desk, desks.scans, desks.guard, scanner.batcher, scanner.cells, brand.settings
        )
    assert made is Protocol
    [record] = caplog.records
    reason = {"native": "native extension is missing", "aiohttp": "3.15.0", "name": "_gone"}[missing]
    assert reason in record.getMessage()
