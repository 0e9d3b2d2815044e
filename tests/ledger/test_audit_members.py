"""The audit of what members keep, and of budgets: it adds up, and what was changed by hand is found."""

import asyncio

import pytest

from scanner.ledger import campaigns, lots, operations
from scanner.ledger.packets import sweep
from scanner.ledger.records import digest, member_digest
from tests.brand import DRAWS, GRANTS, POINTS, Brand, campaign_toml
from tests.clock import FrozenClock, frozen_clock
from tests.ledger.playing import pool, prize

LUCKY = '{ min = "0.10", max = "5.00", total = "20.00" }'
WHOLE = (
    'budget = "90.00"\n[limits]\nper_day = 4\n',
    pool("turns", "every", prize("turn", "chance", pool='"wheel"', amount=2)),
    pool("cash", "deck", prize("lucky", "cash", amount=LUCKY, stock=10), more='budget = "9.00"'),
    pool("shop", "every", prize("s", "cash"), more='beneficiary = "seller"\nlimits = { total = 50 }'),
    pool("gift", "locked", prize("g", "cash", stock=20), more='expires_after = "2h"'),
    pool("friends", "shared", prize("f", stock=9), more='slots = 2\nopen_for = "3h"\ngiver = "last"'),
    pool("wheel", "odds", prize("w", odds='"0.5"'), more='entered_by = "draw"\nprice = { points = 5 }'),
)


def whole_toml() -> str:
    head = campaign_toml(pools="")
    return head + "".join(WHOLE)


async def a_whole_day(brand: Brand) -> FrozenClock:
    """One of everything, and some of it left: ann has chances and a packet, bob's packet has expired."""
    clock = await frozen_clock(brand)
    brand = clock.brand
    await brand.apply(whole_toml())
    lot = await brand.lot(40)
    await lots.assign(brand.store, lot, by="test", seller="shop-1")
    scanner, codes = brand.scanner(), iter(brand.codes(lot, range(40)))
    for n in range(2):
        await scanner.serve(GRANTS, campaign="spring", pool="gift", member="bob", request_id=f"b{n}")
    shares = [(await scanner.scan("ann", next(codes)))["share"] for _ in range(3)]
    for friend in ("bob", "cyd", "dan", "bob"):
        await scanner.open_share(friend, shares[0])
    await scanner.draw("ann", campaign="spring", pool="wheel", request_id="one")
    await scanner.serve(
        DRAWS, campaign="spring", pool="wheel", member="eve", request_id="two", paid={"points": 5}
    )
    await scanner.scan("bob", next(codes))
    await clock.forward(7200)
    await sweep(brand.store, scanner.directory.campaigns)
    await scanner.serve(GRANTS, campaign="spring", pool="gift", member="ann", request_id="a")
    await operations.top_up(brand.store, "spring", "gift", "g", 5, by="test")
    await operations.top_up_budget(brand.store, "spring", "cash", 100, by="test")
    await operations.pause(brand.store, "spring", by="test")
    await scanner.scan("cyd", next(codes))
    return clock


@pytest.mark.parametrize("with_keys", [True, False])
async def test_a_whole_day_adds_up(brand: Brand, with_keys: bool) -> None:
    await a_whole_day(brand)
    report = await brand.audit(with_keys=with_keys)
    assert report.differences == []
    spring = report.campaigns["spring"]
    tally = spring.tally
    assert (tally.packets_granted, tally.packets_unlocked, tally.packets_expired) == (3, 1, 1)
    assert (tally.shares_opened, tally.shares_claimed, tally.givers_drew) == (4, 2, 1)
    assert (tally.chances_given, tally.chances_used, tally.draws, tally.paid_draws) == (8, 1, 2, 1)
    assert report.claims == 4 + 3 + 2 + 2
    gift = next(row for row in spring.sheet() if row.pool == "gift")
    assert (gift.put_in, gift.given, gift.locked, gift.left) == (25, 1, 1, 23)
    assert {row.day for row in spring.given_rows()} == {"2090-06-01"}
    assert sum(row.pieces for row in spring.given_rows() if row.pool == "friends") == 3


