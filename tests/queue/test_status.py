"""The figures of the stream and its groups: as the store has them, or said to be uncertain."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import StoreUnavailableError
from scanner.ledger.connection import Store, opened
from scanner.ledger.embedded import EmbeddedStore
from scanner.ledger.keys import Keys
from scanner.ledger.watermark import RestoringError
from scanner.queue import status as status_module
from scanner.queue.consuming.options import ARCHIVE_GROUP
from scanner.queue.status import COUNTED_MAX, GROUPS_LISTED_MAX, GROUPS_MAX, GroupStatus, read_status
from scanner.service.queue_metrics import _of_groups as of_groups
from scanner.service.queue_metrics import _of_stream as of_stream
from scanner.settings import Settings
from tests.brand import settings_for

DAY_MS = 86_400_000
FIELDS = ("type", "x", "at", "1")


class Stream:
    """A stream on a store of its own, as its readers and its keeper treat it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self.key = store.keys.events

    async def ask(self, *command: str | bytes | int) -> Any:
        return await self.store.client.execute_command(*command)

    async def add(self, n: int = 1, *, from_ms: int | None = None) -> list[bytes]:
        """Entries with ids that the store gives, or 1 ms apart."""
        ids = ["*"] * n if from_ms is None else [f"{from_ms + i}-0" for i in range(n)]
        return [await self.ask("XADD", self.key, id, *FIELDS) for id in ids]

    async def group(self, name: str | bytes, start: str = "0") -> None:
        await self.ask("XGROUP", "CREATE", self.key, name, start)

    async def read(self, group: str, n: int, consumer: str = "one") -> list[bytes]:
        """The ids of what the consumer was given."""
        found = await self.ask("XREADGROUP", "GROUP", group, consumer, "COUNT", n, "STREAMS", self.key, ">")
        return [id for id, _ in found[0][1]] if found else []

    async def now_ms(self) -> int:
        seconds, micros = await self.store.client.time()
        return seconds * 1000 + micros // 1000

    async def of(self, name: str) -> GroupStatus:
        found = await read_status(self.store, self.settings)
        [group] = [group for group in found.groups or () if group.name == name]
        return group


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    settings = settings_for(tmp_path / "data")
    async with opened(settings) as store:
        yield Stream(store, settings)


async def test_a_brand_without_a_stream(stream: Stream) -> None:
    found = await read_status(stream.store, stream.settings)
    assert (found.entries, found.entries_added, found.stream_bytes, found.groups) == (0, 0, 0, ())
    assert (found.first_s, found.last_s, found.archive, found.holder, found.limits) == (
        None,
        None,
        None,
        None,
        (),
    )
    assert found.memory_bytes is not None
    assert found.memory_bytes > 500_000
    assert abs(found.at_ms - await stream.now_ms()) < 60_000


async def test_what_a_group_was_given_and_what_not(stream: Stream) -> None:
    before_ms = await stream.now_ms()
    ids = await stream.add(10, from_ms=before_ms - 5000)
    await stream.group("points")
    assert await stream.read("points", 4) == ids[:4]
    await stream.ask("XACK", stream.key, "points", ids[0], ids[2])
    for kind, n in (("dead", 3), ("again", 2)):
        for _ in range(n):
            await stream.ask("XADD", getattr(stream.store.keys, kind)("points"), "*", *FIELDS)
    found = await stream.of("points")
    assert (found.lag, found.lag_is_exact, found.pending, found.consumers) == (6, True, 2, 1)
    assert (found.dead, found.again) == (3, 2)
    assert (found.position, found.oldest) == (ids[3].decode(), ids[1].decode())
    assert found.oldest_s is not None
    assert 4.999 <= found.oldest_s < 60
    assert found.idle_s is not None
    assert 0 <= found.idle_s < 60


async def test_a_group_that_has_finished_all(stream: Stream) -> None:
    ids = await stream.add(3)
    await stream.group("points")
    await stream.read("points", 10)
    await stream.ask("XACK", stream.key, "points", *ids)
    found = await stream.of("points")
    assert (found.lag, found.lag_is_exact, found.pending) == (0, True, 0)
    assert (found.oldest, found.oldest_s) == (None, None)
    assert (await read_status(stream.store, stream.settings)).holder is None


