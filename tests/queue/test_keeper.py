"""The keeper: what it trims is in the archive, and nobody needs it; killed at any step, it loses nothing."""

import asyncio
import logging
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from scanner.errors import ConfigurationError, StoreRefusedError, StoreUnavailableError
from scanner.ledger.client import Entry
from scanner.ledger.connection import Store
from scanner.ledger.restore import Exports, restore
from scanner.queue import keeper as keeper_module
from scanner.queue.archive import ArchiveError, position, read_archive
from scanner.queue.archive.manifest import NAME
from scanner.queue.archive.verifying import verify_archive
from scanner.queue.keeper import GROUP, Keeper, Kept, compare
from tests.brand import Brand, brand_in, campaign_toml
from tests.ledger.test_restore import empty
from tests.queue.archives import ODD, Interposed, Killed, audited, exact, interposed, put, read, stream_of
from tests.queue.story import play
from tests.running import eventually

AGE = {"keep_s": 0.0}
"""Nothing is too young."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "archive"


async def keep(brand: Brand, directory: Path, **values: Any) -> Kept:
    """One run of a keeper."""
    keeper = Keeper(brand.store, directory, **{**AGE, **values})
    try:
        return await keeper.keep()
    finally:
        keeper.close()


async def fill(brand: Brand, count: int, first: int = 0) -> list[Entry]:
    """Adds entries that are older than anything that may be kept, and returns the whole stream."""
    for n in range(first, first + count):
        await put(
            brand.store, {b"type": b"x", b"at": b"%d" % n, b"campaign": b"c%d" % (n % 2)}, f"{n + 1}-{n % 3}"
        )
    return await stream_of(brand.store)


async def groups(store: Store) -> dict[str, tuple[str, int]]:
    found = await store.client.execute_command("XINFO GROUPS", store.keys.events)
    return {one["name"].decode(): (one["last-delivered-id"].decode(), one["entries-read"]) for one in found}


async def command(brand: Brand, *args: Any) -> Any:
    return await brand.store.client.execute_command(args[0], brand.store.keys.events, *args[1:])


async def make_group(brand: Brand, name: str, start: str) -> None:
    await brand.store.client.execute_command("XGROUP", "CREATE", brand.store.keys.events, name, start)


def parquet_in(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.parquet"))


async def drop_group(brand: Brand, name: str) -> None:
    await brand.store.client.execute_command("XGROUP", "DESTROY", brand.store.keys.events, name)


async def take(brand: Brand, name: str, count: int) -> list[str]:
    taken = await brand.store.client.execute_command(
        *("XREADGROUP", "GROUP", name, "one", "COUNT", count, "STREAMS", brand.store.keys.events, ">")
    )
    return [id.decode() for id, _ in taken[0][1]]


async def first_of(brand: Brand) -> str:
    return (await stream_of(brand.store))[0][0].decode()


async def test_a_story_is_archived_trimmed_and_whole(brand: Brand, directory: Path) -> None:
    await play(brand)
    told = await stream_of(brand.store)
    kept = await keep(brand, directory, segment_entries_max=30)
    assert (kept.archived, kept.trimmed) == (len(told), len(told) - len(await stream_of(brand.store)))
    assert read(directory) == exact(told)
    assert await groups(brand.store) == {GROUP: (told[-1][0].decode(), len(told))}
    found = position(directory)
    assert (found.entry, found.added, found.segments) == (
        told[-1][0].decode(),
        len(told),
        -(-len(told) // 30),
    )
    report = await audited(brand, directory)
    assert (report.differences, report.entries) == ([], len(told))


async def test_again_it_does_nothing_and_goes_on_with_what_is_new(brand: Brand, directory: Path) -> None:
    assert await keep(brand, directory) == Kept(0, 0, "0-0", GROUP)
    told = await fill(brand, 25)
    assert await keep(brand, directory) == Kept(25, 24, "25-0", GROUP)
    assert await keep(brand, directory) == Kept(0, 0, "25-0", GROUP)
    more = (await fill(brand, 10, first=25))[1:]
    assert await keep(brand, directory) == Kept(10, 10, "35-1", GROUP)
    assert read(directory) == exact([*told, *more])


async def test_odd_entries_are_archived_as_they_are(brand: Brand, directory: Path) -> None:
    for fields in ODD:
        await put(brand.store, fields)
    told = await stream_of(brand.store)
    await keep(brand, directory)
    assert read(directory) == exact(told)


async def test_what_is_young_stays(brand: Brand, directory: Path) -> None:
    await fill(brand, 10)
    now = await put(brand.store, {b"type": b"x"})
    await keep(brand, directory, keep_s=3600)
    await brand.store.client.execute_command("DEL", brand.store.keys.resting)
    kept = await keep(brand, directory, keep_s=3600)
    assert (kept.trimmed, kept.held_by, await first_of(brand)) == (10, "", now.decode())
    assert await keep(brand, directory, keep_s=None) == Kept(0, 0, "0-0", GROUP)


Hold = Callable[[Brand], Awaitable[object]]


async def _pending(brand: Brand) -> None:
    """Has acknowledged all but the fourth."""
    await make_group(brand, "slow", "0")
    taken = await take(brand, "slow", 10)
    await command(brand, "XACK", "slow", *(id for id in taken if id != "4-0"))


async def _behind(brand: Brand) -> None:
    await make_group(brand, "slow", "0")
    taken = await take(brand, "slow", 4)
    await command(brand, "XACK", "slow", *taken)


async def _share_of_members(brand: Brand) -> None:
    """The group of a share is one like any other; the one that is ahead does not matter."""
    await make_group(brand, "slow", "4-0")
    await make_group(brand, "slow.0of2", "$")


HOLDS: dict[str, Hold] = {
    "pending": _pending,
    "behind": _behind,
    "begins later": lambda brand: brand.store.client.execute_command(
        *("XGROUP", "CREATE", brand.store.keys.events, "slow", "4-0")
    ),
    "a share": _share_of_members,
}


@pytest.mark.parametrize("hold", HOLDS)
async def test_what_a_group_has_not_finished_stays(brand: Brand, directory: Path, hold: str) -> None:
    told = await fill(brand, 10)
    await HOLDS[hold](brand)
    kept = await keep(brand, directory)
    assert (kept.archived, kept.trimmed, kept.held_by, await first_of(brand)) == (10, 3, "slow", "4-0")
    await drop_group(brand, "slow")
    await keep(brand, directory)
    assert await first_of(brand) == "10-0"
    assert read(directory) == exact(told)


async def test_a_group_that_begins_at_the_beginning_holds_everything(brand: Brand, directory: Path) -> None:
    await fill(brand, 10)
    await make_group(brand, "new", "0")
    assert (await keep(brand, directory)).held_by == "new"
    assert await first_of(brand) == "1-0"


async def test_ids_are_compared_as_numbers_of_64_bits(brand: Brand, directory: Path) -> None:
    ids = ["9-0", "9-10", "10-2", f"10-{(1 << 64) - 1}", "11-0", f"{(1 << 64) - 1}-{(1 << 64) - 2}"]
    for id in ids:
        await put(brand.store, {b"type": b"x"}, id)
    for name, start, first in (
        ("a", "9-9", "9-10"),
        ("b", "10-3", f"10-{(1 << 64) - 1}"),
        ("c", "11-0", "11-0"),
    ):
        await make_group(brand, name, start)
        await keep(brand, directory)
        assert await first_of(brand) == first
        await drop_group(brand, name)


async def test_a_long_stream_is_trimmed_bit_by_bit(
    brand: Brand, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "TRIM_AT_ONCE", 100)
    await fill(brand, 1234)
    assert (await keep(brand, directory)).trimmed == 1233


class Dying:
    """The store's client, which dies at its n-th call: before it is sent, or before its reply is read."""

    def __init__(
        self, client: Any, dies_at: int = 0, *, late: bool = False, error: type[BaseException] = Killed
    ):
        self._client, self.dies_at, self.late, self.error = client, dies_at, late, error
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def _counted(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.calls += 1
        if self.calls == self.dies_at:
            if self.late:
                await call()
            raise self.error("killed")
        return await call()

    async def execute_command(self, *args: Any) -> Any:
        return await self._counted(lambda: self._client.execute_command(*args))

    async def xrange(self, *args: Any, **options: Any) -> Any:
        return await self._counted(lambda: self._client.xrange(*args, **options))

    def pipeline(self, *, transaction: bool) -> Any:
        pipe = self._client.pipeline(transaction=transaction)
        whole = pipe.execute
        pipe.execute = lambda raise_on_error=True: self._counted(lambda: whole(raise_on_error=raise_on_error))
        return pipe


async def is_whole(brand: Brand, directory: Path, told: Sequence[Entry]) -> bool:
    """The rule: archive and stream together have every entry, in order, each as it was."""
    archived = read(directory) if (directory / NAME).exists() else []
    rest = exact(await stream_of(brand.store))
    after = [one for one in rest if not archived or _id(one[0]) > _id(archived[-1][0])]
    return [*archived, *after] == exact(told) and all(one in exact(told) for one in rest)


def _id(id: bytes) -> tuple[int, ...]:
    return tuple(map(int, id.split(b"-")))


async def test_it_may_be_killed_at_every_step(brand: Brand, directory: Path, tmp_path: Path) -> None:
    """Each call of the system by which it writes, and each of the store; whatever comes next goes on."""
    told = await fill(brand, 12)
    client, dies_at, died = brand.store.client, 0, 0
    while True:
        dies_at += 1
        steps, deaths = Interposed(dies_at), 0
        with interposed(steps):
            try:
                await keep(brand, directory, segment_entries_max=5)
            except Killed:
                deaths = 1
        assert await is_whole(brand, directory, told), f"after step {dies_at} of the disk"
        died += deaths
        if not deaths:
            break
        if dies_at % 3 == 0:  # else there is soon nothing left to do
            told = [*told, *(await fill(brand, 6, first=len(told)))[-6:]]
    for late in (False, True):
        for dies_at in range(1, 9):
            told = [*told, *(await fill(brand, 6, first=len(told)))[-6:]]
            dying = replace(brand, store=replace(brand.store, client=Dying(client, dies_at, late=late)))
            with pytest.raises(Killed):
                await keep(dying, directory, segment_entries_max=5)
            died += 1
            assert await is_whole(brand, directory, told), f"after call {dies_at} of the store, late: {late}"
    await keep(brand, directory)
    assert read(directory) == exact(told)
    verify_archive(directory)
    assert died > 30


async def test_control_one_that_trims_first_is_caught_by_the_same_rule(
    brand: Brand, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await fill(brand, 12)
    await keep(brand, directory)
    told = [*told, *(await fill(brand, 6, first=12))[-6:]]

    async def trimming_first(self: Keeper, archive: Any, stream: Any) -> int:
        await brand.store.client.execute_command("XTRIM", brand.store.keys.events, "MINID", stream.last)
        raise Killed

    monkeypatch.setattr(Keeper, "_copy", trimming_first)
    with pytest.raises(Killed):
        await keep(brand, directory)
    assert not await is_whole(brand, directory, told)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 9)),
        st.tuples(st.just("odd"), st.integers(0, len(ODD) - 1)),
        st.tuples(st.just("disk"), st.integers(1, 60)),
        st.tuples(st.just("store"), st.integers(1, 12)),
        st.tuples(st.just("late"), st.integers(1, 12)),
        st.tuples(st.just("group"), st.integers(0, 3)),
        st.tuples(st.just("read"), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, 3)),
        st.tuples(st.just("keep"), st.integers(1, 7)),
    ),
    min_size=5,
    max_size=25,
)


