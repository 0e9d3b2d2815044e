"""A restore that leaves the older part of the stream in the archive: all else is as after a whole one."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from scanner.errors import ScannerError, StoreRefusedError
from scanner.ledger.audit import audit
from scanner.ledger.client import Entry
from scanner.ledger.restore import Surplus, rebuild, state
from scanner.ledger.restore.files import START
from scanner.ledger.watermark import Mark, WentBackError, entry_id, look
from scanner.queue import Consumer
from scanner.queue.archive import position, read_archive
from scanner.queue.archive.verifying import verify_archive
from scanner.queue.continuity import compare
from scanner.queue.keeper import Keeper, Kept
from tests.brand import Brand, brand_in
from tests.ledger.restoring import (
    DifferenceError,
    Ledger,
    archive_of,
    at,
    but_the_stream,
    counted,
    empty,
    everything,
    restore_into,
)
from tests.queue.archives import audited, exact, read, stream_of, write
from tests.queue.story import play
from tests.running import eventually


@pytest.fixture
async def ledger(brand: Brand) -> Ledger:
    return await Ledger.played(brand)


def begins_at(told: Sequence[Entry], archived: int, when: str) -> int | None:
    """The rule: the place of the stream's first entry, None where it is refused."""
    before = sum(entry_id(id) < entry_id(when) for id, _ in told)
    return None if before > archived else min(before, max(0, archived - 1))


async def check(ledger: Ledger, archived: int, when: str, room: Path) -> None:
    """Holds a restore in part against a whole one, which is trimmed then."""
    store, told = ledger.store, ledger.told
    await ledger.restore(archived, START, room)
    whole, place = await but_the_stream(store), begins_at(told, archived, when)
    if place is None:
        before = await everything(store)
        with pytest.raises(ScannerError, match="is not in the archive"):
            await ledger.restore(archived, when, room)
        assert await everything(store) == before
        return
    if told:
        await store.client.execute_command("XTRIM", store.keys.events, "MINID", at(told, place))
        trimmed = await counted(store)
    done = await ledger.restore(archived, when, room)
    if done != (len(told), at(told, -1) if told else START, place):
        raise DifferenceError(f"what it says: {done}")
    if await but_the_stream(store) != whole:
        raise DifferenceError("the state")
    if exact(await stream_of(store)) != exact(told[place:]):
        raise DifferenceError("the stream")
    if told and await counted(store) != trimmed:
        raise DifferenceError("what the stream was given")
    report = await audit(store, archive=archive_of(told[:archived]))
    if report.differences or report.entries != len(told):
        raise DifferenceError(f"the audit: {report.differences}")


PLACES = st.floats(0, 1)
WHENS = st.sampled_from(["the entry", "just before", "just after", "its millisecond"])


def moment(told: Sequence[Entry], place: float, when: str) -> str:
    if not told:
        return "1-0"
    ms, sequence = entry_id(told[min(int(place * len(told)), len(told) - 1)][0])
    after = {"the entry": sequence, "just before": max(0, sequence - 1), "just after": sequence + 1}
    return f"{ms}-{after.get(when, 0)}"


def test_any_ledger_is_as_after_a_whole_restore_and_a_trimming(tmp_path: Path) -> None:
    """Any beginning of a story in which every type occurs, archived up to anywhere."""
    with asyncio.Runner() as runner:
        context = brand_in(tmp_path / "data")
        brand = runner.run(context.__aenter__())
        try:
            # What is compared here does not depend on fsync, and each example would wait for many.
            runner.run(brand.store.client.config_set("appendfsync", "no"))
            runner.run(play(brand))
            told = runner.run(stream_of(brand.store))

            @seed(20270304)
            @settings(max_examples=40, deadline=None, database=None, phases=[Phase.generate, Phase.shrink])
            @given(PLACES, PLACES, PLACES, WHENS)
            def check_one(end: float, archived: float, place: float, when: str) -> None:
                part = Ledger(brand, told[: round(end * len(told))])
                runner.run(empty(brand))
                runner.run(
                    check(part, round(archived * len(part.told)), moment(part.told, place, when), tmp_path)
                )

            check_one()
        finally:
            runner.run(context.__aexit__(None, None, None))


def _fold_only_what_is_kept(patch: pytest.MonkeyPatch) -> None:
    whole = rebuild._Rebuild._commands

    def commands(self: Any, folding: state.Folding) -> Iterator[state.Command]:
        first = self._exports.stream_from
        for command in whole(self, folding):
            if command[0] == "XADD" or self.left_out < 10 or first == START:
                yield command

    patch.setattr(rebuild._Rebuild, "_commands", commands)


async def _without_counters(self: Any, commands: Any) -> None:
    await AT_ONCE(self, [command for command in commands if command[0] != "XSETID"])