async def test_what_the_store_wrote_while_its_clock_was_ahead_has_no_age(stream: Stream) -> None:
    """Not that of what is new: who fell behind would look as if it had not."""
    [first, *_] = await stream.add(3, from_ms=await stream.now_ms() + DAY_MS)
    await stream.group("points")
    found = await stream.of("points")
    assert (found.lag, found.oldest, found.oldest_s) == (3, first.decode(), None)
    whole = await read_status(stream.store, stream.settings)
    assert (whole.first_s, whole.last_s) == (None, None)
    names = {metric.name for metric in of_stream(whole)}
    assert "scanner_stream_entries" in names
    assert not names & {"scanner_stream_first_seconds", "scanner_stream_last_seconds"}
    ages = {metric.name: len(metric.samples) for metric in of_groups(whole)}
    assert (ages["scanner_queue_lag_entries"], ages["scanner_queue_oldest_seconds"]) == (1, 0)


async def test_a_group_that_stopped_for_a_day(stream: Stream) -> None:
    """It holds the stream up, whatever others have done, and its oldest entry is a day old."""
    yesterday_ms = await stream.now_ms() - DAY_MS
    await stream.add(1000, from_ms=yesterday_ms)
    await stream.group("cash")
    await stream.group("points")
    await stream.read("points", 1000)
    await stream.read("cash", 1)
    found = await read_status(stream.store, stream.settings)
    cash = await stream.of("cash")
    assert (cash.lag, cash.pending, cash.oldest) == (999, 1, f"{yesterday_ms}-0")
    assert cash.oldest_s is not None
    assert DAY_MS / 1000 <= cash.oldest_s < DAY_MS / 1000 + 60
    assert found.first_s is not None
    assert found.last_s is not None
    assert found.first_s >= DAY_MS / 1000 > found.last_s - 60
    holder = found.holder
    assert holder is not None
    assert holder.name == "cash"  # both have the first entry unfinished, one of them a thousand


@pytest.mark.parametrize(("behind", "is_exact"), [(COUNTED_MAX, True), (COUNTED_MAX + 1, False)])
async def test_a_group_put_in_the_middle_has_a_bound_and_says_so(
    stream: Stream, behind: int, is_exact: bool
) -> None:
    """The store has lost count there; few entries are counted, of many it is known that they are no more
    than the stream has."""
    ids = await stream.add(2 * COUNTED_MAX)
    await stream.group("points", ids[-behind - 1].decode())
    found = await stream.of("points")
    assert (found.lag, found.lag_is_exact) == (behind if is_exact else 2 * COUNTED_MAX, is_exact)
    assert found.oldest == ids[-behind].decode()
    await stream.read("points", behind)
    found = await stream.of("points")
    assert (found.lag, found.lag_is_exact, found.pending) == (0, True, behind)


async def test_the_archive_is_a_group_whose_position_is_set(stream: Stream) -> None:
    ids = await stream.add(300)
    await stream.group(ARCHIVE_GROUP)
    await stream.ask("XGROUP", "SETID", stream.key, ARCHIVE_GROUP, ids[149], "ENTRIESREAD", 150)
    archive = (await read_status(stream.store, stream.settings)).archive
    assert archive is not None
    assert (archive.position, archive.lag, archive.lag_is_exact) == (ids[149].decode(), 150, True)
    assert archive.oldest == ids[150].decode()
    await stream.ask("XTRIM", stream.key, "MINID", "=", ids[150])
    archive = (await read_status(stream.store, stream.settings)).archive
    assert archive is not None
    assert (archive.lag, archive.lag_is_exact) == (150, True)


async def test_a_group_that_was_trimmed_away_from_lags_by_what_there_is(stream: Stream) -> None:
    """By hand only, for the keeper waits: what is gone is not waited for."""
    ids = await stream.add(100)
    await stream.group("points")
    await stream.read("points", 10)
    await stream.ask("XTRIM", stream.key, "MINID", "=", ids[60])
    found = await stream.of("points")
    assert (found.lag, found.lag_is_exact, found.pending) == (40, True, 10)
    assert found.oldest == ids[0].decode()
    client: Any = stream.store.client
    [control] = await client.xinfo_groups(stream.key)
    assert control["lag"] == 90  # what the store says by itself


