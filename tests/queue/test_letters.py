"""What cannot be handled: dead letters, and what becomes of them when people retry or drop them."""

import asyncio

import orjson
import pytest

from scanner.errors import StoreRefusedError, StoreUnavailableError
from scanner.queue import Event, RejectedError, ScanAccepted, TryLaterError
from scanner.queue.consuming import letters, partition
from scanner.queue.consuming.consumer import Consumer
from scanner.queue.consuming.letter import sent_back
from tests.queue.streams import Stream, running
from tests.running import PATIENCE_S, eventually


def failing(stream: Stream, bad: set[str], seen: list[str], **options: object) -> Consumer:
    """A consumer that notes what it is given, and fails with what is ``bad`` now."""
    consumer = stream.consumer(**{"tries": 3, "wait_s": (0.001, 0.01), **options})

    @consumer.handler
    async def note(event: Event) -> None:
        seen.append(event.entry)
        if event.entry in bad:
            raise ValueError(f"no account for {event.entry}")

    return consumer


async def test_after_its_tries_an_event_is_a_letter_with_its_reason(stream: Stream) -> None:
    entries = await stream.scans(20, members=3)
    seen: list[str] = []
    async with running(failing(stream, {entries[4]}, seen, name="w")):
        await stream.nothing_left()
    assert seen.count(entries[4]) == 3
    assert sorted({*seen}) == sorted(entries)
    assert len(seen) == 22
    [letter] = await stream.dead()
    raw = {name.decode(): value.decode() for name, value in (await stream.entry(entries[4])).items()}
    assert orjson.loads(letter.pop("fields")) == raw
    assert int(letter.pop("failed_at")) > 1_700_000_000_000
    assert letter == {
        "entry": entries[4],
        "type": "scan.accepted",
        "tries": "3",
        "reason": f"ValueError: no account for {entries[4]}",
        "consumer": "w",
    }


async def test_what_does_not_read_is_a_letter_at_once_and_holds_nobody_up(stream: Stream) -> None:
    events = stream.keys().events
    bad = [
        (await stream.ask("XADD", events, "*", *pairs)).decode()
        for pairs in (
            ("x", "y"),
            ("type", "scan.accepted", "at", "1", "member", "m0"),
            ("type", b"\xff", "at", "1"),
            ("type", "new.kind", "at", "1", b"\xfe", b"\xff"),
        )
    ]
    good = await stream.scans(5)
    seen: list[str] = []
    async with running(failing(stream, set(), seen)):
        await stream.nothing_left()
    assert sorted(seen) == good
    found = await stream.dead()
    assert [letter["entry"] for letter in found] == bad
    assert {letter["tries"] for letter in found} == {"0"}
    assert "campaign" in found[1]["reason"]
    shown = [letter async for letter in letters.letters(stream.store, "points")]
    assert [letter.entry for letter in shown] == bad
    assert shown[3].fields == {"type": "new.kind", "at": "1", "\\xfe": "\\xff"}
    for letter, entry in zip(found, bad, strict=True):
        raw = {b"entry": entry.encode(), b"fields": letter["fields"].encode()}
        assert sent_back(raw)[1] == await stream.entry(entry)
    # Retried as it is, it fails as it did; nothing is lost and nothing hangs.
    assert await letters.retry(stream.store, "points") == 4
    async with running(failing(stream, set(), seen)):
        await eventually_dead(stream, 4)
    assert [letter["entry"] for letter in await stream.dead()] == bad


SENT_BY_HAND = (
    ("entry", b"\xff", "type", "x", "fields", '{"type": "x.y"}'),
    ("entry", "1-0\nERROR a line of the log", "type", "x", "fields", '{"type": "x.y"}'),
    ("entry", "hello", "type", "x", "fields", '{"type": "x.y"}'),
    ("entry", "1-0", "type", "x", "fields", "[" * 200_000 + r'"\ud800"'),
    ("entry", "1-0", "type", "x", "fields", "[]"),
    ("a", "b"),
)


