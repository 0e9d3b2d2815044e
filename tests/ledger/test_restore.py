"""What was exported is restored: every key as it was, and the audit agrees; nobody writes meanwhile."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from scanner.errors import ScannerError, StoreRefusedError, StoreUnavailableError
from scanner.ledger import lots, operations
from scanner.ledger.restore import export, rebuild, state
from scanner.ledger.watermark import RestoringError, look
from tests.brand import DRAWS, GRANTS, Brand
from tests.clock import FrozenClock
from tests.ledger.restoring import Dying, empty, everything, restore_into
from tests.ledger.test_audit_members import a_whole_day
from tests.operating import CASES, prepare


@pytest.fixture
async def day(brand: Brand) -> FrozenClock:
    return await a_whole_day(brand)


@pytest.fixture
async def file(day: FrozenClock, tmp_path: Path) -> Path:
    """An export of the whole day."""
    path = tmp_path / "ledger.jsonl"
    await export(day.brand.store, path)
    return path


@pytest.mark.parametrize("with_keys", [True, False])
async def test_a_whole_day_is_restored(day: FrozenClock, file: Path, with_keys: bool) -> None:
    brand = day.brand
    before, now = await everything(brand.store), await look(brand.store, None)
    await empty(brand)
    table = brand.keyring.table() if with_keys else None
    restored = await restore_into(brand.store, [file], table)
    assert (restored.last, restored.entries) == (now.entry, now.added)
    assert await everything(brand.store) == before
    assert await look(brand.store, now) == now
    assert (await brand.audit()).differences == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_an_operation_is_known_by_its_request_id(brand: Brand, case: object, tmp_path: Path) -> None:
    await prepare(brand)
    if case.before == b"1":
        await operations.pause(brand.store, "spring", by="test")
    assert await case.do(brand, 1, "r-1")
    before = await everything(brand.store)
    await export(brand.store, tmp_path / "x")
    await empty(brand)
    await restore_into(brand.store, [tmp_path / "x"])
    assert await everything(brand.store) == before
    assert not await case.do(brand, 1, "r-1")
    with pytest.raises(StoreRefusedError, match="for something else"):
        await case.other(brand, 1, "r-1")


async def test_the_numbers_go_on(brand: Brand, tmp_path: Path) -> None:
    await prepare(brand)
    await export(brand.store, tmp_path / "x")
    await empty(brand)
    await restore_into(brand.store, [tmp_path / "x"])
    assert await brand.lot(1) == 2


async def test_wrong_pins_are_kept_where_the_store_has_them(day: FrozenClock, file: Path) -> None:
    store = day.brand.store
    await store.client.execute_command("SET", store.keys.code_tries(1, 2), b"12345678")
    await restore_into(store, [file])
    assert await store.client.execute_command("GET", store.keys.code_tries(1, 2)) == b"12345678"


async def test_what_consumers_could_not_handle_is_kept(day: FrozenClock, file: Path) -> None:
    brand, keys = day.brand, day.brand.store.keys
    for key in (keys.dead("points"), keys.again("points")):
        await brand.store.client.execute_command("XADD", key, "*", "entry", "1-0")
    before = await everything(brand.store)
    assert (await brand.audit()).differences == []
    await restore_into(brand.store, [file])
    assert await everything(brand.store) == before
    assert (await brand.audit()).differences == []


async def test_what_nobody_wrote_is_gone_afterwards(day: FrozenClock, file: Path) -> None:
    """A damaged state is made good, not mixed."""
    brand, client, keys = day.brand, day.brand.store.client, day.brand.store.keys
    before = await everything(brand.store)
    await client.execute_command("HSET", keys.claims(1, 0), "39", b"x" * 24)
    await client.execute_command("HSET", keys.pool("spring", "gift"), "g", 999)
    await client.execute_command("SET", f"{keys.prefix}budget:none", "x")
    assert (await brand.audit()).differences
    await restore_into(brand.store, [file])
    assert await everything(brand.store) == before


async def test_nobody_writes_while_it_is_restored(day: FrozenClock, file: Path) -> None:
    """Not even a worker that has not noticed, nor a command: the store itself refuses."""
    brand, seen = day.brand, []
    await operations.resume(brand.store, "spring", by="test")
    await export(brand.store, file)
    scanner = brand.scanner()
    code = brand.code(1, 30)
    assert (await scanner.scan("new", brand.code(1, 31)))["outcome"] == "accepted"
    await export(brand.store, file)

    async def ask_for_all() -> None:
        before = await everything(brand.store)
        spring = {"campaign": "spring", "member": "eve"}
        answers = [
            await scanner.scan("eve", code),
            await scanner.serve(DRAWS, **spring, pool="wheel", request_id="n", paid={"points": 5}),
            await scanner.serve(GRANTS, **spring, pool="gift", request_id="n"),
        ]
        assert {answer["outcome"] for answer in answers} == {"unavailable"}
        with pytest.raises(StoreRefusedError, match="not a stream"):
            await lots.block(brand.store, 1, by="test", request="n")
        with pytest.raises(StoreRefusedError, match="not a stream"):
            await operations.top_up(brand.store, "spring", "gift", "g", 1, by="test")
        assert await everything(brand.store) == before
        seen.append(len(before))

    class Watched(Dying):
        def count(self) -> None:
            self.calls_left -= 1

        async def execute_command(self, *args: object) -> object:
            if args[0] == "XLEN":  # the last look before the stream takes its place: all else is there
                await ask_for_all()
            return await super().execute_command(*args)

    await restore_into(replace(brand.store, client=Watched(brand.store.client, 0)), [file])
    assert len(seen) == 1
    assert (await scanner.scan("eve", code))["outcome"] == "accepted"
    assert (await brand.audit()).differences == []


async def test_a_running_worker_sees_that_it_is_restored(day: FrozenClock, file: Path) -> None:
    scanner = day.brand.scanner()
    await scanner.directory.refresh()
    with pytest.raises(StoreUnavailableError, match="run `scanner ledger restore` again"):
        await restore_into(replace(day.brand.store, client=Dying(day.brand.store.client, 12)), [file])
    with pytest.raises(RestoringError):
        await scanner.directory.refresh()
    assert not scanner.directory.loaded
    await day.brand.store.client.execute_command("DEL", day.brand.store.keys.restoring)
    await restore_into(day.brand.store, [file])
    await scanner.directory.refresh()
    assert scanner.directory.loaded


async def test_what_was_refused_leaves_the_store_as_it_was(day: FrozenClock, file: Path) -> None:
    brand = day.brand
    await brand.lot(1)
    before = await everything(brand.store)
    with pytest.raises(StoreRefusedError, match="the store holds 2 entries that are not in the export"):
        await restore_into(brand.store, [file])
    assert await everything(brand.store) == before


async def test_broken_off_before_anything_was_deleted_nothing_is_lost_unasked(
    day: FrozenClock, file: Path
) -> None:
    """Killed while it compared: the store's own entries are still set aside, and still compared."""
    brand, client = day.brand, day.brand.store.client
    await brand.lot(1)
    before = await everything(brand.store)
    with pytest.raises(StoreUnavailableError):
        await restore_into(replace(brand.store, client=Dying(client, 8)), [file])
    assert await client.execute_command("EXISTS", brand.store.keys.replaced)
    await client.execute_command("DEL", brand.store.keys.restoring)
    with pytest.raises(StoreRefusedError, match="2 entries that are not in the export"):
        await restore_into(brand.store, [file])
    assert await everything(brand.store) == before


