"""What the keeper refuses: two at once, entries that are missing, a store that went back."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.errors import StoreRefusedError, StoreUnavailableError
from scanner.queue import keeper as keeper_module
from scanner.queue.archive import ArchiveError, position
from scanner.queue.archive.manifest import NAME
from scanner.queue.archive.verifying import verify_archive
from scanner.queue.consuming.options import ARCHIVE_GROUP as GROUP
from scanner.queue.continuity import compare
from scanner.queue.keeper import Keeper, Kept
from tests.brand import Brand
from tests.queue.archives import (
    AGE,
    Dying,
    audited,
    command,
    empty_stream,
    exact,
    fill,
    first_of,
    groups,
    is_whole,
    keep,
    parquet_in,
    put,
    read,
    stream_of,
)


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
    for name, text in (
        ("older", "4 entries are gone from the stream at its beginning, and are not in"),
        ("new", r"no archive in .*/new, and entries up to 10-0 were archived: is its disk there"),
    ):
        with pytest.raises(StoreRefusedError, match=text):
            await keep(brand, tmp_path / name)
    assert not (tmp_path / "new" / NAME).exists()
    with pytest.raises(StoreRefusedError, match="9 entries are gone from the stream at its beginning"):
        await keep(brand, tmp_path / "new", accept_older=True)
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


async def test_while_the_ledger_is_restored_it_waits(brand: Brand, directory: Path) -> None:
    await fill(brand, 5)
    await keep(brand, directory)
    await brand.store.client.execute_command("DEL", brand.store.keys.events)
    await brand.store.client.execute_command("SET", brand.store.keys.events, "the ledger is being restored")
    with pytest.raises(StoreUnavailableError, match="is being restored"):
        await keep(brand, directory)
