"""The keeper: what it archives is what was in the stream, and it goes on where it stopped."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.queue import keeper as keeper_module
from scanner.queue.archive import position
from scanner.queue.consuming.options import ARCHIVE_GROUP as GROUP
from scanner.queue.keeper import Keeper, Kept
from tests.brand import Brand
from tests.queue.archives import (
    AGE,
    ODD,
    audited,
    exact,
    fill,
    groups,
    keep,
    put,
    read,
    stream_of,
)
from tests.queue.story import play
from tests.running import eventually


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


async def test_it_stops_after_the_segment_at_hand(brand: Brand, directory: Path) -> None:
    await fill(brand, 30)
    keeper, stop = Keeper(brand.store, directory, segment_entries_max=10, **AGE), asyncio.Event()
    stop.set()
    assert (await keeper.keep(stop=stop)).archived == 10
    await keeper.leave()
    await asyncio.sleep(0.01)
    assert await brand.store.client.execute_command("GET", brand.store.keys.keeper) is None


async def test_nothing_optional_is_loaded_before_it_is_needed() -> None:
    text = "import sys, scanner.cli; assert not {'pyarrow', 'duckdb'} & sys.modules.keys(), 'loaded'"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", text], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
