"""The keeper killed at any step loses nothing: archive and stream together have every entry."""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from scanner.ledger.client import Entry
from scanner.queue.archive.verifying import verify_archive
from scanner.queue.keeper import Keeper
from tests.brand import Brand, brand_in
from tests.queue.archives import (
    ODD,
    Dying,
    Interposed,
    Killed,
    command,
    drop_group,
    empty_stream,
    exact,
    fill,
    interposed,
    is_whole,
    keep,
    make_group,
    put,
    read,
    stream_of,
    take,
)


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