AT_ONCE = rebuild._Rebuild._at_once
BROKEN: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "what is left out is not folded": (_fold_only_what_is_kept, "the state"),
    "the counters are left": (
        lambda patch: patch.setattr(rebuild._Rebuild, "_at_once", _without_counters),
        "what the stream was given",
    ),
    "the archive's end is not kept": (
        lambda patch: patch.setattr(rebuild.Exports, "stream_from", property(lambda self: self._stream_from)),
        "what it says",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_control_the_check_finds_what_is_broken(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    last = len(ledger.told) - 1
    await check(ledger, last, at(ledger.told, last), tmp_path)
    work, found = BROKEN[broken]
    work(monkeypatch)
    with pytest.raises(DifferenceError, match=found):
        await check(ledger, last, at(ledger.told, last), tmp_path)


# Wherever the stream begins: in the archive, at its end, and after it, as with a day that nobody scanned on.
@pytest.mark.parametrize("place", [1, 20, -1, None])
async def test_everybody_goes_on_with_it(ledger: Ledger, tmp_path: Path, place: int | None) -> None:
    """The audit, `queue verify`, a watermark however old, the keeper with the same archive, and consumers."""
    store, told, directory = ledger.store, ledger.told, tmp_path / "archive"
    write(directory, told[:25], told[25:])
    marks = [Mark.of(id, fields, count) for count, (id, fields) in enumerate(told, 1) if count in (1, 19, 21)]
    marks.append(await look(store, None))
    await empty(ledger.brand)
    when = "9999999999999-0" if place is None else at(told, place)
    first = (len(told) - 1 if place is None else place) % len(told)
    done = await restore_into(
        store, [], archive=lambda after: read_archive(directory, after=after), stream_from=when
    )
    assert done == (len(told), at(told, -1), first)
    assert exact(await stream_of(store)) == exact(told[first:])

    assert (await audited(ledger.brand, directory)).differences == []
    await compare(store, directory)
    for mark in marks:
        assert await look(store, mark) == marks[-1]

    with pytest.raises(StoreRefusedError, match="archive only") as refused:
        async with Consumer("points", settings=ledger.brand.settings):
            pass
    begin = str(refused.value).rpartition("start='")[2].partition("'")[0]
    async with Consumer("points", settings=ledger.brand.settings, start=begin) as consumer:
        assert (await anext(consumer)).entry == at(told, first)

    await ledger.brand.lot(3)
    keeper = Keeper(store, directory, keep_s=0.0)
    assert (await keeper.keep()).archived == 2
    await store.client.execute_command("XGROUP", "DESTROY", store.keys.events, "points")
    now = len(await stream_of(store))
    await asyncio.sleep(0.002)  # keep_s=0 keeps what is of this ms
    assert await keeper.keep() == Kept(0, now - 1, position(directory).entry, "archive")
    await keeper.leave()
    assert read(directory) == [*exact(told), *read(directory, after=at(told, -1))]
    assert verify_archive(directory).missing == 0
    assert (await audited(ledger.brand, directory)).differences == []


async def test_control_without_its_counters_the_stream_is_another_one(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told, directory = ledger.store, ledger.told, tmp_path / "archive"
    write(directory, told)
    old = Mark.of(*told[0], 1)
    monkeypatch.setattr(rebuild._Rebuild, "_at_once", _without_counters)
    await restore_into(
        store, [], archive=lambda after: read_archive(directory, after=after), stream_from=at(told, 20)
    )
    assert (await audited(ledger.brand, directory)).differences
    with pytest.raises(WentBackError):
        await look(store, old)


async def test_what_would_be_in_neither_is_refused_and_nothing_is_changed(
    ledger: Ledger, tmp_path: Path
) -> None:
    before, end = await everything(ledger.store), at(ledger.told, 19)
    match = f"entry {at(ledger.told, 20)} comes before .* is not in the archive.*--stream-from {end}, or an"
    with pytest.raises(ScannerError, match=match):
        await ledger.restore(20, at(ledger.told, 22), tmp_path)
    with pytest.raises(ScannerError, match="is not in the archive"):
        await ledger.restore(0, at(ledger.told, 1), tmp_path, archive=None)
    assert await everything(ledger.store) == before


async def test_what_the_archive_lacks_is_not_lost_unasked(ledger: Ledger) -> None:
    before, told = await everything(ledger.store), ledger.told
    seen: list[Surplus] = []

    def may_discard(surplus: Surplus) -> bool:
        seen.append(surplus)
        return False

    with pytest.raises(StoreRefusedError, match="not in the export"):
        await restore_into(
            ledger.store,
            [],
            archive=archive_of(told[:30]),
            stream_from=at(told, 10),
            may_discard=may_discard,
        )
    assert seen == [Surplus(len(told) - 30, at(told, 30))]
    assert await everything(ledger.store) == before


async def test_after_one_in_part_a_whole_one_brings_everything_back(ledger: Ledger, tmp_path: Path) -> None:
    """And the other way round; neither takes the other's stream for one that has more."""
    whole = await counted(ledger.store)
    await ledger.restore(30, at(ledger.told, 25), tmp_path)
    await ledger.restore(30, at(ledger.told, 10), tmp_path)
    await ledger.restore(30, START, tmp_path)
    assert exact(await stream_of(ledger.store)) == exact(ledger.told)
    assert await counted(ledger.store) == whole


async def test_a_user_who_may_not_is_refused_before_anything_is_deleted(
    ledger: Ledger, tmp_path: Path
) -> None:
    before = await everything(ledger.store)
    ask = ledger.store.client.execute_command
    await ask("ACL", "SETUSER", "default", "-xsetid")
    with pytest.raises(StoreRefusedError, match=r"may not run XSETID.*scanner store acl --role operator"):
        await ledger.restore(30, at(ledger.told, 20), tmp_path)
    assert await everything(ledger.store) == before
    await ledger.restore(30, START, tmp_path)  # which does not need it
    await ask("ACL", "SETUSER", "default", "+xsetid")


@pytest.mark.parametrize("is_rewritten", [False, True])
async def test_the_counters_outlive_the_store(tmp_path: Path, *, is_rewritten: bool) -> None:
    """They are in its log, and in the log as it is rewritten."""
    async with brand_in(tmp_path / "data") as brand:
        ledger, client = await Ledger.played(brand), brand.store.client
        await ledger.restore(30, at(ledger.told, 20), tmp_path)
        told = await counted(ledger.store)
        if is_rewritten:
            await client.execute_command("BGREWRITEAOF")

        async def is_done() -> bool:
            return not (await client.info("persistence"))["aof_rewrite_in_progress"]

        await eventually(is_done)
    async with brand_in(tmp_path / "data") as brand:
        assert await counted(brand.store) == told