class History:
    """A stream that is written, read by groups, and kept by keepers that are killed."""

    def __init__(self, brand: Brand, directory: Path) -> None:
        self.brand, self.directory = brand, directory
        self.told: list[Entry] = []
        self.unfinished: dict[str, set[str]] = {}
        self.ms = 0

    async def play(self, steps: Sequence[tuple[str, int]]) -> None:
        for what, n in steps:
            await getattr(self, what)(n)
            assert await is_whole(self.brand, self.directory, self.told), (what, n)
            held = {id.decode() for id, _ in await stream_of(self.brand.store)}
            for name, due in self.unfinished.items():
                assert due <= held, f"group {name} lost {due - held}"

    async def add(self, n: int) -> None:
        for _ in range(n):
            await self._put({b"type": b"x", b"campaign": b"c%d" % (n % 2), b"at": b"%d" % n})

    async def odd(self, n: int) -> None:
        await self._put(ODD[n])

    async def _put(self, fields: dict[bytes, bytes]) -> None:
        self.ms += 30_000_000  # about three a day
        id = await put(self.brand.store, fields, f"{self.ms}-0")
        self.told.append((id, fields))
        for due in self.unfinished.values():
            due.add(id.decode())

    async def keep(self, n: int) -> None:
        await keep(self.brand, self.directory, segment_entries_max=n)

    async def disk(self, n: int) -> None:
        with interposed(Interposed(n)):
            await self._killed(self.brand)

    async def store(self, n: int) -> None:
        await self._killed(self._dying(n, late=False))

    async def late(self, n: int) -> None:
        await self._killed(self._dying(n, late=True))

    def _dying(self, n: int, *, late: bool) -> Brand:
        return replace(
            self.brand, store=replace(self.brand.store, client=Dying(self.brand.store.client, n, late=late))
        )

    async def _killed(self, brand: Brand) -> None:
        with suppress(Killed):
            await keep(brand, self.directory, segment_entries_max=4)

    async def group(self, n: int) -> None:
        if self.told and f"g{n}" not in self.unfinished:
            await make_group(self.brand, f"g{n}", "0")
            self.unfinished[f"g{n}"] = {id.decode() for id, _ in await stream_of(self.brand.store)}

    async def read(self, n: int) -> None:
        if len(self.unfinished.get(f"g{n}", ())) > 1:
            taken = await take(self.brand, f"g{n}", 2)
            await command(self.brand, "XACK", f"g{n}", *taken[1:])
            self.unfinished[f"g{n}"] -= set(taken[1:])

    async def leave(self, n: int) -> None:
        if self.unfinished.pop(f"g{n}", None) is not None:
            await drop_group(self.brand, f"g{n}")


