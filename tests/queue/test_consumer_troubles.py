"""A store that is away, replies that are lost, consumers that are gone: nothing is lost."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from scanner.errors import StoreRefusedError
from scanner.ledger.connection import store_for
from scanner.ledger.watermark import pipeline_of
from scanner.queue import Consumer, Event, ScanAccepted, TryLaterError
from scanner.queue.consuming.dispatch import LAST_TRY_ENDED
from scanner.queue.consuming.hands import Hands
from scanner.queue.consuming.intake import Intake
from scanner.queue.consuming.partition import Partition, Received
from tests.brand import settings_for
from tests.faults.proxy import Chances, Proxy
from tests.faults.store import doomed_store
from tests.queue.streams import Stream, running, stream_in
from tests.running import PATIENCE_S, eventually


def in_order(seen: Iterable[ScanAccepted], entries: list[str]) -> bool:
    """Whether each member's events came in the stream's order the first time each came."""
    by_member: defaultdict[str, list[str]] = defaultdict(list)
    for event in seen:
        if event.entry not in by_member[event.member]:
            by_member[event.member].append(event.entry)
    return all(sorted(found, key=entries.index) == found for found in by_member.values())


async def leave_pending(stream: Stream, consumer: str, n: int, *, times: int = 1) -> list[str]:
    """What a consumer was given that has died since: entries, given out so often."""
    keys = stream.keys()
    found = await stream.raw(
        "XREADGROUP", "GROUP", "points", consumer, "COUNT", n, "STREAMS", keys.events, ">"
    )
    ids = [id for id, _ in found[0][1]]
    await stream.raw("XCLAIM", keys.events, "points", consumer, 0, *ids, "RETRYCOUNT", times, "JUSTID")
    return [id.decode() for id in ids]


async def said(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async def is_said() -> bool:
        return text in caplog.text

    await eventually(is_said)


async def joined(stream: Stream) -> None:
    """Makes the group."""
    async with stream.consumer():
        pass


class Frozen:
    """One member's account takes nothing: what has come for the others, while a consumer runs.

    It reads ahead by 20, so that 10 events in hand are enough to read no more.
    """

    def __init__(self, stream: Stream, **options: object) -> None:
        self.seen: list[str] = []
        self.thaws = asyncio.Event()
        self.consumer = stream.consumer(ahead=20, **options)

        @self.consumer.handler
        async def pay(event: ScanAccepted) -> None:
            if event.member == "frozen" and not self.thaws.is_set():
                raise TryLaterError(0.2)
            self.seen.append(event.entry)

    def reads(self) -> bool:
        intake = self.consumer._intake
        return intake is None or intake._room.is_set()


async def test_who_waits_to_be_tried_again_keeps_nobody_from_being_read(stream: Stream) -> None:
    frozen = [await stream.scan("frozen") for _ in range(100)]
    others = await stream.scans(5)
    story = Frozen(stream)
    async with running(story.consumer):

        async def are_done() -> bool:
            return sorted(story.seen) == others

        await eventually(are_done)
        story.thaws.set()
        await stream.nothing_left()
    assert [entry for entry in story.seen if entry in frozen] == frozen


async def test_control_who_counts_those_that_wait_reads_nothing_behind_them(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hands, "waits", lambda self, more: None)
    await stream.scans(100, members=1)
    frozen = [await stream.scan("frozen") for _ in range(100)]
    await stream.scans(5)
    story = Frozen(stream)
    async with running(story.consumer):

        async def stands_still() -> bool:
            return len(story.seen) == 100 and not story.reads()

        await eventually(stands_still)
    assert len(story.seen) == 100
    assert not {*frozen} & {*story.seen}


async def test_those_that_wait_are_bounded_and_it_is_said_once(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    frozen = [await stream.scan("frozen") for _ in range(250)]
    others = await stream.scans(5)
    story = Frozen(stream, concurrency=2)
    async with running(story.consumer):
        await said(caplog, "200 events wait to be tried again")
        assert not story.reads()
        assert story.seen == []
        story.thaws.set()
        await stream.nothing_left()
    assert sorted(story.seen) == frozen + others
    assert caplog.text.count("wait to be tried again") == 1


async def test_a_store_that_is_killed_again_and_again_costs_nothing_but_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with doomed_store(tmp_path / "data") as doomed:
        settings = settings_for(tmp_path / "data", store_url=doomed.url)
        store = store_for(settings)
        stream = Stream(store, settings, doomed._embedded)
        seen: list[ScanAccepted] = []
        consumer = stream.consumer(take_over_s=30, concurrency=4, ahead=50, tries=3)

        @consumer.handler
        async def note(event: ScanAccepted) -> None:
            await asyncio.sleep(0.001)
            seen.append(event)

        async def is_at_work() -> bool:
            return len(seen) >= len(entries) - 100

        entries: list[str] = []
        async with running(consumer):
            for _ in range(4):
                entries += await stream.scans(150)
                await eventually(is_at_work)
                await doomed.kill()
                await doomed.start()
            await stream.nothing_left()
        await store.close()
    counts = Counter(event.entry for event in seen)
    assert counts.keys() == {*entries}
    assert in_order(seen, entries)
    # A consumer that lives knows what it has done: nothing comes twice because the store was away.
    assert max(counts.values()) == 1
    waits = [record for record in caplog.records if "waits" in record.message]
    assert 1 <= len(waits) <= 8  # once a change, and not once a try
    assert [one for one in caplog.records if "goes on" in one.message]


@pytest.mark.parametrize("seed", range(3))
async def test_lost_replies_lose_nothing_and_bury_once(stream: Stream, seed: int) -> None:
    entries = await stream.scans(400, members=11)
    bad = {*entries[::40]}
    seen: list[ScanAccepted] = []
    async with Proxy(stream.embedded.socket_path, Chances(), Random(seed)) as proxy:
        settings = settings_for(stream.settings.data_dir, store_url=proxy.url)
        consumer = Consumer("points", settings=settings, tries=2, wait_s=(0, 0), ahead=60, concurrency=8)

        @consumer.handler
        async def note(event: ScanAccepted) -> None:
            seen.append(event)
            if event.entry in bad:
                raise ValueError

        async with running(consumer):
            await eventually(lambda: is_joined(stream))
            proxy.chances = Chances(dropped=8, cut=4, reset=4, sliced=20)
            await stream.nothing_left()
            proxy.chances = Chances()
        assert proxy.happened["dropped"] > 0
    counts = Counter(event.entry for event in seen)
    assert counts.keys() == {*entries}
    assert max(counts[entry] for entry in entries if entry not in bad) == 1
    assert sorted(letter["entry"] for letter in await stream.dead()) == sorted(bad)
    assert in_order(seen, entries)


async def test_control_who_does_not_look_for_strays_never_sees_what_a_lost_reply_had(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*args: object) -> AsyncIterator[list[Received]]:
        return
        yield

    monkeypatch.setattr(Partition, "strays", none)
    entries = await stream.scans(400, members=11)
    seen: set[str] = set()
    async with Proxy(stream.embedded.socket_path, Chances(), Random(1)) as proxy:
        settings = settings_for(stream.settings.data_dir, store_url=proxy.url)
        consumer = Consumer("points", settings=settings, ahead=20)

        @consumer.handler
        async def note(event: ScanAccepted) -> None:
            seen.add(event.entry)

        async def all_given_out() -> bool:
            return (await stream.groups())[0]["lag"] == 0

        async with running(consumer):
            await eventually(lambda: is_joined(stream))
            proxy.chances = Chances(dropped=30)
            await eventually(all_given_out, 60)
            proxy.chances = Chances()
    assert {*entries} - seen
    assert {*entries} - seen <= {entry for entry, _, _ in await stream.pending()}  # not lost yet: pending


async def is_joined(stream: Stream) -> bool:
    return bool(await stream.groups())


async def over_a_slow_link(stream: Stream, stop: Callable[[list[str], int], bool]) -> list[str]:
    """What is handled where a reply of all that is asked for takes longer than a reply may, until ``stop``
    says so, who is told how many replies were given up."""
    entries = await stream.scans(150, extra="x" * 1000)
    seen: list[str] = []
    async with Proxy(stream.embedded.socket_path) as proxy:
        proxy.bytes_per_s = 300_000
        settings = settings_for(stream.settings.data_dir, store_url=proxy.url, store_timeout_ms=100)
        consumer = Consumer("points", settings=settings)

        @consumer.handler
        async def note(event: Event) -> None:
            seen.append(event.entry)

        async def is_enough() -> bool:
            return stop(seen, proxy.connected)

        async with running(consumer):
            await eventually(is_enough)
    assert not {*seen} - {*entries}
    return seen


async def test_over_a_slow_link_smaller_replies_are_asked_for(stream: Stream) -> None:
    seen = await over_a_slow_link(stream, lambda seen, connected: len(seen) == 150)
    assert len({*seen}) == 150


async def test_control_who_asks_for_as_much_again_gets_nothing(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "_ask_for_fewer", lambda self: None)
    assert await over_a_slow_link(stream, lambda seen, connected: connected >= 5) == []


async def test_what_a_dead_consumer_left_is_taken_over_with_what_it_had_tried(stream: Stream) -> None:
    entries = await stream.scans(30)
    await joined(stream)
    left = await leave_pending(stream, "dead", 10)
    seen: list[str] = []
    consumer = stream.consumer(take_over_s=0.2, tries=2)

    @consumer.handler
    async def note(event: Event) -> None:
        seen.append(event.entry)

    async with running(consumer):
        await stream.nothing_left()
    assert sorted(seen) == sorted(entries)
    assert {*left} <= {*seen}
    assert await stream.dead() == []  # given out once before, and perhaps never begun


async def test_an_event_that_ends_its_consumers_is_found_and_takes_nobody_with_it(stream: Stream) -> None:
    """Each consumer is killed while it handles the bad one, with others under way and read ahead."""
    entries = await stream.scans(40, members=40)
    bad, done, killed = entries[5], [], 0
    for _ in range(20):
        consumer = stream.consumer(name="w", tries=3, concurrency=8, wait_s=(0, 0))
        reached = asyncio.Event()

        @consumer.handler
        async def work(event: Event, reached: asyncio.Event = reached) -> None:
            if event.entry == bad:
                reached.set()
                await asyncio.Event().wait()
            await asyncio.sleep(0.001)
            done.append(event.entry)

        task = asyncio.create_task(consumer.run())
        ended = asyncio.create_task(reached.wait())
        idle = asyncio.create_task(stream.nothing_left())
        await asyncio.wait({ended, idle}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        ended.cancel()
        if not reached.is_set():
            consumer.stop()
            await task
            break
        await vanish(consumer, task)
        killed += 1
    assert killed == 4  # its first try, which nobody had been told of, and three that were counted
    [letter] = await stream.dead()
    assert (letter["entry"], letter["reason"]) == (bad, LAST_TRY_ENDED)
    assert {*done} == {*entries} - {bad}


async def vanish(consumer: Consumer, task: asyncio.Task[None]) -> None:
    """Has a consumer end as a killed process does: nothing more is said to the store."""
    intake = consumer._intake
    for partition in intake._partitions.values():
        partition.close()

    async def nothing(*args: object, **options: object) -> None: ...

    intake.close = nothing
    consumer._finish_s = 0.0
    for one in (*intake._readers, *intake._others):
        one.cancel()
    task.cancel()
    await asyncio.wait([task])


async def test_an_event_that_was_begun_too_often_is_buried_and_not_begun(stream: Stream) -> None:
    entries = await stream.scans(5)
    await joined(stream)
    await leave_pending(stream, "w", 1, times=4)
    await leave_pending(stream, "w", 1, times=3)
    seen = []
    consumer = stream.consumer(name="w", tries=3)

    @consumer.handler
    async def note(event: Event) -> None:
        seen.append(event.entry)

    async with running(consumer):
        await stream.nothing_left()
    assert sorted(seen) == entries[1:]
    [letter] = await stream.dead()
    assert (letter["entry"], letter["tries"]) == (entries[0], "3")
    async with stream.consumer("loop", tries=3) as loop:
        await stream.ask(
            "XREADGROUP", "GROUP", "loop", loop.name, "COUNT", 1, "STREAMS", stream.keys().events, ">"
        )
        await stream.raw(
            "XCLAIM", stream.keys().events, "loop", loop.name, 0, entries[0], "RETRYCOUNT", 4, "JUSTID"
        )
        assert (await anext(loop)).entry == entries[1]
    assert [letter["entry"] for letter in await stream.dead("loop")] == [entries[0]]


async def test_one_of_the_same_name_goes_on_at_once_and_in_order(stream: Stream) -> None:
    entries = await stream.scans(30)
    await joined(stream)
    left = await leave_pending(stream, "w", 12)
    async with stream.consumer(name="w", take_over_s=3600, ahead=10) as consumer:
        seen = [(await anext(consumer)).entry for _ in range(20)]
        assert seen == entries[:20]
        assert left == entries[:12]


async def test_what_a_consumer_leaves_when_it_stops_is_there_for_others_at_once(stream: Stream) -> None:
    entries = await stream.scans(50)
    async with stream.consumer(take_over_s=3600) as first:
        assert [(await anext(first)).entry for _ in range(10)] == entries[:10]
        first.stop()
        with pytest.raises(StopAsyncIteration):
            await anext(first)
    assert [entry for entry, _, _ in await stream.pending()] == entries[10:]
    async with stream.consumer(take_over_s=3600) as second:
        assert [(await anext(second)).entry for _ in range(40)] == entries[10:]
        await stream.scan()  # so that the last one is acknowledged
        assert await anext(second)
    assert len(await stream.pending()) == 1


async def test_what_a_consumer_works_on_for_long_is_not_taken_over(stream: Stream) -> None:
    """The handler ends when the other consumer has looked for what is left three times."""
    await stream.scan()
    looked, begun = 0, asyncio.Event()
    first = stream.consumer(take_over_s=2.0)
    seen: list[str] = []

    async def has_looked() -> bool:
        return looked >= 3

    @first.handler
    async def work(event: Event) -> None:
        begun.set()
        await eventually(has_looked, 60)

    async with running(first):
        await begun.wait()
        second = stream.consumer(take_over_s=2.0)

        @second.handler
        async def note(event: Event) -> None:
            seen.append(event.entry)

        async with second:
            [partition] = second._intake._partitions.values()
            take_over = partition.take_over

            async def counted(idle_ms: int, count: int) -> None:
                nonlocal looked
                await take_over(idle_ms, count)
                looked += 1

            partition.take_over = counted
            async with running(second):
                await stream.nothing_left()
    assert seen == []
    assert looked >= 3


@pytest.mark.parametrize("form", ["each", "batch", "handler"])
async def test_a_consumer_that_stood_still_begins_nothing_that_is_anothers_by_now(
    stream: Stream, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    entries = await stream.scans(6, members=1)
    seen: list[str] = []
    consumer = stream.consumer(take_over_s=30, concurrency=1)

    async def stand_still() -> None:
        """As a process that was stopped finds it: two of its entries were taken, and it cannot know."""
        events = stream.keys().events
        await stream.raw("XCLAIM", events, "points", "other", 0, *entries[2:4], "JUSTID")
        for partition in consumer._intake._partitions.values():
            partition.fresh_at -= 31

    async def note(events: list[Event]) -> None:
        seen.extend(event.entry for event in events)
        if len(seen) == 2:
            await stand_still()
        if seen[-1] == entries[5]:
            consumer.stop()

    if form == "handler":

        @consumer.handler
        async def work(event: Event) -> None:
            await note([event])

        await asyncio.wait_for(consumer.run(), PATIENCE_S)
    else:
        async with consumer:
            if form == "each":
                async for event in consumer:
                    await note([event])
            else:
                async for events in consumer.batches(2):
                    await note(events)
    assert seen == [*entries[:2], *entries[4:]]
    assert [(entry, name) for entry, name, _ in await stream.pending()] == [
        (entry, "other") for entry in entries[2:4]
    ]
    assert "another consumer has taken over" in caplog.text


async def test_while_the_ledger_is_restored_a_consumer_waits(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    keys = stream.keys()
    async with stream.consumer() as consumer:
        first = await stream.scan()
        assert (await asyncio.create_task(anext(consumer))).entry == first
        pipe = pipeline_of(stream.store.client, transaction=True)
        pipe.execute_command("RENAME", keys.events, keys.replaced)
        pipe.execute_command("SET", keys.events, "the ledger is being restored")
        await pipe.execute()
        following = asyncio.create_task(anext(consumer))
        await said(caplog, "being restored")
        assert not following.done()
        await stream.ask("RENAME", keys.replaced, keys.events)
        second = await stream.scan()
        assert (await following).entry == second
        # And once it is another stream, its groups have to be made again: where from is not for us to guess.
        await stream.ask("DEL", keys.events)
        await stream.scan()
        with pytest.raises(StoreRefusedError, match="the ledger was restored"):
            await anext(consumer)


async def test_who_gives_up_waiting_has_been_given_nothing(stream: Stream) -> None:
    """A loop that asks with a time-out while the store does not answer: no event is acknowledged unseen, and
    none is counted as tried."""
    entries = await stream.scans(3)
    await joined(stream)
    await leave_pending(stream, "w", 3)
    async with stream.consumer(name="w", tries=2) as consumer:
        [partition] = consumer._intake._partitions.values()
        record, asked = partition.record, asyncio.Event()

        async def hang(*args: object, **options: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        partition.record = hang
        for _ in range(5):
            asked.clear()
            giving = asyncio.create_task(anext(consumer))
            await asked.wait()
            giving.cancel()
            await asyncio.wait([giving])
        partition.record = record
        assert [(await anext(consumer)).entry for _ in range(3)] == entries
        consumer.stop()
        with pytest.raises(StopAsyncIteration):
            await anext(consumer)
    assert await stream.dead() == []
    await stream.nothing_left()


async def test_a_user_who_may_not_is_told_which_role_may(stream: Stream) -> None:
    await stream.scan()
    await stream.ask("ACL", "SETUSER", "default", "-xreadgroup")
    async with stream.consumer() as consumer:
        with pytest.raises(StoreRefusedError, match="--role reader"):
            await asyncio.wait_for(anext(consumer), PATIENCE_S)
    await stream.ask("ACL", "SETUSER", "default", "+xreadgroup")


async def test_a_consumer_may_be_started_before_its_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with doomed_store(tmp_path / "data") as doomed:
        settings = settings_for(tmp_path / "data", store_url=doomed.url)
        await doomed.kill()
        opening = asyncio.create_task(Consumer("points", settings=settings).__aenter__())
        await said(caplog, "waits")
        await doomed.start()
        consumer = await opening
        await consumer.__aexit__(None, None, None)


async def test_a_full_store_keeps_what_it_cannot_bury(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    [bad] = await stream.scans(1)
    consumer = stream.consumer(tries=1)

    @consumer.handler
    async def fail(event: Event) -> None:
        await stream.ask("CONFIG", "SET", "maxmemory", "1mb")
        raise ValueError

    async with running(consumer):
        await said(caplog, "maxmemory")
        assert len(await stream.pending()) == 1
        await stream.ask("CONFIG", "SET", "maxmemory", "0")
        await stream.nothing_left()
    assert [letter["entry"] for letter in await stream.dead()] == [bad]
    assert "SCAN0" not in caplog.text  # what is in an event is not for the log


@pytest.mark.parametrize("how", ["stop", "event", "cancel"])
@pytest.mark.parametrize("in_time", [True, False])
async def test_at_its_end_a_consumer_finishes_what_it_began(tmp_path: Path, how: str, in_time: bool) -> None:
    async with stream_in(tmp_path / "data", shutdown_timeout_s=60 if in_time else 1) as stream:
        entries = await stream.scans(20, members=20)
        begun, done, go_on = [], [], asyncio.Event()
        consumer, stop = stream.consumer(concurrency=3), asyncio.Event()

        @consumer.handler
        async def work(event: Event) -> None:
            begun.append(event.entry)
            if len(begun) == 3:
                all_begun.set()
            await go_on.wait()
            done.append(event.entry)

        all_begun = asyncio.Event()
        task = asyncio.create_task(consumer.run(stop))
        await all_begun.wait()
        {"stop": consumer.stop, "event": stop.set, "cancel": task.cancel}[how]()
        await asyncio.sleep(0.05)
        assert not task.done()
        if in_time:
            go_on.set()
        await asyncio.wait([task])
        assert task.cancelled() == (how == "cancel")
        assert task.cancelled() or task.exception() is None
        assert begun == entries[:3]
        assert done == (begun if in_time else [])
        pending = await stream.pending()
        assert [entry for entry, _, _ in pending] == (entries[3:] if in_time else entries)
        # What was begun and broken off is known to have been begun; what was only read ahead is not.
        assert {times for entry, _, times in pending if entry in begun} <= {2}
        assert {times for entry, _, times in pending if entry not in begun} == {1}
