"""Operations to test with: each on a small brand, what it changes, and what its entry says."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from scanner.ledger import lots, operations
from scanner.ledger.connection import Store
from tests.brand import POINTS, Brand, campaign_toml

MONEY_MAX = 10**15
STOCK_MAX = 10**12
POOLS = (
    """
[[pool]]
id = "lucky"
draw = "deck"
budget = "500.00"
[[pool.prize]]
id = "phone"
kind = "physical"
value = "7999.00"
stock = {phones}
[[pool.prize]]
id = "cash"
kind = "cash"
amount = {{ min = "0.88", max = "8.88", total = "20.00" }}
stock = 10
[[pool.prize]]
id = "thanks"
kind = "none"
stock = 90
"""
    + POINTS
)


def spring_toml(phones: int = 3, id: str = "spring") -> str:
    text = campaign_toml(id, POOLS.format(phones=phones))
    return text.replace('currency = "CNY"', 'currency = "CNY"\nbudget = "2000.00"')


Operation = Callable[[Brand, int, str], Awaitable[bool]]


class Case(NamedTuple):
    """An operation, the same with other arguments, the field it changes, and what its entry says."""

    do: Operation
    other: Operation
    key: Callable[[Brand, int], str]
    field: str
    before: bytes | None
    after: bytes | None
    entry: dict[str, str]


def lot_key(brand: Brand, lot: int) -> str:
    return brand.store.keys.lot(lot)


def campaign_key(brand: Brand, lot: int) -> str:
    return brand.store.keys.campaign("spring")


def budget_key(brand: Brand, lot: int) -> str:
    return brand.store.keys.budget("spring")


async def resume(brand: Brand, lot: int, request: str) -> bool:
    return await operations.resume(brand.store, "spring", by="test", request=request)


async def pause(brand: Brand, lot: int, request: str) -> bool:
    return await operations.pause(brand.store, "spring", by="test", request=request)


def activate(last: int) -> Operation:
    return lambda brand, lot, request: lots.activate(
        brand.store, lot, by="test", first=2, last=last, request=request
    )


def move(campaign: str) -> Operation:
    return lambda brand, lot, request: lots.move(
        brand.store, lot, by="test", campaign=campaign, request=request
    )


def assign(seller: str) -> Operation:
    return lambda brand, lot, request: lots.assign(
        brand.store, lot, by="test", seller=seller, request=request
    )


async def block(brand: Brand, lot: int, request: str) -> bool:
    return await lots.block(brand.store, lot, by="test", request=request)


def top_up(n: int, *, pool: str = "lucky", prize: str = "phone", campaign: str = "spring") -> Operation:
    return lambda brand, lot, request: operations.top_up(
        brand.store, campaign, pool, prize, n, by="test", request=request
    )


def top_up_budget(amount: int, pool: str | None = None, *, campaign: str = "spring") -> Operation:
    return lambda brand, lot, request: operations.top_up_budget(
        brand.store, campaign, pool, amount, by="test", request=request
    )


CASES = {
    "lot.activated": Case(
        activate(4), activate(5), lot_key, "active", b"", b"2-4", {"lot": "1", "from": "2", "to": "4"}
    ),
    "lot.blocked": Case(block, move("autumn"), lot_key, "state", b"open", b"blocked", {"lot": "1"}),
    "lot.moved": Case(
        move("autumn"),
        move("spring"),
        lot_key,
        "campaign",
        b"spring",
        b"autumn",
        {"lot": "1", "from_campaign": "spring", "campaign": "autumn"},
    ),
    "lot.assigned": Case(
        assign("店 17"),
        assign(""),
        lot_key,
        "seller",
        None,
        "店 17".encode(),
        {"lot": "1", "seller": "店 17"},
    ),
    "campaign.paused": Case(pause, resume, campaign_key, "paused", None, b"1", {"campaign": "spring"}),
    "campaign.resumed": Case(resume, pause, campaign_key, "paused", b"1", None, {"campaign": "spring"}),
    "pool.topped_up": Case(
        top_up(5),
        top_up(6),
        lambda brand, lot: brand.store.keys.pool("spring", "lucky"),
        "phone",
        b"3",
        b"8",
        {"campaign": "spring", "pool": "lucky", "prize": "phone", "n": "5"},
    ),
    "budget.topped_up": Case(
        top_up_budget(12345),
        top_up_budget(12345, "lucky"),
        budget_key,
        "*",
        b"200000",
        b"212345",
        {"campaign": "spring", "amount": "12345"},
    ),
    "budget.topped_up of a pool": Case(
        top_up_budget(99, "lucky"),
        top_up_budget(98, "lucky"),
        budget_key,
        "lucky",
        b"50000",
        b"50099",
        {"campaign": "spring", "pool": "lucky", "amount": "99"},
    ),
}


async def prepare(brand: Brand) -> None:
    """Two campaigns, and lot 1 of ten codes that are not active."""
    await brand.apply(spring_toml())
    await brand.apply(campaign_toml("autumn"))
    assert await brand.lot(10, active=False) == 1


async def entries(store: Store) -> list[dict[str, str]]:
    read = await store.client.xrange(store.keys.events, "-", "+", count=10_000)
    return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in read]


async def state(brand: Brand) -> dict[str, object]:
    """Everything in the store that an operation may write."""
    client, keys = brand.store.client, brand.store.keys
    hashes = [keys.lot(1), keys.campaign("spring"), keys.pool("spring", "lucky"), keys.operations]
    hashes.append(keys.budget("spring"))
    return {
        "hashes": [await client.hgetall(key) for key in hashes],
        "directory": await client.execute_command("ZRANGE", keys.directory, "0", "-1", "WITHSCORES"),
        "entries": await client.xlen(keys.events),
    }
