"""Archive and stream are audited as one ledger, and restored from as one; where they disagree it is found."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.errors import ScannerError, StoreRefusedError
from scanner.ledger.audit import TrimmedError, audit
from scanner.ledger.client import Entry
from scanner.ledger.restore import Exports, Restored, export, restore
from scanner.ledger.watermark import WentBackError, look
from scanner.queue.archive import position, read_archive
from scanner.queue.keeper import Keeper
from tests.brand import Brand
from tests.clock import FrozenClock
from tests.ledger.restoring import empty, everything
from tests.ledger.test_audit import a_busy_day
from tests.ledger.test_audit_members import a_whole_day
from tests.queue.archives import audited, exact, fill, stream_of


@pytest.fixture
async def day(brand: Brand) -> FrozenClock:
    return await a_whole_day(brand)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "archive"


async def keep(brand: Brand, directory: Path, **values: Any) -> None:
    keeper = Keeper(brand.store, directory, **{"keep_s": 0.0, "segment_entries_max": 7, **values})
    await keeper.keep()
    await keeper.leave()


async def trim(brand: Brand, kept: int) -> None:
    await brand.store.client.execute_command("XTRIM", brand.store.keys.events, "MAXLEN", kept)


@pytest.mark.parametrize("with_keys", [True, False])
@pytest.mark.parametrize("kept", [0, 1, 9, 1000])
async def test_a_trimmed_ledger_adds_up(
    day: FrozenClock, directory: Path, kept: int, *, with_keys: bool
) -> None:
    brand = day.brand
    whole = await audit(brand.store, brand.keyring.table())
    await keep(brand, directory, keep_s=None)
    await trim(brand, kept)
    report = await audited(brand, directory, with_keys=with_keys)
    assert (report.differences, report.entries, report.claims) == ([], whole.entries, whole.claims)
    assert report.campaigns["spring"].tally == whole.campaigns["spring"].tally


async def test_without_the_archive_it_is_said_that_it_is_missing(day: FrozenClock, directory: Path) -> None:
    brand = day.brand
    total = len(await stream_of(brand.store))
    await keep(brand, directory)
    kept = await stream_of(brand.store)
    with pytest.raises(
        TrimmedError,
        match=f"begins at {kept[0][0].decode()}, and {total - len(kept)} entries before it were trimmed",
    ):
        await brand.audit()


class Meanwhile:
    """A store's client; before each pipeline something else happens, some times."""

    def __init__(self, client: Any, happens: Callable[[], Awaitable[object]], times: int) -> None:
        self._client, self._happens, self.times = client, happens, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pipeline(self, *, transaction: bool) -> Any:
        pipe = self._client.pipeline(transaction=transaction)
        whole = pipe.execute

        async def execute(raise_on_error: bool = True) -> Any:
            self.times -= 1
            if self.times >= 0:
                await self._happens()
            return await whole(raise_on_error=raise_on_error)

        pipe.execute = execute
        return pipe


async def test_it_agrees_while_scans_go_on_and_a_keeper_trims(brand: Brand, directory: Path) -> None:
    """What was in the stream as the audit began has gone into the archive before it is read."""
    await a_busy_day(brand)
    more = await brand.lot(100)
    await keep(brand, directory)
    scanner, codes = brand.scanner(), iter(brand.codes(more, range(100)))
    for _ in range(20):
        await scanner.scan("m3", next(codes))

    async def scan_and_keep() -> None:
        await scanner.scan("m4", next(codes))
        await keep(brand, directory)

    client = Meanwhile(brand.store.client, scan_and_keep, 10)
    table = brand.keyring.table()
    report = await audit(
        replace(brand.store, client=client), table, archive=lambda after: read_archive(directory, after=after)
    )
    assert client.times < 0
    assert (report.differences, report.claims) == ([], 43 + 30)


def _without(entries: list[Entry], place: int) -> list[Entry]:
    return [entry for at, entry in enumerate(entries) if at != place]


