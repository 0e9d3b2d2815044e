"""One loop at a time, a beginning that is really there, an end that comes when it is asked for."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from scanner.errors import ConfigurationError
from scanner.queue import Consumer, Event
from scanner.queue.consuming.handout import Handout
from tests.queue.streams import Stream, running
from tests.running import PATIENCE_S, eventually


async def two_loops(stream: Stream) -> set[str]:
    """Two tasks in one consumer, the first one slow; cancelled, as at the end of a process. What neither
    handled, and is acknowledged all the same."""
    entries = await stream.scans(6, members=6)
    done: set[str] = set()
    faults: list[ConfigurationError] = []
    has_begun, others = asyncio.Event(), []

    async def slow(consumer: Consumer) -> None:
        async for _ in consumer:
            has_begun.set()
            await asyncio.Event().wait()

    async def quick(consumer: Consumer) -> None:
        await has_begun.wait()
        try:
            while True:
                event = await anext(consumer)
                others.append(event.entry)
                done.add(event.entry)
        except ConfigurationError as error:
            faults.append(error)

    async def is_over() -> bool:
        return bool(faults) or len(others) == 5

    async with stream.consumer(name="w", wait_s=(0, 0)) as consumer:
        tasks = [asyncio.create_task(slow(consumer)), asyncio.create_task(quick(consumer))]
        await eventually(is_over)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert all("one loop" in str(error) for error in faults)
    left = {entry for entry, _, _ in await stream.pending()}
    return {*entries} - left - done


async def test_a_second_loop_is_refused_and_acknowledges_nothing(stream: Stream) -> None:
    assert await two_loops(stream) == set()


async def test_control_two_loops_lose_what_the_other_one_has(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handout, "enter", lambda self: None)
    assert len(await two_loops(stream)) == 1


async def test_who_may_ask_while_another_one_has_events(stream: Stream) -> None:
    entries = await stream.scans(4, members=4)
    consumer = stream.consumer(wait_s=(0, 0))

    @consumer.handler
    async def handle(event: Event) -> None: ...

    async with consumer:
        # A task for each event is one loop, too: each has ended when the next one asks.
        for entry in entries[:2]:
            assert (await asyncio.create_task(one_of(consumer))).entry == entry
        assert (await anext(consumer)).entry == entries[2]
        for ask in (one_of, begin_again, Consumer.run, first_batch):
            with pytest.raises(ConfigurationError, match="one loop"):
                await asyncio.create_task(ask(consumer))
        assert (await anext(consumer)).entry == entries[3]
    async with stream.consumer("now", start="now") as consumer:
        waiting = asyncio.create_task(one_of(consumer))
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="one loop"):
            await anext(consumer)
        last = await stream.scan()
        assert (await waiting).entry == last


async def one_of(consumer: Consumer) -> Event:
    return await anext(consumer)


async def begin_again(consumer: Consumer) -> None:
    aiter(consumer)


async def first_batch(consumer: Consumer) -> list[Event]:
    return await anext(consumer.batches(2))


async def test_a_handler_runs_once_and_beside_no_loop(stream: Stream) -> None:
    consumer = stream.consumer()
    has_begun = asyncio.Event()

    @consumer.handler
    async def handle(event: Event) -> None:
        has_begun.set()

    await stream.scan()
    async with consumer, running(consumer):
        await has_begun.wait()
        for ask in (Consumer.run, one_of, begin_again):
            with pytest.raises(ConfigurationError, match="one loop"):
                await asyncio.wait_for(asyncio.create_task(ask(consumer)), PATIENCE_S)
        await stream.nothing_left()


async def test_who_closes_a_consumer_ends_the_run_of_another_task(stream: Stream) -> None:
    """An exception in the block, while handlers run: what was begun ends, and counts."""
    await stream.scan()
    consumer = stream.consumer()
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    @consumer.handler
    async def handle(event: Event) -> None:
        has_begun.set()
        await may_end.wait()

    with suppress(ValueError):
        async with consumer:
            run = asyncio.create_task(consumer.run())
            await has_begun.wait()
            asyncio.get_running_loop().call_soon(may_end.set)
            raise ValueError
    await asyncio.wait_for(run, PATIENCE_S)
    await stream.nothing_left()


async def test_what_a_loop_had_when_it_broke_off_is_the_handlers_first(stream: Stream) -> None:
    entries = await stream.scans(3, members=1)
    seen: list[str] = []
    consumer = stream.consumer()

    @consumer.handler
    async def note(event: Event) -> None:
        seen.append(event.entry)
        if event.entry == entries[-1]:
            consumer.stop()

    async with asyncio.timeout(PATIENCE_S), consumer:
        async for event in consumer:
            assert event.entry == entries[0]
            break
        await consumer.run()
    assert seen == entries
    await stream.nothing_left()


@pytest.mark.parametrize("at", ["begin", "settle", "bury", "rate"])
async def test_stop_ends_a_loop_that_waits_for_a_store_that_is_away(stream: Stream, at: str) -> None:
    """What it was about to be given goes back, and none is given after the stop."""
    entries = await stream.scans(3, members=3)
    async with stream.consumer(name="w", wait_s=(0, 0)) as consumer:
        await anext(consumer)
    tries = 1 if at == "bury" else 5
    rate = 0.001 if at == "rate" else None
    async with stream.consumer(name="w", wait_s=(0, 0), tries=tries, rate=rate) as consumer:
        pid = stream.embedded.pid
        assert pid is not None
        if at in ("settle", "rate"):
            assert (await asyncio.create_task(one_of(consumer))).entry == entries[0]
        else:
            # Until something has come in; that it is begun is told the store first.
            consumer._open().start()
            await eventually(lambda: has_arrived(consumer))
        os.kill(pid, signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(one_of(consumer))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            consumer.stop()
            consumer.stop()
            await asyncio.wait([waiting], timeout=PATIENCE_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert waiting.done()
        assert isinstance(waiting.exception(), StopAsyncIteration)
    given = 1 if at in ("settle", "rate") else 0
    pending = await stream.pending()
    assert [entry for entry, _, _ in pending] == entries[given:]
    assert [times for _, _, times in pending][1:] == [1, 1][given:]  # what was not given was not tried
    assert await stream.dead() == []


async def has_arrived(consumer: Consumer) -> bool:
    return len(consumer._handout._arrived) == 3


@pytest.mark.parametrize("form", ["loop", "run", "event"])
async def test_stop_ends_a_consumer_that_waits_to_join(
    stream: Stream, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    """Its service is told to end while the ledger is being restored."""
    events = stream.keys().events
    await stream.ask("SET", events, "the ledger is being restored")
    consumer, stop = stream.consumer(), asyncio.Event()

    @consumer.handler
    async def handle(event: Event) -> None: ...

    async def loop() -> None:
        async with consumer:
            async for _ in consumer:
                pass

    async def waits() -> bool:
        return "waits: the ledger is being restored" in caplog.text

    work = asyncio.create_task(loop() if form == "loop" else consumer.run(stop))
    await eventually(waits)
    if form == "event":
        stop.set()
    else:
        consumer.stop()
    await asyncio.wait_for(work, PATIENCE_S)
    assert "may come again" not in caplog.text  # nothing was given
    await stream.ask("DEL", events)
    assert await stream.groups() == []


async def test_who_waits_for_a_list_may_give_up_and_ask_again(stream: Stream) -> None:
    async with stream.consumer() as consumer:
        lists = consumer.batches(10)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await anext(lists)
        entry = await stream.scan()
        assert [event.entry for event in await asyncio.wait_for(anext(lists), PATIENCE_S)] == [entry]
        consumer.stop()
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(lists)
    await stream.nothing_left()


async def test_lists_that_begin_again_begin_with_what_was_not_acknowledged(stream: Stream) -> None:
    entries = await stream.scans(3)
    async with stream.consumer(wait_s=(0, 0)) as consumer:
        lists = consumer.batches(3)
        async for events in lists:
            assert [event.entry for event in events] == entries
            break
        async for events in lists:
            assert [event.entry for event in events] == entries[:1]  # a smaller list: it was given before
            break
        assert len(await stream.pending()) == 3


async def rejected_and_broken_off(stream: Stream) -> tuple[str, list[str]]:
    """The entry whose rejection ended with a time-out, while the store stood still, and what comes after."""
    entries = await stream.scans(2)
    seen: list[str] = []
    async with stream.consumer() as consumer:
        first = await asyncio.create_task(anext(consumer))
        pid = stream.embedded.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await consumer.reject(first, "no such member")
        finally:
            os.kill(pid, signal.SIGCONT)
        while entries[1] not in seen:
            seen.append((await asyncio.wait_for(anext(consumer), PATIENCE_S)).entry)
    return first.entry, seen


async def test_a_rejection_that_was_broken_off_brings_the_event_again(stream: Stream) -> None:
    rejected, seen = await rejected_and_broken_off(stream)
    assert seen[0] == rejected


async def test_control_a_rejection_that_forgets_first_loses_sight_of_the_event(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handout, "put_back", lambda self, one: None)
    rejected, seen = await rejected_and_broken_off(stream)
    assert rejected not in seen


async def test_a_cancellation_left_over_is_not_taken_for_the_end(stream: Stream) -> None:
    """A time-out of the old kind cancels its task, and never takes that back."""
    entries = await stream.scans(6, members=1)
    seen: list[str] = []
    consumer = stream.consumer(concurrency=1, wait_s=(0, 0))

    @consumer.handler
    async def handle(event: Event) -> None:
        seen.append(event.entry)
        if len(seen) == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)
        if len(seen) == 3:
            something = asyncio.get_running_loop().create_future()
            something.cancel()
            await something

    async with running(consumer):
        await stream.nothing_left()
    assert seen == [*entries[:3], *entries[2:]]


class Exit(BaseException):
    """Of a library that wants nobody to catch it."""


@pytest.mark.parametrize("kind", ["cancelled", "base"])
async def test_a_worker_that_ends_ends_the_run(stream: Stream, kind: str) -> None:
    entries = await stream.scans(3, members=1)
    consumer = stream.consumer(concurrency=2)

    @consumer.handler
    async def handle(event: Event) -> None:
        if event.entry == entries[1]:
            if kind == "base":
                raise Exit
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

    with pytest.raises(Exit if kind == "base" else RuntimeError):
        await asyncio.wait_for(consumer.run(), PATIENCE_S)
    assert [entry for entry, _, _ in await stream.pending()] == entries[1:]


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_what_does_not_read_is_a_letter_when_its_turn_comes_and_is_never_given(
    stream: Stream, size: int
) -> None:
    """Also where it is the first, or the last, of a list, and where two of them follow each other."""
    bad, good = [], []
    for no in range(9):
        if no in (0, 4, 5, 8):
            bad.append(
                (await stream.ask("XADD", stream.keys().events, "*", "type", "x.y", "at", "1e3")).decode()
            )
        else:
            good += await stream.scans(1)
    seen: list[str] = []
    async with stream.consumer() as consumer:
        async for events in consumer.batches(size):
            seen += [event.entry for event in events]
            if len(await stream.dead()) == len(bad) - 1 and len(seen) == len(good):
                consumer.stop()
    assert seen == good
    letters = await stream.dead()
    assert [letter["entry"] for letter in letters] == bad[:-1]
    assert {letter["tries"] for letter in letters} == {"0"}
    assert [entry for entry, _, _ in await stream.pending()] == bad[-1:]