async def test_more_groups_than_are_shown(stream: Stream) -> None:
    """The archive and those that were shown before stay, and that some are left out is said."""
    await stream.add(3)
    for n in range(GROUPS_MAX):
        await stream.group(f"g{n:03}")
    before = await read_status(stream.store, stream.settings)
    names = [group.name for group in before.groups or ()]
    assert len(names) == GROUPS_MAX == before.groups_count
    for n in range(20):
        await stream.group(f"a{n:03}")
    await stream.group(ARCHIVE_GROUP)
    found = await read_status(stream.store, stream.settings, names)
    assert found.groups_count == GROUPS_MAX + 21
    assert [group.name for group in found.groups or ()] == [ARCHIVE_GROUP, *names[:-1]]
    assert found.archive is not None


async def test_so_many_groups_that_none_is_looked_at(stream: Stream) -> None:
    await stream.add(1)
    for n in range(GROUPS_LISTED_MAX + 1):
        await stream.group(f"g{n}")
    found = await read_status(stream.store, stream.settings)
    assert (found.groups, found.groups_count, found.refused) == (None, GROUPS_LISTED_MAX + 1, ())
    assert (found.archive, found.holder) == (None, None)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"\xff\xfe", "\\xff\\xfe"),
        (b'a"}\n# HELP x', 'a"}\\x0a# HELP x'),
        ("积分".encode(), "积分"),
        (b"x" * 100, "x" * 63 + "…"),
        (b"", ""),
    ],
)
async def test_a_name_is_shown_as_text_on_one_line(stream: Stream, name: bytes, shown: str) -> None:
    await stream.add(2)
    await stream.group(name)
    await stream.ask("XADD", stream.store.keys.dead("").encode() + name, "*", *FIELDS)
    found = await stream.of(shown)
    assert (found.lag, found.dead) == (2, 1)


async def test_consumers_are_counted_and_not_asked_where_they_are_many(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "CONSUMERS_LISTED_MAX", 3)
    await stream.add(9)
    await stream.group("few")
    await stream.group("many")
    await stream.group("none")
    for n in range(4):
        await stream.read("many", 1, f"c{n}")
        if n < 3:
            await stream.read("few", 1, f"c{n}")
    assert [(await stream.of(name)).consumers for name in ("few", "many", "none")] == [3, 4, 0]
    idle = {name: (await stream.of(name)).idle_s for name in ("few", "many", "none")}
    assert idle["few"] is not None
    assert (idle["many"], idle["none"]) == (None, None)