def _changed(entries: list[Entry], place: int) -> list[Entry]:
    id, fields = entries[place]
    return [*entries[:place], (id, fields | {b"at": b"1"}), *entries[place + 1 :]]


CHANGES: dict[str, tuple[Callable[[list[Entry]], list[Entry]], str]] = {
    "one changed in the overlap": (
        lambda all: _changed(all, -2),
        "archive and stream disagree about this entry",
    ),
    "one left out of the overlap": (
        lambda all: _without(all, len(all) - 2),
        "is in the stream and not in the arch",
    ),
    "one left out before": (
        lambda all: _without(all, 3),
        "1 entries of it are neither in the stream nor in the arch",
    ),
    "the end left out": (
        lambda all: all[:-12],
        "2 entries of it are neither in the stream nor in the archive",
    ),
    "one too many": (
        lambda all: [*all[:-1], (all[-2][0] + b"0", {b"type": b"x"}), all[-1]],
        "this entry is in the archive and not in the stream",
    ),
    "one after the end": (
        lambda all: [*all, (b"9" * 15 + b"-0", {b"type": b"x"})],
        "1 entries more were found than the stream was ever given",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_where_they_disagree_it_is_found(day: FrozenClock, directory: Path, change: str) -> None:
    brand = day.brand
    await keep(brand, directory, keep_s=None)
    await trim(brand, 10)
    archived = list(read_archive(directory))
    work, text = CHANGES[change]
    archived = work(archived)

    def archive(after: str) -> Iterator[Entry]:
        return (one for one in archived if _id(one[0].decode()) > _id(after))

    report = await audit(brand.store, None, archive=archive)
    assert any(text in found.text for found in report.differences), report.differences[:5]


def _id(id: str) -> tuple[int, ...]:
    return tuple(map(int, id.split("-")))


async def test_an_entry_deleted_by_hand_is_missed_without_an_archive(day: FrozenClock) -> None:
    brand = day.brand
    told = await stream_of(brand.store)
    await brand.store.client.execute_command("XDEL", brand.store.keys.events, told[-2][0])
    differences = (await brand.audit()).differences
    assert "1 entries of it are neither in the stream nor in the archive" in [one.text for one in differences]


async def restored(brand: Brand, directory: Path, *files: Path) -> Restored:
    exports = Exports(files, "main", lambda after: read_archive(directory, brand="main", after=after))
    return await restore(
        brand.store, exports, None, may_discard=lambda surplus: False, progress=lambda what, done, total: None
    )


def without_keeping(state: dict[str, Any]) -> dict[str, Any]:
    """What the keeper has in the store is not the ledger's."""
    return {name: value for name, value in state.items() if name not in ("keeper", "resting")}


async def test_an_archive_and_what_came_after_it_are_restored(
    day: FrozenClock, directory: Path, tmp_path: Path
) -> None:
    brand = day.brand
    await keep(brand, directory, keep_s=None)
    archived = position(directory).entry
    await brand.lot(3)
    await export(brand.store, tmp_path / "rest", after=archived)
    before, told = without_keeping(await everything(brand.store)), await stream_of(brand.store)
    await trim(brand, 5)
    await empty(brand)
    done = await restored(brand, directory, tmp_path / "rest")
    assert (done.entries, done.last) == (len(told), told[-1][0].decode())
    assert exact(await stream_of(brand.store)) == exact(told)
    after = without_keeping(await everything(brand.store))
    assert after == before
    assert (await brand.audit()).differences == []


async def test_an_export_may_begin_where_the_archive_has_grown_since(
    day: FrozenClock, directory: Path, tmp_path: Path
) -> None:
    brand = day.brand
    await keep(brand, directory, keep_s=None)
    after = (await stream_of(brand.store))[4][0].decode()
    await export(brand.store, tmp_path / "within", after=after)
    await brand.lot(3)
    await export(brand.store, tmp_path / "beyond", after=after)
    told = await stream_of(brand.store)
    await empty(brand)
    assert (await restored(brand, directory, tmp_path / "within")).entries == len(told) - 2
    await empty(brand)
    assert (await restored(brand, directory, tmp_path / "within", tmp_path / "beyond")).entries == len(told)
    assert exact(await stream_of(brand.store)) == exact(told)


async def test_an_archive_that_grows_while_it_is_restored_counts_as_it_was_first_read(
    day: FrozenClock, directory: Path
) -> None:
    brand = day.brand
    told = await stream_of(brand.store)
    await keep(brand, directory, keep_s=None)
    whole = list(read_archive(directory))
    reads = []

    def archive(after: str) -> Iterator[Entry]:
        reads.append(after)
        return iter(whole[:-3] if len(reads) == 1 else whole)

    await empty(brand)
    done = await restore(
        brand.store,
        Exports([], "main", archive),
        None,
        may_discard=lambda surplus: False,
        progress=lambda what, done, total: None,
    )
    assert (done.entries, len(reads) > 1) == (len(told) - 3, True)


async def test_an_export_that_says_something_else_than_the_archive_is_refused(
    day: FrozenClock, directory: Path, tmp_path: Path
) -> None:
    brand = day.brand
    told = await stream_of(brand.store)
    await keep(brand, directory, keep_s=None)
    await brand.store.client.execute_command("DEL", brand.store.keys.events)
    for place, (id, fields) in enumerate(told):
        changed = fields | ({b"by": b"eve"} if place == len(told) - 2 else {})
        flat = [part for pair in changed.items() for part in pair]
        await brand.store.client.execute_command("XADD", brand.store.keys.events, id, *flat)
    await export(brand.store, tmp_path / "other", after=told[4][0].decode())
    with pytest.raises(
        ScannerError, match=r"the archive has another entry there, .*: they are not of one ledger"
    ):
        await restored(brand, directory, tmp_path / "other")
    await export(brand.store, tmp_path / "later", after=told[-1][0].decode())
    (directory / "manifest.jsonl").write_bytes(
        b"".join((directory / "manifest.jsonl").read_bytes().splitlines(keepends=True)[:3])
    )
    with pytest.raises(ScannerError, match=r"and what is there ends at .*: name all parts, the oldest first"):
        await restored(brand, directory, tmp_path / "later")


async def test_what_the_archive_lacks_is_not_lost_unasked(day: FrozenClock, directory: Path) -> None:
    brand = day.brand
    await keep(brand, directory, keep_s=None)
    await brand.lot(3)
    with pytest.raises(StoreRefusedError, match="the store holds 2 entries that are not in the export"):
        await restored(brand, directory)


@pytest.mark.parametrize("place", ["before", "last trimmed", "first kept", "after", "last"])
@pytest.mark.parametrize("kept", [0, 1, 5])
async def test_a_mark_is_known_wherever_the_stream_was_trimmed(brand: Brand, place: str, kept: int) -> None:
    """Seen before the trimmed part's end, at it, and in what is kept; trimmed to nothing, too."""
    marks = {}
    for count in range(1, 11):
        await fill(brand, 1, first=count - 1)
        marks[count] = await look(brand.store, None)
    await trim(brand, kept)
    gone = 10 - kept
    count = {"before": 2, "last trimmed": gone, "first kept": gone + 1, "after": gone + 2, "last": 10}[place]
    seen = marks[min(count, 10)]
    now = await look(brand.store, seen)
    assert now == (marks[10] if kept else seen)
    await fill(brand, 1, first=10)
    assert (await look(brand.store, seen)).added == 11


@pytest.mark.parametrize("kept", [0, 1, 5])
async def test_control_a_stream_that_lost_its_end_is_not_taken_for_a_trimmed_one(
    brand: Brand, kept: int
) -> None:
    await fill(brand, 10)
    seen = await look(brand.store, None)
    await brand.store.client.execute_command("DEL", brand.store.keys.events)
    await fill(brand, 9)
    await trim(brand, kept)
    with pytest.raises(WentBackError):
        await look(brand.store, seen)
    await fill(brand, 3, first=10)
    with pytest.raises(WentBackError):
        await look(brand.store, seen)
