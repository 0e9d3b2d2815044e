"""The three forms of consuming: order, acknowledgement, choice, where to begin, shares and partitions."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zlib import crc32

import pytest

from scanner.errors import ConfigurationError, StoreRefusedError
from scanner.queue import Consumer, Event, ScanAccepted
from tests.brand import Brand, campaign_toml
from tests.queue.streams import Stream, running
from tests.running import eventually


async def taken(consumer: Consumer, n: int) -> list[Event]:
    """The next n events, in order, acknowledged."""
    seen: list[Event] = []
    async with asyncio.timeout(20), consumer:
        async for event in consumer:
            seen.append(event)
            if len(seen) == n:
                consumer.stop()
    return seen


async def test_real_scans_come_as_typed_events(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(3)
    scanner = brand.scanner()
    for serial, code in enumerate(brand.codes(lot, range(3))):
        await scanner.scan(f"m{serial}", code)
    events = await taken(Consumer("points", settings=brand.settings, store=brand.store), 6)
    assert [event.type for event in events[:3]] == ["campaign.applied", "lot.registered", "lot.activated"]
    scans = [event for event in events if isinstance(event, ScanAccepted)]
    assert [(scan.member, scan.serial, scan.awards[0].amount) for scan in scans] == [
        ("m0", 0, 50),
        ("m1", 1, 50),
        ("m2", 2, 50),
    ]
    assert not (await brand.audit()).differences


async def test_coming_back_acknowledges_and_leaving_does_not(stream: Stream) -> None:
    entries = await stream.scans(5)
    with suppress(ValueError):
        async with stream.consumer(name="w") as consumer:
            async for event in consumer:
                if event.entry == entries[2]:
                    raise ValueError("no")
    pending = await stream.pending()
    assert [entry for entry, _, _ in pending] == entries[2:]
    assert [times for _, _, times in pending] == [2, 1, 1]  # one try of the first was begun, no more
    assert [event.entry for event in await taken(stream.consumer(name="w"), 3)] == entries[2:]
    await stream.nothing_left()


async def test_what_was_left_is_given_again_in_the_same_loop_and_may_die(stream: Stream) -> None:
    entries = await stream.scans(3)
    seen: list[str] = []
    async with stream.consumer(tries=3, wait_s=(0, 0)) as consumer:
        while not seen or seen[-1] != entries[2]:
            try:
                async for event in consumer:
                    seen.append(event.entry)
                    if event.entry == entries[1]:
                        raise ValueError
                    if event.entry == entries[2]:
                        break
            except ValueError:
                continue
    assert seen == [entries[0], *[entries[1]] * 3, entries[2]]
    [letter] = await stream.dead()
    assert (letter["entry"], letter["tries"]) == (entries[1], "3")


async def test_batches_are_full_or_come_after_their_wait(stream: Stream) -> None:
    entries = await stream.scans(25)
    sizes, seen = [], []
    async with stream.consumer(ahead=20) as consumer:
        async for events in consumer.batches(10):
            sizes.append(len(events))
            seen += [event.entry for event in events]
            if len(seen) == 25:
                consumer.stop()
    assert seen == entries
    assert max(sizes) == 10
    await stream.nothing_left()


async def test_one_bad_event_does_not_take_its_batch_with_it(stream: Stream) -> None:
    entries = await stream.scans(300)
    sizes, done = [], []
    async with stream.consumer(tries=4, wait_s=(0, 0)) as consumer:
        while len(done) < 299:
            try:
                async for events in consumer.batches(200):
                    sizes.append(len(events))
                    if any(event.entry == entries[77] for event in events):
                        raise ValueError
                    done += [event.entry for event in events]
                    if len(done) == 299:
                        consumer.stop()
            except ValueError:
                continue
    assert [letter["entry"] for letter in await stream.dead()] == [entries[77]]
    assert sorted(done) == sorted({*entries} - {entries[77]})
    assert 1 in sizes
    await stream.nothing_left()


async def test_without_a_limit_of_tries_batches_stay_whole(stream: Stream) -> None:
    await stream.scans(50)
    sizes = []
    async with stream.consumer(tries=None, wait_s=(0, 0)) as consumer:
        for _ in range(8):
            async for events in consumer.batches(50, wait_s=5):
                sizes.append(len(events))
                break
    assert sizes == [50] * 8
    assert await stream.dead() == []


async def test_a_handler_gets_each_members_events_in_order_one_at_a_time(stream: Stream) -> None:
    entries = await stream.scans(400, members=9)
    by_member, under_way, at_once = defaultdict(list), set(), []
    consumer = stream.consumer(concurrency=5)

    @consumer.handler
    async def note(event: ScanAccepted) -> None:
        assert event.member not in under_way
        under_way.add(event.member)
        at_once.append(len(under_way))
        await asyncio.sleep(event.serial % 3 / 1000)
        under_way.discard(event.member)
        by_member[event.member].append(event.entry)

    async with running(consumer):
        await stream.nothing_left()
    assert {member: sorted(found, key=entries.index) for member, found in by_member.items()} == by_member
    assert sum(map(len, by_member.values())) == 400
    assert max(at_once) == 5
    assert await stream.consumers() == set()  # a name that was made up does not stay behind


async def test_a_handler_is_a_coroutine_function_and_there_is_one(stream: Stream) -> None:
    consumer = stream.consumer()
    with pytest.raises(ConfigurationError, match="async def"):
        consumer.handler(lambda event: None)
    with pytest.raises(ConfigurationError, match="no handler"):
        await consumer.run()

    @consumer.handler
    async def note(event: Event) -> None: ...

    with pytest.raises(ConfigurationError, match="one consumer, one handler"):
        consumer.handler(note)
    async with consumer:
        pass
    with pytest.raises(ConfigurationError, match="opened once"):
        await consumer.run()
    with pytest.raises(ConfigurationError, match="not open"):
        await anext(stream.consumer())


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, "abcdef"),
        ({"campaigns": {"spring"}}, "acd"),
        ({"campaigns": ["autumn", "spring"]}, "abcd"),
        ({"campaigns": ()}, ""),
        ({"types": {"lot.blocked"}}, "e"),
        ({"types": {"scan.accepted"}, "campaigns": {"autumn"}}, "b"),
        ({"kinds": {"cash"}}, "c"),
        ({"kinds": {"cash", "points"}}, "abc"),
    ],
)
async def test_what_is_not_wanted_is_acknowledged_and_not_given(
    stream: Stream, chosen: dict[str, object], expected: str
) -> None:
    by_entry = {
        await stream.scan("a"): "a",
        await stream.scan("b", campaign="autumn"): "b",
        await stream.scan("c", kind="cash"): "c",
        await stream.scan("d", awards="[]"): "d",
    }
    events = stream.keys().events
    pairs = ("type", "lot.blocked", "at", "1", "by", "x", "lot", "1")
    by_entry[(await stream.ask("XADD", events, "*", *pairs)).decode()] = "e"
    by_entry[(await stream.ask("XADD", events, "*", "type", "new.kind", "at", "1", "x", "y")).decode()] = "f"
    seen = []
    consumer = stream.consumer(**chosen)

    @consumer.handler
    async def note(event: Event) -> None:
        seen.append(by_entry[event.entry])

    async with running(consumer):
        await stream.nothing_left()
    assert "".join(sorted(seen)) == expected


async def test_where_a_new_group_begins(stream: Stream) -> None:
    entries = [await stream.scan(id=f"{ms}-0") for ms in (1000, 2000, 3000, 4000)]
    second = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=3)
    assert [one.entry for one in await taken(stream.consumer("a"), 4)] == entries
    assert [one.entry for one in await taken(stream.consumer("b", start=entries[1]), 2)] == entries[2:]
    assert [one.entry for one in await taken(stream.consumer("c", start=second), 2)] == entries[2:]
    async with stream.consumer("d", start="now") as consumer:
        last = await stream.scan(id="5000-0")
        assert (await anext(consumer)).entry == last
    # Only where it is made: a group that is there goes on where it is.
    assert [one.entry for one in await taken(stream.consumer("b", start="beginning"), 1)] == [last]


async def test_a_stream_that_is_not_there_yet_is_waited_for(stream: Stream) -> None:
    async with stream.consumer() as consumer:
        entry = await stream.scan()
        assert (await anext(consumer)).entry == entry


async def test_the_beginning_of_a_trimmed_stream_is_refused_and_said_where_to_begin(stream: Stream) -> None:
    entries = [await stream.scan(id=f"{ms}-0") for ms in (1000, 2000, 3000)]
    await stream.ask("XTRIM", stream.keys().events, "MINID", "2000-0")
    with pytest.raises(StoreRefusedError, match=r"archive only.*start='1999-\d+'") as refused:
        async with stream.consumer():
            pass
    assert await stream.ask("XINFO GROUPS", stream.keys().events) == []
    start = str(refused.value).rpartition("start='")[2].rstrip("'")
    assert [one.entry for one in await taken(stream.consumer(start=start), 2)] == entries[1:]
    # A group that was there before goes on.
    await stream.ask("XTRIM", stream.keys().events, "MINID", "3000-0")
    last = await stream.scan(id="4000-0")
    assert [one.entry for one in await taken(stream.consumer(), 1)] == [last]


async def test_shares_part_the_members_among_groups_of_their_own(stream: Stream) -> None:
    entries = await stream.scans(60, members=20)
    seen: dict[int, list[str]] = {}
    for part in range(3):
        mine = [n for n in range(60) if crc32(f"m{n % 20}".encode()) % 3 == part]
        consumer = stream.consumer(share=(part, 3))
        seen[part] = [one.entry for one in await taken(consumer, len(mine))]
        assert seen[part] == [entries[n] for n in mine]
        assert consumer.group == f"points.{part}of3"
        await stream.nothing_left(consumer.group)
    assert sorted(entry for part in seen.values() for entry in part) == sorted(entries)


async def test_several_partitions_come_through_one_consumer(stream: Stream) -> None:
    mine = {(no, entry) for no in range(3) for entry in await stream.scans(20, partition=no)}
    bad = await stream.scan(partition=2, lot="x")
    seen = set()
    consumer = stream.consumer(partitions=3, tries=1)

    @consumer.handler
    async def note(event: Event) -> None:
        seen.add((event.partition, event.entry))

    async def is_done() -> bool:
        return seen == mine and not [one for no in range(3) for one in await stream.pending(partition=no)]

    async with running(consumer):
        await eventually(is_done)
    [letter] = await stream.dead(partition=2)
    assert letter["entry"] == bad


async def test_payouts_keep_their_rate(stream: Stream) -> None:
    """The rate itself is tested in virtual time; here, that a consumer has it, in each form."""
    await stream.scans(40)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await taken(stream.consumer("a", rate=200), 40)
    assert loop.time() - began >= (40 - 20) / 200 * 0.99  # a bound from below, which no slow machine breaks
    began, consumer = loop.time(), stream.consumer("b", rate=200)

    @consumer.handler
    async def note(event: Event) -> None: ...

    async with running(consumer):
        await stream.nothing_left("b")
    assert loop.time() - began >= (40 - 20) / 200 * 0.99


@pytest.mark.parametrize(
    "wrong",
    [
        {"group": ""},
        {"group": "a b"},
        {"group": "archive"},
        {"name": "x" * 65},
        {"share": (2, 2)},
        {"partitions": 0},
        {"concurrency": 0},
        {"rate": 0},
        {"tries": 0},
        {"wait_s": (2, 1)},
        {"take_over_s": 0},
        {"ahead": 0},
        {"campaigns": "spring"},
        {"kinds": "cash"},
        {"start": "yesterday"},
        {"start": "1-2-3"},
        {"start": f"{1 << 64}"},
        {"start": datetime(2027, 1, 1)},  # noqa: DTZ001
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Consumer(**{"group": "points", **wrong})