def test_random_histories_with_keepers_that_are_killed(tmp_path: Path) -> None:
    """Whatever happens, in whatever order: archive and stream have all, and groups keep what they need."""

    async def one(steps: Sequence[tuple[str, int]], brand: Brand) -> None:
        await empty_stream(brand)
        shutil.rmtree(tmp_path / "archive", ignore_errors=True)
        history = History(brand, tmp_path / "archive")
        await history.play(steps)
        await keep(brand, tmp_path / "archive")
        assert read(tmp_path / "archive") == exact(history.told)

    with asyncio.Runner() as runner:
        context = brand_in(tmp_path / "data")
        brand = runner.run(context.__aenter__())

        @seed(20270303)
        @settings(max_examples=40, deadline=None, database=None, phases=[Phase.generate, Phase.shrink])
        @given(STEPS)
        def play_one(steps: Sequence[tuple[str, int]]) -> None:
            runner.run(one(steps, brand))

        try:
            play_one()
        finally:
            runner.run(context.__aexit__(None, None, None))


async def empty_stream(brand: Brand) -> None:
    keys = brand.store.keys
    await brand.store.client.execute_command("DEL", keys.events, keys.keeper, keys.resting)


async def test_a_full_disk_stops_archiving_and_trimming_says_so_and_recovers(
    brand: Brand, directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(keeper_module, "_WAIT_S", 0.01)
    monkeypatch.setattr(keeper_module, "BEAT_S", 0.01)
    told = await fill(brand, 5)
    await keep(brand, directory)
    told = [*told, *(await fill(brand, 7, first=5))[-7:]]
    keeper, stop = Keeper(brand.store, directory, every_s=0.01, **AGE), asyncio.Event()
    with interposed(Interposed(full_after=500)):
        task = asyncio.create_task(keeper.run(stop))

        async def is_said() -> bool:
            return any(
                "cannot be written, and nothing is trimmed: No space left" in text for text in caplog.messages
            )

        await eventually(is_said)
        await asyncio.sleep(0.1)  # tries again and again
        assert len(await stream_of(brand.store)) == 8
        assert await is_whole(brand, directory, told)
        assert sum("No space left" in text for text in caplog.messages) == 1

    async def is_trimmed() -> bool:
        return len(await stream_of(brand.store)) == 1

    await eventually(is_trimmed)
    stop.set()
    await task
    assert read(directory) == exact(told)
    assert "the archive is kept again" in caplog.messages


async def test_it_runs_until_it_is_stopped_and_takes_what_comes(
    brand: Brand, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "BEAT_S", 0.01)
    stop = asyncio.Event()
    task = asyncio.create_task(Keeper(brand.store, directory, every_s=0.05, **AGE).run(stop))
    for first in (0, 20):
        told = await fill(brand, 20, first=first)

        async def is_archived(last: str = told[-1][0].decode()) -> bool:
            found = position(directory)
            return found is not None and found.entry == last

        await eventually(is_archived)
    stop.set()
    await task
    assert [id for id, _ in read(directory)][-1] == told[-1][0]
    await keep(brand, directory)  # the lock is free again


async def test_whole_segments_do_not_wait(brand: Brand, directory: Path) -> None:
    keeper = Keeper(brand.store, directory, segment_entries_max=10, **AGE)
    await fill(brand, 9)
    assert (await keeper.keep(everything=False)).archived == 0
    await fill(brand, 16, first=9)
    assert (await keeper.keep(everything=False)).archived == 20
    assert (await keeper.keep()).archived == 5
    keeper.close()


async def test_trouble_of_the_store_is_waited_out(
    brand: Brand, directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_WAIT_S", 0.01)
    told = await fill(brand, 5)
    client = Dying(brand.store.client, 3, error=RedisConnectionError)
    stop = asyncio.Event()
    task = asyncio.create_task(Keeper(replace(brand.store, client=client), directory, **AGE).run(stop))

    async def is_archived() -> bool:
        return position(directory) is not None

    await eventually(is_archived)
    stop.set()
    await task
    assert read(directory) == exact(told)
    assert [text for text in caplog.messages if "killed" in text]


async def test_two_keepers_of_one_directory_do_not_meet(brand: Brand, directory: Path) -> None:
    await fill(brand, 5)
    one = Keeper(brand.store, directory, **AGE)
    await one.keep()
    with pytest.raises(StoreRefusedError, match="another keeper writes the archive"):
        await keep(brand, directory)
    one.close()
    await keep(brand, directory)


async def test_two_keepers_of_two_directories_do_not_meet(
    brand: Brand, directory: Path, tmp_path: Path
) -> None:
    """As on two hosts: the lease in the store keeps the second away, and the first if it was held up."""
    told = await fill(brand, 5)
    one = Keeper(brand.store, directory, **AGE)
    await one.keep()
    shutil.copytree(directory, tmp_path / "copy")
    with pytest.raises(
        StoreRefusedError, match=r"another keeper of this stream runs: archive [0-9a-f]{16} in /"
    ):
        await keep(brand, tmp_path / "copy")
    assert await first_of(brand) == "5-1"
    told = [*told, *(await fill(brand, 5, first=5))[-5:]]
    await brand.store.client.execute_command("DEL", brand.store.keys.keeper)  # as time does
    await keep(brand, tmp_path / "copy")
    told = [*told, *(await fill(brand, 5, first=10))[-5:]]
    with pytest.raises(StoreRefusedError, match="another keeper of this stream runs"):
        await one.keep()
    assert await is_whole(brand, tmp_path / "copy", told)
    assert (await groups(brand.store))[GROUP] == ("10-0", 10)
    # Even when the other is gone: this one is behind, and does not set the group back.
    await brand.store.client.execute_command("DEL", brand.store.keys.keeper)
    with pytest.raises(StoreRefusedError, match="4 entries are gone"):
        await one.keep()
    await brand.store.client.execute_command("DEL", brand.store.keys.keeper)
    await keep(brand, tmp_path / "copy")
    assert read(tmp_path / "copy") == exact(told)


async def test_an_archive_that_lacks_what_was_trimmed_is_refused(
    brand: Brand, directory: Path, tmp_path: Path
) -> None:
    await fill(brand, 5)
    await keep(brand, directory)
    shutil.copytree(directory, tmp_path / "older")
    await fill(brand, 5, first=5)
    await keep(brand, directory)
    await brand.store.client.execute_command("DEL", brand.store.keys.keeper)
    for name, missing in (("older", 4), ("new", 9)):
        with pytest.raises(
            StoreRefusedError,
            match=f"{missing} entries are gone from the stream at its beginning, and are not in",
        ):
            await keep(brand, tmp_path / name)
    assert await first_of(brand) == "10-0"
    assert read(tmp_path / "older") == read(directory)[:5]
    both = {"accept_gap": True, "accept_older": True}
    assert await keep(brand, tmp_path / "new", **both) == Kept(1, 0, "10-0", GROUP)


async def test_a_gap_may_be_accepted_and_stays_visible(brand: Brand, directory: Path) -> None:
    await fill(brand, 10)
    await command(brand, "XTRIM", "MINID", "4")
    with pytest.raises(
        StoreRefusedError,
        match=r"3 entries are gone from the stream .* go on without them for ever with --accept-gap",
    ):
        await keep(brand, directory)
    assert (await keep(brand, directory, accept_gap=True, segment_entries_max=3)).archived == 7
    assert (position(directory).added, len(read(directory))) == (10, 7)
    assert (await keep(brand, directory)).archived == 0
    report = await audited(brand, directory)
    assert "3 entries of it are neither in the stream nor in the archive" in [
        one.text for one in report.differences
    ]


async def test_an_entry_that_was_deleted_before_it_was_archived_is_missed(
    brand: Brand, directory: Path
) -> None:
    await fill(brand, 10)
    await keep(brand, directory)
    await fill(brand, 10, first=10)
    await command(brand, "XDEL", "15-2")
    with pytest.raises(StoreRefusedError, match="1 entries are gone from the stream before 20-1"):
        await keep(brand, directory)
    assert (await keep(brand, directory, accept_gap=True)).archived == 9
    assert position(directory).added == 20
    assert (await keep(brand, directory)).archived == 0


async def test_an_older_copy_goes_on_only_when_told(brand: Brand, directory: Path, tmp_path: Path) -> None:
    await fill(brand, 5)
    await keep(brand, directory, keep_s=None)
    shutil.copytree(directory, tmp_path / "older")
    told = await fill(brand, 5, first=5)
    await keep(brand, directory, keep_s=None)
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "older", directory)
    with pytest.raises(ArchiveError, match="lines of its manifest are missing"):
        await compare(brand.store, directory)
    with pytest.raises(
        StoreRefusedError, match="the archive ends at 5-1, and entries up to 10-0 were archived"
    ):
        await keep(brand, directory)
    assert (await keep(brand, directory, accept_older=True)).archived == 5
    assert read(directory) == exact(told)
    await compare(brand.store, directory)


async def test_the_last_line_of_a_manifest_that_is_gone_is_missed_and_no_file_is_removed(
    brand: Brand, directory: Path
) -> None:
    for first in (0, 5, 10):
        await fill(brand, 5, first=first)
        await keep(brand, directory, keep_s=None)
    whole = (directory / NAME).read_bytes()
    kept = parquet_in(directory)
    (directory / NAME).write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(StoreRefusedError, match="lines of its manifest are missing"):
        await keep(brand, directory)
    assert parquet_in(directory) == kept
    (directory / NAME).write_bytes(whole)
    await keep(brand, directory)
    verify_archive(directory)


async def test_a_store_that_went_back_behind_the_archive_is_left_alone(brand: Brand, directory: Path) -> None:
    told = await fill(brand, 10)
    await keep(brand, directory, keep_s=None)
    await command(brand, "XDEL", "10-0")
    with pytest.raises(StoreUnavailableError, match=r"is not the one that the archive .* is of: .* restore"):
        await keep(brand, directory)
    await brand.store.client.execute_command("DEL", brand.store.keys.events)
    with pytest.raises(StoreUnavailableError, match="it is empty, and entry 10-0"):
        await keep(brand, directory)
    await fill(brand, 12)
    await command(brand, "XDEL", "10-0")
    await command(brand, "XTRIM", "MINID", "5")
    with pytest.raises(StoreUnavailableError, match="another history"):
        await keep(brand, directory)
    assert read(directory) == exact(told)


async def test_a_store_that_goes_back_while_it_is_read_is_noticed(
    brand: Brand, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fail-over to a replica that lacks the end, and whose clock is behind: its new ids lie between those
    that were lost."""
    monkeypatch.setattr(keeper_module, "READ_AT_ONCE", 10)
    told = await fill(brand, 30)

    class FailingOver(Dying):
        reads = 0

        async def xrange(self, *args: Any, **options: Any) -> Any:
            self.reads += 1
            if self.reads == 2:
                await empty_stream(brand)
                for id, fields in told[:5]:
                    await put(brand.store, fields, id.decode())
                for n in range(6, 40):
                    await put(brand.store, {b"type": b"y"}, f"{n}-7")
            return await self._client.xrange(*args, **options)

    client = FailingOver(brand.store.client)
    with pytest.raises(StoreUnavailableError, match="the stream changed while it was archived: entry 10-0"):
        await keep(replace(brand, store=replace(brand.store, client=client)), directory)
    assert position(directory) is None
    after = await stream_of(brand.store)
    await keep(brand, directory)
    assert read(directory) == exact(after)


async def test_after_a_restore_nothing_is_trimmed_until_groups_had_time_to_be_made_again(
    brand: Brand, directory: Path, tmp_path: Path
) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(20)
    scanner = brand.scanner()
    for code in brand.codes(lot, range(10)):
        await scanner.scan("m", code)
    told = await stream_of(brand.store)
    await keep(brand, directory)
    await asyncio.sleep(0.002)  # keep_s=0 keeps what is of this ms
    await keep(brand, directory)
    assert len(await stream_of(brand.store)) == 1
    await empty(brand)

    exports = Exports([], "main", lambda after: read_archive(directory, after=after))
    await restore(brand.store, exports, None, may_discard=lambda surplus: False, progress=lambda *_: None)
    assert exact(await stream_of(brand.store)) == exact(told)
    assert await keep(brand, directory, keep_s=3600) == Kept(0, 0, "0-0", "resting")
    assert 0 < await brand.store.client.execute_command("PTTL", brand.store.keys.resting) <= 3_600_000
    assert len(await stream_of(brand.store)) == len(told)
    assert (await groups(brand.store))[GROUP][0] == told[-1][0].decode()
    await brand.store.client.execute_command("DEL", brand.store.keys.resting)  # as time does
    assert (await keep(brand, directory)).trimmed == len(told) - 1


async def test_a_keeper_that_is_new_to_a_stream_lets_it_rest_too(brand: Brand, directory: Path) -> None:
    await fill(brand, 10)
    assert (await keep(brand, directory, keep_s=3600)).held_by == "resting"
    assert (await keep(brand, directory, keep_s=3600)).held_by == "resting"
    assert await first_of(brand) == "1-0"


async def test_a_gap_that_was_accepted_is_not_counted_again_after_a_restore(
    brand: Brand, directory: Path
) -> None:
    """The stream that is rebuilt from the archive was given fewer entries than the one before."""
    await fill(brand, 20)
    await command(brand, "XTRIM", "MINID", "11")
    await keep(brand, directory, accept_gap=True, keep_s=None)
    told = await stream_of(brand.store)
    await empty_stream(brand)
    for id, fields in told:
        await put(brand.store, fields, id.decode())
    assert (position(directory).added, (await keep(brand, directory, keep_s=None)).archived) == (20, 0)
    told = [*told, *(await fill(brand, 3, first=20))[-3:]]
    assert (await keep(brand, directory)).archived == 3
    assert position(directory).added == 13
    assert read(directory) == exact(told)
    assert verify_archive(directory).missing == 10
    await fill(brand, 2, first=23)
    await command(brand, "XDEL", "24-2")
    with pytest.raises(StoreRefusedError, match="1 entries are gone"):
        await keep(brand, directory)


async def test_a_disk_that_does_not_take_a_lock_is_waited_out_too(
    brand: Brand, directory: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that turned read-only. At the start it is refused."""
    monkeypatch.setattr(keeper_module, "_WAIT_S", 0.01)
    monkeypatch.setattr(keeper_module, "BEAT_S", 0.01)
    await fill(brand, 5)
    stop = asyncio.Event()
    keeper = Keeper(brand.store, directory, every_s=0.01, **AGE)
    await keeper.keep()
    with interposed(Interposed(fails="open")):
        with pytest.raises(ConfigurationError, match="cannot be written: Input/output error"):
            await Keeper(brand.store, directory / "other", **AGE).run(stop)
        task = asyncio.create_task(keeper.run(stop))
        told = await fill(brand, 5, first=5)

        async def is_said() -> bool:
            return "cannot be written, and nothing is trimmed: Input/output error" in caplog.text

        await eventually(is_said)
        await asyncio.sleep(0.05)
        assert not task.done()

    async def is_archived() -> bool:
        return position(directory).entry == told[-1][0].decode()

    await eventually(is_archived)
    stop.set()
    await task


async def test_it_stops_after_the_segment_at_hand(brand: Brand, directory: Path) -> None:
    await fill(brand, 30)
    keeper, stop = Keeper(brand.store, directory, segment_entries_max=10, **AGE), asyncio.Event()
    stop.set()
    assert (await keeper.keep(stop=stop)).archived == 10
    await keeper.leave()
    await asyncio.sleep(0.01)
    assert await brand.store.client.execute_command("GET", brand.store.keys.keeper) is None


async def test_while_the_ledger_is_restored_it_waits(brand: Brand, directory: Path) -> None:
    await fill(brand, 5)
    await keep(brand, directory)
    await brand.store.client.execute_command("DEL", brand.store.keys.events)
    await brand.store.client.execute_command("SET", brand.store.keys.events, "the ledger is being restored")
    with pytest.raises(StoreUnavailableError, match="is being restored"):
        await keep(brand, directory)


async def test_a_store_whose_memory_is_full_is_trimmed_all_the_same(brand: Brand, directory: Path) -> None:
    """A new keeper too: taking the lease and making the group need no room that matters."""
    told = await fill(brand, 50)
    client = brand.store.client
    await client.execute_command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(RedisError, match="maxmemory"):
            await put(brand.store, {b"type": b"x"})
        assert (await keep(brand, directory)).trimmed == 49
    finally:
        await client.execute_command("CONFIG", "SET", "maxmemory", "0")
    assert read(directory) == exact(told)


async def test_no_group_can_come_to_be_between_the_look_and_the_trimming(
    brand: Brand, directory: Path
) -> None:
    """A reader that makes its group at the beginning, and then finds the stream whole, gets all of it."""
    stop, first = asyncio.Event(), 0
    keeper = Keeper(brand.store, directory, **AGE)

    async def keeping() -> None:
        while not stop.is_set():
            await keeper.keep()

    await fill(brand, 5)
    task = asyncio.create_task(keeping())
    for n in range(1, 40):
        first += 5
        await fill(brand, 5, first=first)
        await make_group(brand, f"g{n}", "0")
        held = await first_of(brand)
        await asyncio.sleep(0)
        taken = await take(brand, f"g{n}", 1)
        assert taken == [held]
        await drop_group(brand, f"g{n}")
    stop.set()
    await task
    keeper.close()
    assert await is_whole(brand, directory, await stream_of(brand.store)) or len(read(directory)) == first + 5


async def test_nothing_optional_is_loaded_before_it_is_needed() -> None:
    text = "import sys, scanner.cli; assert not {'pyarrow', 'duckdb'} & sys.modules.keys(), 'loaded'"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", text], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
