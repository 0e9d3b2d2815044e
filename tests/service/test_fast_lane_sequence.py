"""The same scans in the same order through either lane: where each draw changes the next, all stays equal."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from scanner.ledger import lots
from tests.brand import GRANTS, Brand, campaign_toml
from tests.fuzz.furnished import Hand
from tests.fuzz.seeds import TRACE, scan
from tests.service.lanes import Lanes, lanes_in, seeded
from tests.service.pools import friends, locked, wheel

SCANS = 300
DECKS = """
[[pool]]
id = "deck"
draw = "deck"
budget = "300.00"
game = "golden-egg"
[[pool.prize]]
id = "phone"
kind = "physical"
value = "59.00"
stock = 4
[[pool.prize]]
id = "lucky"
kind = "cash"
amount = { min = "0.88", max = "8.88", total = "120.00" }
stock = 60
[[pool.prize]]
id = "thanks"
kind = "none"
stock = 120
[[pool]]
id = "rain"
draw = "odds"
limits = { per_day = 5, total = 9 }
[[pool.prize]]
id = "cash"
kind = "cash"
amount = { min = "1.00", max = "5.00", total = "90.00" }
stock = 30
odds = "0.5"
[[pool.prize]]
id = "coupon"
kind = "coupon"
coupon = "油漆-1"
amount = 1
stock = 20
odds = "0.25"
[[pool]]
id = "rebate"
draw = "every"
beneficiary = "seller"
budget = "100.00"
[[pool.prize]]
id = "r2"
kind = "cash"
amount = "2.00"
[[pool]]
id = "thanks"
draw = "every"
beneficiary = "inviter"
entry = { windows = [{ daily = "12:00:00", lasts = "3h" }] }
[[pool.prize]]
id = "t"
kind = "points"
amount = 4
stock = 25
"""


async def furnish(brand: Brand) -> dict[str, int]:
    text = campaign_toml("decks", DECKS)
    await brand.apply(text.replace('currency = "CNY"', 'currency = "CNY"\nbudget = "450.00"'))
    await brand.apply(campaign_toml("kept", wheel(amount=2) + locked(stock=40) + DECKS))
    await brand.apply(campaign_toml("shared", friends(slots=3, stock=120) + DECKS))
    found = {
        "decks": await brand.lot(1000, campaign="decks"),
        "plain": await brand.lot(1000, campaign="decks"),
        "kept": await brand.lot(1000, campaign="kept"),
        "pin": await brand.lot(1000, campaign="kept", pin=True),
        "shared": await brand.lot(1000, campaign="shared"),
    }
    await lots.assign(brand.store, found["plain"], by="test", seller="店 17")
    return found


@pytest.fixture
async def lanes(tmp_path: Path) -> AsyncIterator[Lanes]:
    async with lanes_in(tmp_path / "data", furnish, keepalive_timeout_s=600) as lanes:
        yield lanes


def scans_of(rng: random.Random, hand: Hand) -> Sequence[bytes]:
    """Scans of a few members, of whom some have a seller or an inviter; now and then of a code again."""
    found = []
    for number in range(SCANS):
        again = number if rng.random() < 0.9 else rng.randrange(number + 1)
        lot = ("decks", "plain", "kept", "pin", "shared")[again % 5]
        who = rng.randrange(20)
        claims = {"inviter": "anna"} if who < 5 else {"seller": f"S-{who}"} if who < 9 else {}
        said = {"pin": hand.pin(again)} if lot == "pin" else {}
        more = [TRACE] if rng.random() < 0.2 else []
        one = scan(hand, *more, k=again, lot=lot, channel=rng.choice(("shop", None)), **said)
        found.append(one.replace(hand.token().encode(), hand.token(who, **claims).encode()))
    return found


async def kept(brand: Brand) -> dict[str, object]:
    """Everything that the store has of a brand, beside the ledger."""
    client, prefix = brand.store.client, brand.store.keys.prefix
    found: dict[str, object] = {}
    async for key in client.scan_iter(match=f"{prefix}*"):
        kind, name = (await client.type(key)).decode(), key.decode().removeprefix(prefix)
        if kind == "hash":
            found[name] = await client.hgetall(key)
        elif kind == "zset":
            found[name] = await client.zrange(key, 0, -1, withscores=True)
        elif kind == "string":
            found[name] = await client.get(key)
    return found


async def test_each_draw_leaves_the_next_the_same(lanes: Lanes) -> None:
    brands = lanes.fast.brand, lanes.plain.brand
    hand = Hand(brands[0], brands[0].keyring.table(), lanes.lots, 0)
    for side in (lanes.fast, lanes.plain):
        for who in range(0, 20, 2):
            given = {"campaign": "kept", "pool": "locked", "member": f"m0-{who}"}
            assert (await side.scanner.serve(GRANTS, request_id=f"g{who}", **given))["status"] == 200
    with seeded() as rng:
        requests = scans_of(rng, hand)
        fast, plain = [await side.ask(requests) for side in (lanes.fast, lanes.plain)]
        assert fast == plain
    assert lanes.fast.taken > 0.9 * SCANS
    bodies = b"".join(reply.body for reply in fast)
    for said in (
        b'"lucky"',
        b'"locked"',
        b'"share"',
        b'"ticket"',
        b'"rebate"',
        b'"thanks"',
        b'"replayed":true',
    ):
        assert said in bodies, said
    entries = await lanes.entries()
    assert entries[0] == entries[1]
    states = [await kept(brand) for brand in brands]
    assert states[0] == states[1]
    reports = [await brand.audit() for brand in brands]
    assert [report.differences for report in reports] == [[], []]
    assert reports[0].claims == reports[1].claims > 200


async def test_another_order_is_another_result(lanes: Lanes) -> None:
    """What the test above would see, were one scan taken before another."""
    brands = lanes.fast.brand, lanes.plain.brand
    hand = Hand(brands[0], brands[0].keyring.table(), lanes.lots, 0)
    requests = scans_of(random.Random(1), hand)
    fast = await lanes.fast.ask(requests)
    plain = await lanes.plain.ask(requests[::-1])
    assert fast != plain[::-1]
    states = [await kept(brand) for brand in brands]
    assert states[0] != states[1]
