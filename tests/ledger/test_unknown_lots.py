"""Genuine codes of lots that this brand does not know: one answer, next to no cost, and found once known."""

import asyncio

from scanner.codes import CodeId
from scanner.ledger.directory import Directory
from tests.brand import Brand, campaign_toml
from tests.running import eventually

SCANS = 1000


async def commands(brand: Brand) -> int:
    """How many the store has processed by now, this question among them."""
    return int((await brand.store.client.info("stats"))["total_commands_processed"])


def code_of(brand: Brand, lot: int, serial: int) -> CodeId:
    return CodeId(brand.keyring.minting_kid, lot, serial)


async def test_a_thousand_codes_of_an_unknown_lot_cost_a_few_commands(brand: Brand, monkeypatch) -> None:
    monkeypatch.setattr("scanner.ledger.directory.LOOK_EVERY_S", 600)  # however slow the machine is
    await brand.apply(campaign_toml())
    scanner = brand.scanner()
    await scanner.directory.refresh()
    before = await commands(brand)
    for serial in range(SCANS):
        answer = await scanner.scan("alice", brand.code(7, serial))
        assert (answer["status"], answer["outcome"]) == (404, "unknown_code")
    assert 1 <= await commands(brand) - before - 1 <= 5  # one look
    answers = await asyncio.gather(*(scanner.scan("alice", brand.code(9, n)) for n in range(64)))
    assert {answer["outcome"] for answer in answers} == {"unknown_code"}


async def test_control_without_the_memory_each_costs_a_look(brand: Brand, monkeypatch) -> None:
    await brand.apply(campaign_toml())
    monkeypatch.setattr(Directory, "_was_unknown", lambda self, lot: False)
    scanner = brand.scanner()
    await scanner.directory.refresh()
    before = await commands(brand)
    for serial in range(100):
        await scanner.scan("alice", brand.code(7, serial))
    assert await commands(brand) - before > 100


async def test_a_lot_of_a_moment_ago_is_found_by_all_who_ask_at_once(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    scanner = brand.scanner()
    await scanner.directory.refresh()
    lot = await brand.lot(64)
    answers = await asyncio.gather(*(scanner.scan(f"m-{n}", brand.code(lot, n)) for n in range(64)))
    assert {answer["outcome"] for answer in answers} == {"accepted"}


async def test_a_lot_that_was_asked_for_too_early_is_found_soon(brand: Brand) -> None:
    """Also where nothing looks at the store but the scans themselves."""
    await brand.apply(campaign_toml())
    directory = Directory(brand.store)
    assert await directory.lot_of(code_of(brand, 1, 0)) is None
    assert await brand.lot(5) == 1

    async def is_found() -> bool:
        return await directory.lot_of(code_of(brand, 1, 0)) is not None

    await eventually(is_found)


async def test_what_is_remembered_of_unknown_lots_is_bounded(brand: Brand, monkeypatch) -> None:
    monkeypatch.setattr("scanner.ledger.directory._UNKNOWN_MAX", 10)
    directory = Directory(brand.store)
    for lot in range(1, 100):
        assert await directory.lot_of(code_of(brand, lot, 0)) is None
        assert len(directory._unknown) <= 10