ANN, BOB = member_digest("ann").hex(), member_digest("bob").hex()
REQUEST = digest("draw", "ann", "one")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("HINCRBY", "budget:spring", "*", "1"), "of the budget, the stream says"),
        (("HDEL", "budget:spring", "cash"), "cash: nothing left of the budget"),
        (("HSET", "budget:autumn", "*", "1"), "no entry stands for it"),
        (("HINCRBY", "pool:spring/cash", "lucky:money", "1"), "lucky:money: "),
        (("HSET", "pool:spring/other", "x", "1"), "no entry stands for it"),
        (("HINCRBY", f"wallet:spring:{ANN}", "c6", "1"), "c6: 6 in the wallet, the stream says 5"),
        (("DEL", f"wallet:spring:{ANN}"), "c6: nothing in the wallet"),
        (("HSET", f"wallet:spring:{ANN}", "c9", "1"), "c9: 1 in the wallet, the stream says nothing"),
        (
            ("HSET", "wallet:spring:0011223344556677", "c6", "1"),
            "c6: 1 in the wallet, the stream says nothing",
        ),
        (
            ("HSET", "wallet:autumn:0011223344556677", "c6", "1"),
            "c6: 1 in the wallet, the stream says nothing",
        ),
        (("SET", "wallet:spring:0011223344556677", "x"), "this wallet cannot be read"),
        (("HSET", "wallet:spring:ann", "c6", "1"), "this key belongs to no member"),
        (("DEL", "expiries"), "is to expire at no time"),
        (
            ("ZADD", "expiries", "5", f"spring/gift/{'0' * 16}/{ANN}"),
            "is to expire at 5, the stream says no time",
        ),
        (("ZADD", "expiries", "5", "nonsense"), "is to expire at 5, the stream says no time"),
        (("DEL", f"counts:spring:{BOB}"), "the counts are missing"),
        (("SETRANGE", f"counts:spring:{BOB}", "8", "9"), "the counts are"),
        (("PERSIST", f"counts:spring:{BOB}"), "the counts expire at -1"),
        (("SET", "counts:spring:0011223344556677", "x"), "counted, but no entry says so"),
        (("HDEL", f"requests:{REQUEST.hex()[:3]}", REQUEST[:16]), "the claim is missing in the store"),
        (("HSET", "requests:abc", b"x" * 16, "x"), "made, but no entry says so"),
        (("SET", "requests:fff", "x"), "these requests cannot be read"),
        (("HSET", "share:{share}", "giver", "eve"), "disagree about giver"),
        (("HSET", "share:{share}", "at", "1"), "disagree about at"),
        (("HSET", "share:{share}", bytes.fromhex(BOB), "x"), "the claim record cannot be read"),
        (("HDEL", "share:{share}", bytes.fromhex(BOB)), "friend bob: the claim is missing"),
        (("HSET", "share:{share}", b"12345678", "x"), "claimed, but no entry says so"),
        (("HSET", "share:0123456789ABCDEF", "giver", "eve"), "claimed, but no entry says so"),
        (("HDEL", "campaign:spring", "paused"), "paused is not in force"),
        (("HSET", "lot:1", "seller", "shop-2"), "seller is shop-2, the stream says shop-1"),
        (("HSET", "lot:7", "kid", "1"), "no entry stands for it"),
    ],
)
async def test_what_members_keep_changed_by_hand_is_found(
    brand: Brand, command: tuple[str | bytes, ...], named: str
) -> None:
    await a_whole_day(brand)
    table, kid = brand.keyring.table(), brand.keyring.minting_kid
    name, key, *rest = command
    place = str(key).format(share=table.scan_id(kid, 1, 0))
    await brand.store.client.execute_command(name, brand.store.keys.prefix + place, *rest)
    found = (await brand.audit()).differences
    assert any(named in difference.text for difference in found), found


async def test_counts_that_are_gone_before_their_time_are_missed(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools="[limits]\nper_day = 4\n" + POINTS))
    await brand.scanner().scan("ann", brand.code(await brand.lot(5), 0))
    key = brand.store.keys.counts("spring", member_digest("ann"))
    assert await brand.store.client.execute_command("DEL", key)
    found = (await brand.audit()).differences
    assert [difference.text for difference in found] == ["the counts are missing in the store"]


async def test_counts_may_be_gone_once_their_day_is_over(brand: Brand) -> None:
    past = (await frozen_clock(brand, "2026-01-02T12:00:00+08:00")).brand
    await past.apply(campaign_toml(pools="[limits]\nper_day = 4\n" + POINTS))
    answer = await past.scanner().scan("ann", past.code(await past.lot(5), 0))
    assert answer["outcome"] == "accepted"
    # The store drops by its own clock what ended in the past.
    key = brand.store.keys.counts("spring", member_digest("ann"))
    assert not await brand.store.client.execute_command("EXISTS", key)
    assert (await brand.audit()).differences == []


async def test_a_lifted_budget_is_gone_from_the_store(brand: Brand) -> None:
    await a_whole_day(brand)
    await brand.apply(whole_toml().replace('budget = "90.00"\n', ""))
    assert (await campaigns.read(brand.store, "spring")).plan.budget is None
    assert (await brand.audit()).differences == []


async def test_the_audit_agrees_while_members_keep_and_use_things(brand: Brand) -> None:
    await brand.apply(whole_toml().replace("per_day = 4", "per_day = 1000000"))
    lot = await brand.lot(400)
    scanner = brand.scanner()
    codes = iter(brand.codes(lot, range(400)))

    async def phone(name: str) -> None:
        for n, code in enumerate(codes):
            answer = await scanner.scan(name, code)
            await scanner.draw(name, campaign="spring", pool="wheel", request_id=f"{name}{n}")
            await scanner.open_share(f"friend-{name}", answer["share"])
            await scanner.serve(GRANTS, campaign="spring", pool="gift", member=name, request_id=f"{name}{n}")

    phones = asyncio.gather(*(phone(f"m{n}") for n in range(12)))
    reports = [await brand.audit()]
    while not phones.done():
        reports.append(await brand.audit())
    await phones
    assert [report.differences for report in reports] == [[]] * len(reports)
    assert (await brand.audit()).differences == []