async def test_what_was_sent_back_by_hand_ends_no_consumer(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    """An administrator's slip: it is a dead letter again, which can be looked at and dropped."""
    for pairs in SENT_BY_HAND:
        await stream.ask("XADD", stream.keys().again("points"), "*", *pairs)
    good = await stream.scan()
    seen: list[str] = []
    async with running(failing(stream, set(), seen)):
        await eventually_dead(stream, len(SENT_BY_HAND))
        await stream.nothing_left()
    assert seen == [good]
    assert await stream.ask("XLEN", stream.keys().again("points")) == 0
    assert "a line of the log" not in caplog.text
    assert len([one async for one in letters.letters(stream.store, "points")]) == len(SENT_BY_HAND)
    assert await letters.drop(stream.store, "points") == len(SENT_BY_HAND)


async def eventually_dead(stream: Stream, n: int) -> None:
    async def is_so() -> bool:
        return len(await stream.dead()) == n

    await eventually(is_so)


async def test_a_handler_may_reject_or_ask_for_later(stream: Stream) -> None:
    entries = await stream.scans(3, members=3)
    tried: dict[str, int] = dict.fromkeys(entries, 0)
    repeats: set[str] = set()
    consumer = stream.consumer(tries=2, wait_s=(0, 0))

    @consumer.handler
    async def pay(event: ScanAccepted) -> None:
        tried[event.entry] += 1
        if consumer.is_repeat(event):
            repeats.add(event.entry)
        if event.entry == entries[0]:
            raise RejectedError("no such member")
        if event.entry == entries[1] and tried[event.entry] < 10:
            raise TryLaterError(0.001)

    async with running(consumer):
        await stream.nothing_left()
    assert list(tried.values()) == [1, 10, 1]
    [letter] = await stream.dead()
    assert (letter["entry"], letter["reason"], letter["tries"]) == (entries[0], "no such member", "1")
    assert entries[2] not in repeats


async def test_a_loop_may_reject_one_of_a_batch(stream: Stream) -> None:
    entries = await stream.scans(6)
    async with stream.consumer() as consumer:
        async for events in consumer.batches(3):
            await consumer.reject(events[1], "no such member")
            if events[0].entry == entries[3]:
                consumer.stop()
    assert [letter["entry"] for letter in await stream.dead()] == [entries[1], entries[4]]
    await stream.nothing_left()


async def test_retried_letters_come_again_as_they_were_and_leave_nothing_behind(stream: Stream) -> None:
    entries = await stream.scans(5)
    bad, seen = {entries[1], entries[3]}, []
    async with running(failing(stream, bad, seen)):
        await stream.nothing_left()
    with pytest.raises(StoreRefusedError, match=f"no dead letter of entry {entries[0]}"):
        await letters.retry(stream.store, "points", [entries[1], entries[0]])
    assert len(await stream.dead()) == 2
    assert await letters.retry(stream.store, "points", [entries[1]]) == 1
    assert [letter["entry"] for letter in await stream.dead()] == [entries[3]]
    assert await letters.retry(stream.store, "points") == 1
    assert await letters.retry(stream.store, "points") == 0

    seen.clear()
    keys: list[str] = []
    consumer = stream.consumer(tries=2, wait_s=(0, 0))

    @consumer.handler
    async def note(event: ScanAccepted) -> None:
        assert consumer.is_repeat(event)
        keys.append(event.key)
        if event.entry == entries[3]:
            raise ValueError

    async def is_done() -> bool:
        return not await stream.ask("XLEN", stream.keys().again("points")) and len(await stream.dead()) == 1

    async with running(consumer):
        await eventually(is_done)
    scans = {entry: (await stream.entry(entry))[b"id"].decode() for entry in entries}
    assert sorted(keys) == sorted([scans[entries[1]], scans[entries[3]], scans[entries[3]]])
    [letter] = await stream.dead()
    assert (letter["entry"], letter["tries"]) == (entries[3], "2")
    assert orjson.loads(letter["fields"])["id"] == scans[entries[3]]  # and not what stood around it


async def test_dropped_letters_are_gone(stream: Stream) -> None:
    entries = await stream.scans(4)
    async with running(failing(stream, {*entries}, [])):
        await stream.nothing_left()
    assert await letters.drop(stream.store, "points", [entries[2]]) == 1
    assert [one.entry async for one in letters.letters(stream.store, "points")] == [*entries[:2], entries[3]]
    assert await letters.drop(stream.store, "points") == 3
    assert await stream.dead() == []
    assert await stream.ask("XLEN", stream.keys().events) == 4


async def test_two_who_retry_at_once_do_it_once(stream: Stream) -> None:
    """More letters than travel at once, and new ones meanwhile."""
    entries = await stream.scans(250, members=250)
    async with running(failing(stream, {*entries}, [], tries=1)):
        await stream.nothing_left()
    letter = next(iter(await stream.dead()))

    async def more() -> None:
        for no in range(20):
            pairs = {**letter, "entry": f"9-{no}"}.items()
            await stream.ask(
                "XADD", stream.keys().dead("points"), "*", *(part for pair in pairs for part in pair)
            )

    done = await asyncio.gather(
        *(letters.retry(stream.store, "points", unchecked=True) for _ in range(3)), more()
    )
    assert sum(n or 0 for n in done) + len(await stream.dead()) == 270
    again = await stream.store.client.xrange(stream.keys().again("points"), "-", "+", count=1000)
    moved = [fields[b"entry"].decode() for _, fields in again]
    assert len(moved) == len({*moved}) == 270 - len(await stream.dead())


async def test_too_many_letters_stop_the_group_and_lose_nothing(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken handler must not move the whole stream into the store's memory once more."""
    monkeypatch.setattr(partition, "DEAD_MAX", 10)
    entries = await stream.scans(30, members=30)
    with pytest.raises(StoreRefusedError, match="10 dead letters: see what is wrong"):
        await asyncio.wait_for(failing(stream, {*entries}, [], tries=1, concurrency=1).run(), PATIENCE_S)
    dead = {letter["entry"] for letter in await stream.dead()}
    left = {entry for entry, _, _ in await stream.pending()}
    assert (len(dead), dead | left) == (10, {*entries})
    assert not dead & left


async def test_a_forgotten_group_ends_its_consumers_and_keeps_its_letters(stream: Stream) -> None:
    entries = await stream.scans(3)
    consumer = failing(stream, {entries[0]}, [], tries=1)
    task = asyncio.create_task(consumer.run())
    await stream.nothing_left()
    await eventually_dead(stream, 1)
    assert await letters.forget(stream.store, "points")
    with pytest.raises(StoreRefusedError, match="not there any more"):
        await asyncio.wait_for(task, PATIENCE_S)
    assert await stream.groups() == []
    assert not await stream.ask("EXISTS", stream.keys().again("points"))
    assert len(await stream.dead()) == 1
    assert not await letters.forget(stream.store, "points")
    with pytest.raises(StoreRefusedError, match="the archive's"):
        await letters.forget(stream.store, "archive")


async def test_a_store_that_is_away_is_said_and_no_letter_with_it(stream: Stream) -> None:
    entries = await stream.scans(1)
    async with running(failing(stream, {*entries}, [], tries=1)):
        await stream.nothing_left()
    await stream.ask("CONFIG", "SET", "maxmemory", "1mb")
    with pytest.raises(StoreUnavailableError, match="maxmemory") as said:
        await letters.retry(stream.store, "points")
    assert "SCAN0" not in str(said.value)
    await stream.ask("CONFIG", "SET", "maxmemory", "0")
    assert await letters.retry(stream.store, "points") == 1
