"""Top-ups of stock and budgets: their bounds, what is refused, and at once."""

import asyncio
from collections.abc import Callable

import pytest

from scanner.errors import StoreRefusedError
from scanner.ledger import campaigns, operations
from tests.brand import Brand, campaign_toml, deck_toml
from tests.operating import (
    MONEY_MAX,
    STOCK_MAX,
    Operation,
    assign,
    prepare,
    spring_toml,
    state,
    top_up,
    top_up_budget,
)


@pytest.mark.parametrize(
    ("do", "text"),
    [
        (top_up(1, campaign="nowhere"), "no campaign nowhere"),
        (top_up(1, pool="none"), "campaign spring has no pool none, but lucky, points"),
        (top_up(1, prize="none"), "pool lucky of campaign spring has no prize none, but phone, cash, thanks"),
        (top_up(1, prize="cash:money"), "no prize cash:money"),
        (top_up(1, pool="points", prize="p50"), "prize points/p50 has no stock limit"),
        (top_up(1, prize="cash"), "prize lucky/cash gives lucky amounts.*add another prize"),
        (top_up(1, prize="thanks"), "prize lucky/thanks is a blank of a deck"),
        (top_up(0), "1 piece or more"),
        (top_up(-1), "1 piece or more"),
        (top_up(STOCK_MAX - 2), "at most 1000000000000: 3 are left"),
        (top_up(10**30), "at most 1000000000000: 3 are left"),
        (top_up_budget(1, campaign="nowhere"), "no campaign nowhere"),
        (top_up_budget(1, campaign="autumn"), "campaign autumn has no budget"),
        (top_up_budget(1, "none"), "campaign spring has no pool none"),
        (top_up_budget(1, "points"), "pool points of campaign spring has no budget"),
        (top_up_budget(0), "1 minor unit or more"),
        (top_up_budget(-1, "lucky"), "1 minor unit or more"),
        (top_up_budget(MONEY_MAX - 199999), "at most 1000000000000000: 200000 are left"),
        (assign("s" * 65), "1 to 64 printable characters"),
        (assign("a\nb"), "1 to 64 printable characters"),
        (lambda brand, lot, request: assign("s")(brand, 99, request), "no lot 99"),
        (lambda brand, lot, request: operations.pause(brand.store, "x", by="t"), "no campaign x"),
        (lambda brand, lot, request: operations.resume(brand.store, "x", by="t"), "no campaign x"),
    ],
)
async def test_what_must_not_be_is_refused_and_leaves_nothing(brand: Brand, do: Operation, text: str) -> None:
    await prepare(brand)
    before = await state(brand)
    with pytest.raises(StoreRefusedError, match=text):
        await do(brand, 1, "r-1")
    assert await state(brand) == before


async def test_stock_and_budget_grow_to_their_bounds(brand: Brand) -> None:
    await prepare(brand)
    assert await top_up(STOCK_MAX - 3)(brand, 1, "")
    assert await top_up_budget(MONEY_MAX - 200000)(brand, 1, "")
    client, keys = brand.store.client, brand.store.keys
    assert await client.hget(keys.pool("spring", "lucky"), "phone") == b"1000000000000"
    assert await client.hget(keys.budget("spring"), "*") == b"1000000000000000"


@pytest.mark.parametrize("do", [top_up(1), top_up_budget(1)], ids=["stock", "budget"])
async def test_a_top_up_judged_on_an_older_file_is_refused(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, do: Operation
) -> None:
    await prepare(brand)
    stale = await campaigns.read(brand.store, "spring")

    async def read(*_: object) -> campaigns.Campaign | None:
        return stale

    await brand.apply(spring_toml(phones=4))
    before = await state(brand)
    with monkeypatch.context() as patched:
        patched.setattr(campaigns, "read", read)
        with pytest.raises(StoreRefusedError, match="campaign spring changed meanwhile: try again"):
            await do(brand, 1, "r-1")
    assert await state(brand) == before
    assert await do(brand, 1, "r-1")


@pytest.mark.parametrize(
    ("key", "field", "do"),
    [
        (lambda brand: brand.store.keys.pool("spring", "lucky"), "phone", top_up(1)),
        (lambda brand: brand.store.keys.budget("spring"), "*", top_up_budget(1)),
    ],
    ids=["stock", "budget"],
)
async def test_what_the_store_has_lost_is_not_made_up(
    brand: Brand, key: Callable[[Brand], str], field: str, do: Operation
) -> None:
    await prepare(brand)
    await brand.store.client.execute_command("HDEL", key(brand), field)
    before = await state(brand)
    with pytest.raises(StoreRefusedError, match="in the store"):
        await do(brand, 1, "r-1")
    assert await state(brand) == before


@pytest.mark.parametrize(
    ("one", "key", "field", "first"),
    [
        (top_up(5), lambda brand: brand.store.keys.pool("spring", "lucky"), "phone", 3),
        (top_up_budget(5), lambda brand: brand.store.keys.budget("spring"), "*", 200000),
    ],
    ids=["stock", "budget"],
)
async def test_at_once_under_one_request_id_is_once(
    brand: Brand, one: Operation, key: Callable[[Brand], str], field: str, first: int
) -> None:
    await prepare(brand)
    done = await asyncio.gather(*(one(brand, 1, "r-1") for _ in range(8)))
    assert sorted(done) == [False] * 7 + [True]
    assert int(await brand.store.client.hget(key(brand), field)) == first + 5
    done = await asyncio.gather(*(one(brand, 1, f"s-{i}") for i in range(8)))
    assert done == [True] * 8
    assert int(await brand.store.client.hget(key(brand), field)) == first + 45


async def test_budgets_are_read_back(brand: Brand) -> None:
    await prepare(brand)
    await top_up_budget(1, "lucky")(brand, 1, "")
    assert (await operations.standing(brand.store, "spring")).budgets == {None: 200000, "lucky": 50001}
    assert (await operations.standing(brand.store, "autumn")).budgets == {}


async def test_what_was_added_can_be_won(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=deck_toml(2)))
    lot = await brand.lot(10)
    scanner, codes = brand.scanner(), brand.codes(lot, range(5))
    won = [len((await scanner.scan("alice", code))["awards"]) for code in codes[:3]]
    assert won == [1, 1, 0]
    assert await operations.top_up(brand.store, "spring", "deck", "p", 1, by="test")
    assert [len((await scanner.scan("alice", code))["awards"]) for code in codes[3:]] == [1, 0]
