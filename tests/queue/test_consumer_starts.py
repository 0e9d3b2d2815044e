"""A beginning that is really there, and nothing that is passed over without a word."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from scanner.errors import StoreRefusedError
from scanner.queue import Event, TryLaterError
from scanner.queue.consuming.deliveries import Selection
from scanner.queue.consuming.partition import Partition
from scanner.queue.events import event_of
from scanner.queue.form.examples import EXAMPLES
from tests.queue.streams import Stream, award, running

STARTS = {
    "id": lambda ms: f"{ms}-0",
    "ms": str,
    "moment": lambda ms: datetime.fromtimestamp(ms / 1000, UTC),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
async def test_no_group_begins_before_what_was_trimmed(stream: Stream, start: Callable[[int], Any]) -> None:
    entries = [await stream.scan(id=f"{ms}-0") for ms in (1000, 2000, 3000, 4000)]
    await stream.ask("XTRIM", stream.keys().events, "MINID", "3000-0")
    with pytest.raises(StoreRefusedError, match=r"archive only.*start='2999-\d+'"):
        async with stream.consumer(start=start(1000)):
            pass
    assert await stream.groups() == []
    async with stream.consumer(start=start(3000)) as consumer:
        assert (await anext(consumer)).entry == entries[3 if start is not STARTS["moment"] else 2]
    async with stream.consumer("now", start="now"):
        pass


@pytest.mark.parametrize("may_destroy", [True, False])
async def test_a_group_that_was_made_too_late_is_not_left_to_begin_with_a_gap(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, may_destroy: bool
) -> None:
    for ms in (1000, 2000, 3000):
        await stream.scan(id=f"{ms}-0")
    make = Partition._make

    async def trimmed_meanwhile(self: Partition, *args: Any) -> bool:
        await stream.ask("XTRIM", stream.keys().events, "MINID", "3000-0")
        return await make(self, *args)

    monkeypatch.setattr(Partition, "_make", trimmed_meanwhile)
    if not may_destroy:
        await stream.ask("ACL", "SETUSER", "default", "-xgroup|destroy")
    with pytest.raises(StoreRefusedError, match=r"archive only") as refused:
        async with stream.consumer(start="1000-0"):
            pass
    assert (await stream.groups() == []) == may_destroy
    assert ("scanner queue forget points" in str(refused.value)) == (not may_destroy)
    await stream.ask("ACL", "SETUSER", "default", "+xgroup|destroy")


async def test_a_trim_is_seen_though_the_store_was_away_when_it_was_looked_for(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ms in (1000, 2000, 3000):
        await stream.scan(id=f"{ms}-0")
    look, looks = Partition._trimmed_to, 0

    async def away_at_the_second(self: Partition) -> str:
        nonlocal looks
        looks += 1
        if looks == 2:
            await stream.ask("XTRIM", stream.keys().events, "MINID", "3000-0")
            raise OSError
        return await look(self)

    monkeypatch.setattr(Partition, "_trimmed_to", away_at_the_second)
    with pytest.raises(StoreRefusedError, match="archive only"):
        async with stream.consumer(start="1000-0"):
            pass
    assert await stream.groups() == []


@pytest.mark.parametrize("name", ["w", "other"])
async def test_entries_that_were_deleted_under_a_group_are_named(
    stream: Stream, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    entries = await stream.scans(3)
    seen: list[str] = []
    events = stream.keys().events
    async with stream.consumer(name="w"):
        await stream.raw("XREADGROUP", "GROUP", "points", "w", "COUNT", 2, "STREAMS", events, ">")
        # As at the sudden end of a process: nothing is let go of, and one of the two is gone since.
        await stream.ask("XDEL", events, entries[0])
        consumer = stream.consumer(name=name, take_over_s=0.2 if name == "other" else 3600)

        @consumer.handler
        async def note(event: Event) -> None:
            seen.append(event.entry)

        async with running(consumer):
            await stream.nothing_left()
    assert sorted(seen) == entries[1:]
    assert caplog.text.count(f"entry {entries[0]} was deleted before it was handled") == 1


@pytest.mark.parametrize("after_s", [float("nan"), float("inf"), -1.0])
def test_later_is_a_time(after_s: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        TryLaterError(after_s)


def test_a_filter_of_kinds_takes_a_grant_for_no_award() -> None:
    """What is given agrees with what ``awards_of`` says of it: the grant's prize is won by a later scan."""
    wants = Selection(kinds=frozenset({"cash"})).wants
    assert not wants(event_of("1-0", EXAMPLES["grant.made"]))
    scan = EXAMPLES["scan.accepted"] | {"awards": orjson.dumps([award("cash")]).decode()}
    assert wants(event_of("1-0", scan))
    for example in EXAMPLES.values():
        event = event_of("1-0", example)
        assert wants(event) == bool(event.awards_of("cash"))


@pytest.mark.parametrize(("kept", "lost"), [(5, 15), (20, 0), (25, 0)])
async def test_what_was_trimmed_behind_a_groups_back_is_said(
    stream: Stream, caplog: pytest.LogCaptureFixture, kept: int, lost: int
) -> None:
    """Of 30 entries it was given 10. The archive's keeper trims what every group has finished, no more."""
    entries, events = await stream.scans(30), stream.keys().events
    async with stream.consumer():
        pass
    await stream.ask("XREADGROUP", "GROUP", "points", "w", "COUNT", 10, "STREAMS", events, ">")
    await stream.ask("XACK", events, "points", *entries[:10])
    await stream.ask("XTRIM", events, "MAXLEN", kept)
    async with stream.consumer():
        pass
    assert (f"was not given {lost} entries after {entries[9]}" in caplog.text) is (lost > 0)
    assert ("was not given" in caplog.text) is (lost > 0)
