"""What the group gives to somebody else, or again, while a consumer has it in hand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scanner.queue import Event
from scanner.queue.consuming.hands import Hands
from tests.queue.streams import Stream, running, stream_in
from tests.running import eventually


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    async with stream_in(tmp_path) as stream:
        yield stream


class Held:
    """A consumer whose handler waits until it may go on. ``seen`` is what it was given."""

    def __init__(self, stream: Stream, name: str, **options: object) -> None:
        self.seen: list[str] = []
        self.may_go_on = asyncio.Event()
        self.consumer = stream.consumer(name=name, **options)

        @self.consumer.handler
        async def hold(event: Event) -> None:
            self.seen.append(event.entry)
            await self.may_go_on.wait()

    @property
    def in_hand(self) -> int:
        intake = self.consumer._intake
        return 0 if intake is None else sum(len(source.held) for source in intake._sources)


async def taken_by_another(stream: Stream, *, until: int) -> tuple[list[str], list[str]]:
    """Two consumers. The store's clock steps ahead, so that what the first has in hand seems to be left long
    ago, and the second takes it over. They go on when the first has refreshed, and has so many in hand; what
    each of them has handled then."""
    await stream.scans(20, members=20)
    first, second = (Held(stream, name, take_over_s=3.0, concurrency=1) for name in ("first", "second"))

    async def has(held: Held, number: int) -> bool:
        return held.in_hand == number

    async with running(first.consumer):
        await eventually(lambda: has(first, 20))
        pending = [entry for entry, _, _ in await stream.pending()]
        await stream.raw("XCLAIM", stream.keys().events, "points", "second", 0, *pending, "JUSTID")
        async with running(second.consumer):

            async def is_whose() -> bool:
                return {name for _, name, _ in await stream.pending()} == {"first" if until else "second"}

            await eventually(is_whose)
            await eventually(lambda: has(first, until))
            first.may_go_on.set()
            second.may_go_on.set()
            await stream.nothing_left()
            await eventually(lambda: has(first, 0))
    return first.seen, second.seen


async def test_what_another_has_taken_over_is_not_taken_back(stream: Stream) -> None:
    first, second = await taken_by_another(stream, until=0)
    assert (len(first), len(second), len({*second})) == (1, 20, 20)  # one had been begun


async def test_control_who_refreshes_without_a_look_takes_it_back(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hands, "_hold", Hands._refresh)
    first, _ = await taken_by_another(stream, until=20)
    assert len(first) == 20


async def test_what_is_given_again_while_it_is_in_hand_is_counted_once(stream: Stream) -> None:
    """As after a fail-over to a replica that had not heard that the group was given these."""
    held = Held(stream, "w", ahead=20, concurrency=20)

    async def have_begun() -> bool:
        return {*entries} <= {*held.seen}

    async with running(held.consumer):
        for _ in range(3):
            held.may_go_on.clear()
            before = await stream.scan("before")
            entries = await stream.scans(9, members=9)
            await eventually(have_begun)
            await stream.ask("XACK", stream.keys().events, "points", *entries)
            await stream.ask("XGROUP", "SETID", stream.keys().events, "points", before)
            entries = [await stream.scan("after")]
            await eventually(have_begun)
            held.may_go_on.set()
            await stream.nothing_left()
        intake = held.consumer._intake
        assert intake is not None
        assert intake._in_hand == held.in_hand == 0
