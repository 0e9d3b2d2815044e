"""The watch over the stream: when it says that there is no room, for how long, and how often it says so."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import StoreUnavailableError
from scanner.queue.limits import (
    MEMORY_FULL_PERCENT,
    NEAR_PERCENT,
    RELEASE_POINTS,
    STREAM_FULL_PERCENT,
    Level,
    Limit,
    limits_of,
)
from scanner.service import pressure
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.service.pressure import QueueWatch
from tests.brand import Brand
from tests.running import PATIENCE_S


class Watched:
    """A watch over a brand's stream, which looks when it is told to."""

    def __init__(self, brand: Brand, **settings: int) -> None:
        self.cells = Cells(bytearray(ROW_BYTES), 0)
        self.watch = QueueWatch(brand.store, brand.settings.model_copy(update=settings), self.cells)

    @property
    def is_full(self) -> bool:
        return bool(self.cells.get("full"))


async def filled(brand: Brand, entries: int = 100) -> None:
    for n in range(entries):
        await brand.store.client.execute_command("XADD", brand.store.keys.events, f"{n + 1}-0", "type", "x")


async def no_look(*_: object) -> None:
    raise StoreUnavailableError("the store did not answer: it hangs")


async def test_without_a_look_the_last_decision_stays_and_lapses(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(brand)
    watched = Watched(brand, stream_max_bytes=100)
    await watched.watch.look()
    assert watched.is_full
    assert watched.watch.part()[0] is False
    monkeypatch.setattr(pressure, "read_status", no_look)
    caplog.clear()
    for _ in range(3):
        await watched.watch.look()
    assert watched.is_full
    assert [record.message for record in caplog.records] == [
        "the stream cannot be looked at: the store did not answer: it hangs"
    ]
    monkeypatch.setattr(pressure, "STALE_AFTER_S", 0)
    has_room, text = watched.watch.part()
    assert has_room is False
    assert "(as of 0 s ago; the log says why)" in text
    monkeypatch.setattr(pressure, "LAPSES_AFTER_S", 0)
    caplog.clear()
    for _ in range(2):
        await watched.watch.look()
        assert not watched.is_full
    assert [record.message for record in caplog.records] == [
        "the queue was at its limit, 0 s ago: claims are taken again"
    ]
    assert watched.watch.part() == (True, "not known (as of 0 s ago; the log says why)")


async def test_a_store_that_hangs_is_waited_for_no_longer_than_the_bound(
    brand: Brand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(pressure, "read_status", for_ever)
    monkeypatch.setattr(pressure, "LOOK_TIMEOUT_S", 0.01)
    watched = Watched(brand)
    async with asyncio.timeout(PATIENCE_S):
        await watched.watch.look()
    assert watched.watch.status is None
    assert watched.watch.part() == (True, "not known: the stream was not looked at yet; the log says why")


async def test_every_change_of_level_is_said_once(brand: Brand, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await filled(brand)
    watched = Watched(brand)
    await watched.watch.look()
    assert watched.watch.status is not None
    size = watched.watch.status.stream_bytes or 0

    async def look_at(limit: int) -> list[str]:
        settings = brand.settings.model_copy(update={"stream_max_bytes": limit})
        watched.watch._settings = settings
        caplog.clear()
        await watched.watch.look()
        await watched.watch.look()
        return [f"{record.levelname} {record.message[:30]}" for record in caplog.records]

    assert await look_at(10 * size) == []
    assert await look_at(size * 100 // 85) == ["WARNING the queue is near its limit: t"]
    assert await look_at(size) == ["ERROR the queue is at its limit, cla"]
    assert await look_at(size * 1000 // 985) == []  # 98.5 %: not yet
    assert watched.is_full
    assert await look_at(size * 1000 // 970) == ["WARNING the queue is near its limit: t"]
    assert not watched.is_full
    assert await look_at(10 * size) == ["INFO the queue has room again"]


PERCENT = st.integers(0, 130)


@pytest.mark.parametrize(("name", "full"), [("stream", STREAM_FULL_PERCENT), ("memory", MEMORY_FULL_PERCENT)])
@given(course=st.lists(PERCENT, max_size=30))
def test_full_at_the_limit_and_free_below_the_release(name: str, full: int, course: list[int]) -> None:
    """Over any course: full from the limit on, until two points below it; near from 80 % on, likewise."""
    level = Level.FREE
    for percent in course:
        sizes = (percent * 10, 1000, None, None) if name == "stream" else (None, 0, percent * 10, 1000)
        [limit] = limits_of(*sizes)
        before, level = level, limit.level(level)
        if percent >= full - RELEASE_POINTS * (before is Level.FULL):
            assert level is Level.FULL
        elif percent >= NEAR_PERCENT - RELEASE_POINTS * (before is not Level.FREE):
            assert level is Level.NEAR
        else:
            assert level is Level.FREE


def test_no_limit_is_none_and_what_is_not_known_is_not_full() -> None:
    assert limits_of(10**12, 0, 10**12, 0) == ()
    assert limits_of(None, 1, None, 1) == ()
    assert limits_of(0, 1, None, None) == (Limit("stream", 0, 1, STREAM_FULL_PERCENT),)
