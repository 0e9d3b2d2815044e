"""What the claims of a batch have in common: sent once, judged once, and never mixed up."""

from dataclasses import replace
from itertools import cycle

import orjson
import pytest

from scanner.ledger import lots
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.connection import load_functions
from scanner.ledger.functions import Library
from scanner.ledger.records import Won
from tests.brand import POINTS, Brand, campaign_toml
from tests.ledger.test_claims import claim_for, entries, verdicts

PAIR = """
[[pool]]
id = "pair"
draw = "deck"
[[pool.prize]]
id = "{gold}"
kind = "points"
amount = {amount}
stock = 100
[[pool.prize]]
id = "blank"
kind = "none"
stock = 100
"""


async def told(brand: Brand) -> list[tuple[str, list[str], list[str]]]:
    """Of each accepted scan: the campaign, what it was awarded, and its blanks."""
    return [
        (
            entry[b"campaign"].decode(),
            [f"{award['pool']}/{award['prize']}" for award in orjson.loads(entry[b"awards"])],
            orjson.loads(entry.get(b"blanks", b"[]")),
        )
        for entry in await entries(brand)
        if entry[b"type"] == b"scan.accepted"
    ]


@pytest.mark.parametrize("kept", [4096, 1])
async def test_what_was_won_is_told_in_the_words_of_its_own_campaign(brand: Brand, kept: int) -> None:
    """The prizes of both have the same numbers, and what was told of them is kept, or dropped."""
    code = brand.store.library.code
    keeps = "PLANS_MAX, TOLD_MAX = {}, 0, 0, 256, 4096"
    assert code.count(keeps) == 1
    code = code.replace(keeps, keeps.replace("4096", str(kept))).replace(
        brand.store.library.version, f"k{kept}"
    )
    brand = replace(brand, store=replace(brand.store, library=Library(f"k{kept}", code)))
    await load_functions(brand.store)
    ids = {"spring": "gold", "autumn": "silver"}
    for id, gold in ids.items():
        await brand.apply(campaign_toml(id, PAIR.format(gold=gold, amount=5) + POINTS))
    lots_of = [await brand.lot(64, campaign=id) for id in ids]
    send = ClaimFunction(brand.store)
    won = []
    for first in (0, 16):
        batch = [
            await claim_for(brand, lot, serial) for serial in range(first, first + 16) for lot in lots_of
        ]
        won += [answer.record.won for answer in await send(batch)]
    expected = [
        (id, [f"pair/{gold}", "points/p50"], [])
        if prizes[0] == Won(1, 1)
        else (id, ["points/p50"], ["pair/blank"])
        for (id, gold), prizes in zip(cycle(ids.items()), won, strict=False)
    ]
    assert await told(brand) == expected
    assert len({tuple(prizes) for prizes in won}) == 2
    assert not (await brand.audit()).differences


async def test_what_a_batch_has_in_common_is_sent_once(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot, other = await brand.lot(200), await brand.lot(200)
    function = ClaimFunction(brand.store)
    same = [await claim_for(brand, lot, serial, f"m{serial}") for serial in range(5)]
    commons = [len(function.command([*same, *more])[3:]) - len(function.command(same)[3:]) for more in (
        [await claim_for(brand, lot, 5, "bob")],  # its bucket's key is there
        [await claim_for(brand, lot, 100, "bob")],  # another bucket: one key
        [await claim_for(brand, lot, 5, "bob", seller="shop")],  # judged for another seller: one common
        [await claim_for(brand, other, 5)],  # the lot's key, the bucket's, one common
    )]  # fmt: skip
    assert commons == [0, 1, 1, 3]


async def test_a_claim_that_was_judged_for_another_seller_is_stale(brand: Brand) -> None:
    """Each by itself, though they come in one batch and have the rest in common."""
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    none, lots_own, old, own = [
        await claim_for(brand, lot, serial, seller=seller, seller_is_lots=is_lots)
        for serial, (seller, is_lots) in enumerate(
            [("", False), ("shop", True), ("old", True), ("me", False)]
        )
    ]
    await lots.assign(brand.store, lot, by="test", seller="shop")
    assert await verdicts(brand, none, lots_own, old, own) == [
        Verdict.STALE,
        Verdict.ACCEPTED,
        Verdict.STALE,
        Verdict.ACCEPTED,
    ]
