"""What the keeper waits out: a disk or a store that does not take what it is told to."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from scanner.errors import ConfigurationError
from scanner.queue import keeper as keeper_module
from scanner.queue.archive import position
from scanner.queue.keeper import Keeper
from tests.brand import Brand
from tests.queue.archives import (
    AGE,
    Dying,
    Interposed,
    exact,
    fill,
    interposed,
    is_whole,
    keep,
    read,
    stream_of,
)
from tests.running import eventually


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