async def test_an_older_export_does_not_take_what_a_newer_one_had_begun_to_restore(
    day: FrozenClock, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand, client = day.brand, day.brand.store.client
    await brand.lot(1)
    newer = tmp_path / "newer"
    await export(brand.store, newer)
    await empty(brand)
    monkeypatch.setattr(rebuild, "AT_ONCE", 5)
    with pytest.raises(StoreUnavailableError):  # in the state, when all entries are there
        await restore_into(replace(brand.store, client=Dying(client, 46)), [newer])
    await client.execute_command("DEL", brand.store.keys.restoring)
    with pytest.raises(StoreRefusedError, match="2 entries that are not in the export"):
        await restore_into(brand.store, [file])
    await restore_into(brand.store, [newer])
    assert (await brand.audit()).differences == []


async def test_two_restores_do_not_meet(
    day: FrozenClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand, client, key = day.brand, day.brand.store.client, day.brand.store.keys.restoring
    before = await everything(brand.store)
    monkeypatch.setattr(rebuild, "WAIT_FOR_LEASE_S", 0.0)
    await client.execute_command("SET", key, "another", "PX", 60_000)
    with pytest.raises(StoreRefusedError, match="another restore of this brand is running"):
        await restore_into(brand.store, [file])
    await client.execute_command("DEL", key)
    assert await everything(brand.store) == before
    # One that was held up for so long that the other took over stops before it writes on.
    monkeypatch.setattr(rebuild, "AT_ONCE", 5)

    def take_over(what: str, done: int, total: int) -> None:
        if what == "restoring":
            tasks.append(asyncio.get_running_loop().create_task(_take(brand)))

    tasks: list[asyncio.Task[None]] = []
    with pytest.raises(StoreRefusedError, match="has taken over"):
        await restore_into(brand.store, [file], progress=take_over)
    await asyncio.gather(*tasks)
    await client.execute_command("DEL", key)
    await restore_into(brand.store, [file])
    assert await everything(brand.store) == before


async def _take(brand: Brand) -> None:
    await brand.store.client.execute_command("SET", brand.store.keys.restoring, "another", "PX", 60_000)


async def test_one_that_was_killed_is_waited_for_and_followed(
    day: FrozenClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "LEASE_MS", 300)
    with pytest.raises(StoreUnavailableError):
        await restore_into(replace(day.brand.store, client=Dying(day.brand.store.client, 12)), [file])
    await restore_into(day.brand.store, [file])
    assert (await day.brand.audit()).differences == []


async def test_an_empty_ledger_is_restored(brand: Brand, tmp_path: Path) -> None:
    assert await export(brand.store, tmp_path / "x") == (0, "0-0")
    assert (await restore_into(brand.store, [tmp_path / "x"])).entries == 0
    assert await everything(brand.store) == {}
    await prepare(brand)


Change = Callable[[dict[str, str]], object]
WRONG: dict[str, Change] = {
    "a member": lambda fields: fields.update(awards="[]"),
    "a type": lambda fields: fields.update(type="scan.imagined"),
    "a lot": lambda fields: fields.update(lot="7"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_cannot_have_been_is_not_restored(day: FrozenClock, file: Path, wrong: str) -> None:
    """Also where the file is whole: somebody made it so."""
    before = await everything(day.brand.store)
    entry = forge(file, WRONG[wrong])
    with pytest.raises(ScannerError, match=f"does not add up at entry {entry}: "):
        await restore_into(day.brand.store, [file], day.brand.keyring.table())
    assert await everything(day.brand.store) == before


def forge(file: Path, change: Change) -> str:
    """Changes the first scan in a file; its entry."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    scan = next(line for line in lines if line.get("fields", {}).get("type") == "scan.accepted")
    change(scan["fields"])
    text = "".join(json.dumps(line) + "\n" for line in lines[:-1])
    lines[-1]["blake3"] = blake3(text.encode()).hexdigest()
    file.write_text(text + json.dumps(lines[-1]) + "\n")
    return str(scan["entry"])


class Cutting(Dying):
    """Cuts the file as soon as the store is asked."""

    file: Path

    def count(self) -> None:
        os.truncate(self.file, 2000)


async def test_a_file_that_changes_after_its_check_is_not_put_in_place(
    day: FrozenClock, file: Path, tmp_path: Path
) -> None:
    """The stream takes its place at the end, and the end is not reached."""
    brand = day.brand
    shutil.copy(file, whole := tmp_path / "whole")
    await empty(brand)
    client = Cutting(brand.store.client, 0)
    client.file = file
    with pytest.raises(ScannerError, match="cut off"):
        await restore_into(replace(brand.store, client=client), [file])
    with pytest.raises(RestoringError):
        await look(brand.store, None)
    await brand.store.client.execute_command("DEL", brand.store.keys.restoring)
    await restore_into(brand.store, [whole])
    assert (await brand.audit()).differences == []


LEFT_OUT: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "revisions": lambda patch: patch.setattr(state.Folding, "_note_change", lambda self, fields: None),
    "kept": lambda patch: patch.setattr(state.Folding, "_kept", lambda *args: iter(())),
    "records": lambda patch: patch.setattr(state, "pack_record", lambda *args, **named: b"x" * 24),
    "lots": lambda patch: patch.setattr(state, "_lot_fields", lambda lot: iter(("kid", lot.kid))),
}


@pytest.mark.parametrize("what", LEFT_OUT)
async def test_control_what_is_left_out_is_found(
    day: FrozenClock, file: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await everything(day.brand.store)
    LEFT_OUT[what](monkeypatch)
    await restore_into(day.brand.store, [file])
    assert await everything(day.brand.store) != before
    assert (await day.brand.audit()).differences