async def test_a_group_that_is_destroyed_while_it_is_looked_at(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stream.add(2)
    await stream.group("gone")
    await stream.group("there")
    each = status_module._Look._each

    async def later(look: Any, *about: Any) -> Any:
        await stream.ask("XGROUP", "DESTROY", stream.key, "gone")
        return await each(look, *about)

    monkeypatch.setattr(status_module._Look, "_each", later)
    found = await read_status(stream.store, stream.settings)
    assert [group.name for group in found.groups or ()] == ["there"]


async def test_a_ledger_that_is_restored_has_no_figures(stream: Stream) -> None:
    await stream.ask("SET", stream.key, "restoring")
    with pytest.raises(RestoringError):
        await read_status(stream.store, stream.settings)


async def test_a_store_that_is_gone(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", store_url="unix:///nonexistent.sock")
    async with opened(settings, only_reads=True) as store:
        with pytest.raises(StoreUnavailableError, match="did not answer"):
            await read_status(store, settings)


async def test_a_store_without_the_command_for_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some that are rented: the rest is known."""
    configuration = EmbeddedStore._configuration
    monkeypatch.setattr(
        EmbeddedStore, "_configuration", lambda store: f'{configuration(store)}rename-command MEMORY ""\n'
    )
    settings = settings_for(tmp_path / "data")
    async with opened(settings) as store:
        await Stream(store, settings).add(3)
        found = await read_status(store, settings)
    assert (found.refused, found.stream_bytes, found.entries) == (("MEMORY USAGE",), None, 3)
    assert found.groups == ()


async def test_a_look_asks_as_much_of_a_long_stream_as_of_a_short_one(stream: Stream) -> None:
    async def commands() -> int:
        return int((await stream.store.client.info("stats"))["total_commands_processed"])

    async def asked() -> int:
        before = await commands()
        await read_status(stream.store, stream.settings)
        return await commands() - before - 1

    await stream.add(10)
    for name in ("points", "cash"):
        await stream.group(name)
        await stream.read(name, 5)
    short = await asked()
    await stream.add(5000)
    assert await asked() == short == 4 + 1 + 2 * 5


async def test_the_streams_size_is_near_what_a_full_count_says(stream: Stream) -> None:
    value = "x" * 300
    for n in range(40):
        pipe: Any = stream.store.client.pipeline(transaction=False)
        for _ in range(500):
            pipe.xadd(stream.key, {"type": "x", "at": "1", "value": value[: 10 + n]})
        await pipe.execute()
    counted = await stream.ask("MEMORY", "USAGE", stream.key, "SAMPLES", 0)
    found = await read_status(stream.store, stream.settings)
    assert found.stream_bytes is not None
    assert abs(found.stream_bytes - counted) < 0.2 * counted
    control = await stream.ask("MEMORY", "USAGE", stream.key, "SAMPLES", 1)
    assert control > 0


async def test_a_few_large_files_at_the_beginning_do_not_make_the_stream_look_large(stream: Stream) -> None:
    """Campaigns come before their scans, and the store takes what it looks at from the stream's beginning."""
    for _ in range(2):
        await stream.ask("XADD", stream.key, "*", *FIELDS, "file", "x" * 500_000)
    for _ in range(24):
        pipe: Any = stream.store.client.pipeline(transaction=False)
        for _ in range(1000):
            pipe.xadd(stream.key, {"type": "x", "at": "1", "value": "x" * 300})
        await pipe.execute()

    async def size(samples: int) -> int:
        return await stream.ask("MEMORY", "USAGE", stream.key, "SAMPLES", samples)

    counted = await size(0)
    assert await size(status_module.SAMPLES) < 1.5 * counted
    assert await size(100) > 1.5 * counted  # control
    found = await read_status(stream.store, stream.settings)
    assert found.stream_bytes is not None
    assert found.memory_bytes is not None
    assert found.stream_bytes <= min(1.5 * counted, found.memory_bytes)


class Shared:
    """A loop, and a store that is opened in it."""

    def __init__(self, runner: asyncio.Runner, store: Store, settings: Settings) -> None:
        self.run, self.settings = runner.run, settings
        self._store, self._streams = store, count()

    def __repr__(self) -> str:
        return "Shared()"

    def stream(self) -> Stream:
        """A fresh one: another brand's."""
        return Stream(replace(self._store, keys=Keys(f"b{next(self._streams)}")), self.settings)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    values = settings_for(tmp_path_factory.mktemp("status"))
    with asyncio.Runner() as runner:
        context = opened(values)
        try:
            yield Shared(runner, runner.run(context.__aenter__()), values)
        finally:
            runner.run(context.__aexit__(None, None, None))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40)),
        st.tuples(st.just("read"), st.integers(1, 40)),
        st.tuples(st.just("ack"), st.integers(0, 10)),
        st.tuples(st.just("setid"), st.integers(0, 100)),
        st.tuples(st.just("trim"), st.integers(0, 100)),
        st.tuples(st.just("delete"), st.integers(0, 100)),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(steps=STEPS, start=st.integers(0, 100))
def test_a_lag_is_what_a_count_says_or_no_less(
    shared: Shared, steps: list[tuple[str, int]], start: int
) -> None:
    """Whatever was done to a stream and a group: entries read, acknowledged, trimmed and even deleted, the
    group put anywhere."""
    stream = shared.stream()
    client: Any = stream.store.client

    async def play() -> None:
        ids = await stream.add(20)

        def at(percent: int) -> bytes:
            return ids[percent * (len(ids) - 1) // 100]

        await stream.group("g", at(start).decode())
        for what, n in steps:
            if what == "add":
                ids.extend(await stream.add(n))
            elif what == "read":
                await stream.read("g", n)
            elif what == "ack":
                for entry in await client.xpending_range(stream.key, "g", "-", "+", n + 1):
                    await stream.ask("XACK", stream.key, "g", entry["message_id"])
            elif what == "setid":
                await stream.ask("XGROUP", "SETID", stream.key, "g", at(n))
            elif what == "trim":
                await stream.ask("XTRIM", stream.key, "MINID", "=", at(n))
            else:
                await stream.ask("XDEL", stream.key, at(n))
            found = await stream.of("g")
            following = await client.xrange(stream.key, f"({found.position}", "+")
            assert found.lag == len(following) if found.lag_is_exact else found.lag >= len(following)
            assert (found.oldest is None) == (not following and not found.pending)

    shared.run(play())
