"""What the keeper trims nobody needs, and is old enough; and after a restore it waits."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from scanner.ledger.restore import Exports, restore
from scanner.queue import keeper as keeper_module
from scanner.queue.archive import read_archive
from scanner.queue.consuming.options import ARCHIVE_GROUP as GROUP
from scanner.queue.continuity import compare
from scanner.queue.keeper import Keeper, Kept
from tests.brand import Brand, campaign_toml
from tests.ledger.restoring import empty
from tests.queue.archives import (
    AGE,
    command,
    drop_group,
    exact,
    fill,
    first_of,
    groups,
    is_whole,
    keep,
    make_group,
    put,
    read,
    stream_of,
    take,
)
from tests.running import eventually


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


async def test_what_is_read_in_the_archives_name_holds_nothing(brand: Brand, directory: Path) -> None:
    """A consumer may not be called so; somebody with a client of his own can read as it all the same."""
    await fill(brand, 10)
    await keep(brand, directory, keep_s=None)
    await brand.store.client.execute_command("XGROUP SETID", brand.store.keys.events, GROUP, "0")
    assert len(await take(brand, GROUP, 4)) == 4
    assert (await keep(brand, directory)).trimmed == 9
    told = await fill(brand, 5, first=10)
    assert len(await take(brand, GROUP, 2)) == 2  # now it is ahead of what is archived
    await compare(brand.store, directory)
    assert await keep(brand, directory) == Kept(5, 5, "15-2", GROUP)
    assert await groups(brand.store) == {GROUP: ("15-2", 15)}
    assert await names(brand, GROUP) == set()
    assert read(directory)[-6:] == exact(told)


async def test_the_rest_becomes_shorter_with_the_setting(brand: Brand, directory: Path) -> None:
    await fill(brand, 10)
    for keep_s, most_s in ((3600, 3600), (60, 60), (7200, 60)):
        assert (await keep(brand, directory, keep_s=keep_s)).held_by == "resting"
        left_ms = await brand.store.client.execute_command("PTTL", brand.store.keys.resting)
        assert 0 < left_ms <= most_s * 1000
    assert (await keep(brand, directory, keep_s=0.0)).trimmed == 9


@pytest.mark.parametrize(("ahead_s", "trimmed"), [(60, 5), (10 * 365 * 86_400, 6)])
async def test_a_clock_that_was_ahead_does_not_hold_everything_for_years(
    brand: Brand, directory: Path, ahead_s: int, trimmed: int
) -> None:
    """Ids go on from the last one, and tell no age. Clocks differ by a minute; groups count all the same."""
    await fill(brand, 5)
    seconds, _ = await brand.store.client.time()
    await put(brand.store, {b"type": b"x"}, f"{(seconds + ahead_s) * 1000}-0")
    for _ in range(3):
        last = await put(brand.store, {b"type": b"x"})
    assert last.startswith(b"%d" % (seconds + ahead_s))
    await keep(brand, directory, keep_s=3600)
    await brand.store.client.execute_command("DEL", brand.store.keys.resting)
    await make_group(brand, "slow", f"{(seconds + ahead_s) * 1000}-1")
    assert (await keep(brand, directory, keep_s=3600)).trimmed == trimmed


async def names(brand: Brand, group: str) -> set[str]:
    found = await brand.store.client.execute_command("XINFO CONSUMERS", brand.store.keys.events, group)
    return {one["name"].decode() for one in found}


async def test_names_that_nobody_reads_under_are_forgotten_and_nothing_with_them(
    brand: Brand, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(brand, 4)
    await make_group(brand, "points", "0")
    events = brand.store.keys.events
    read = ("XREADGROUP", "GROUP", "points")
    ask = brand.store.client.execute_command
    await ask(*read, "has one", "COUNT", "1", "STREAMS", events, ">")
    [[_, [(id, _)]]] = await ask(*read, "is done", "COUNT", "1", "STREAMS", events, ">")
    await ask("XACK", events, "points", id)
    await keep(brand, directory)
    assert await names(brand, "points") == {"has one", "is done"}  # both were heard of today
    monkeypatch.setattr(keeper_module, "NAME_KEPT_S", 0)
    await keep(brand, directory)
    assert await names(brand, "points") == {"has one"}
    [[_, [(id, _)]]] = await ask(*read, "is done", "COUNT", "1", "STREAMS", events, ">")
    await keep(brand, directory)  # back, it is one like any other
    assert await names(brand, "points") == {"has one", "is done"}


async def test_a_reader_that_waits_reads_on_where_its_name_was_forgotten(
    brand: Brand, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "NAME_KEPT_S", 0)
    await fill(brand, 4)
    events = brand.store.keys.events
    await make_group(brand, "points", "$")
    reads = asyncio.create_task(
        brand.store.wire.call(("XREADGROUP", "GROUP", "points", "waits", "BLOCK", 0, "STREAMS", events, ">"))
    )

    async def waits() -> bool:
        return (await brand.store.client.info("clients"))["blocked_clients"] == 1

    await eventually(waits)
    await keep(brand, directory)
    assert await names(brand, "points") == set()
    entry = await put(brand.store, {b"type": b"x"})
    [[_, [[id, _]]]] = await reads
    assert id == entry
    assert await names(brand, "points") == {"waits"}
    await keep(brand, directory)
    assert await names(brand, "points") == {"waits"}  # it has one
