"""The audit: what the functions wrote adds up, and each thing changed by hand is found and named."""

import asyncio
from collections.abc import Callable

import orjson
import pytest

from scanner.ledger import lots
from scanner.ledger.audit import audit
from tests.brand import POINTS, Brand, campaign_toml

POOLS = (
    POINTS
    + """
[[pool]]
id = "deck"
draw = "deck"
[[pool.prize]]
id = "gold"
kind = "cash"
amount = "8.88"
stock = 10
[[pool.prize]]
id = "thanks"
kind = "none"
stock = 15
[[pool]]
id = "wheel"
draw = "odds"
[[pool.prize]]
id = "coupon"
kind = "coupon"
coupon = "SPRING10"
odds = "0.5"
stock = 8
"""
)
Fields = dict[str, str]


async def a_busy_day(brand: Brand) -> int:
    """Scans, a block, a move, a new version of the rules; returns the first lot."""
    await brand.apply(campaign_toml(pools=POOLS))
    await brand.apply(campaign_toml("autumn"))
    lot, blocked, moved = [await brand.lot(size) for size in (40, 5, 5)]
    scanner = brand.scanner()
    codes = brand.codes(lot, range(30))
    await asyncio.gather(*(scanner.scan(f"m{n % 4}", code, channel="demo") for n, code in enumerate(codes)))
    await scanner.scan("m1", brand.code(blocked, 0))
    await lots.block(brand.store, blocked, by="test")
    await scanner.scan("m1", brand.code(blocked, 1))
    await scanner.scan("m1", brand.code(moved, 0))
    await lots.move(brand.store, moved, by="test", campaign="autumn")
    await scanner.scan("m1", brand.code(moved, 1))
    await brand.apply(
        campaign_toml(pools=POOLS.replace("stock = 10", "stock = 12").replace("stock = 8", "stock = 20"))
    )
    await asyncio.gather(*(scanner.scan("m9", code) for code in brand.codes(lot, range(30, 40))))
    return lot


@pytest.mark.parametrize("with_keys", [True, False])
async def test_a_busy_day_adds_up(brand: Brand, with_keys: bool) -> None:
    await a_busy_day(brand)
    report = await brand.audit(with_keys=with_keys)
    assert report.differences == []
    assert report.claims == 43
    assert report.draws_recomputed is with_keys
    deck = report.campaigns["spring"].pools["deck"]
    assert deck.put_in == {"gold": 12, "thanks": 15}
    assert all(deck.put_in[prize] == deck.given[prize] + deck.left[prize] for prize in deck.put_in)


async def test_an_empty_ledger_adds_up(brand: Brand) -> None:
    report = await brand.audit()
    assert (report.entries, report.differences) == (0, [])


async def test_the_audit_agrees_while_scans_go_on(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=POOLS))
    lot = await brand.lot(3_000)
    scanner = brand.scanner()
    codes = iter(brand.codes(lot, range(3_000)))

    async def phone(name: str) -> None:
        for code in codes:
            await scanner.scan(name, code)

    phones = asyncio.gather(*(phone(f"m{n}") for n in range(16)))
    reports = [await brand.audit()]
    while not phones.done():
        reports.append(await brand.audit())
    await phones
    assert [report.differences for report in reports] == [[]] * len(reports)
    assert (await brand.audit()).claims == 3_000


async def rewrite(brand: Brand, change: Callable[[Fields], Fields | None], nth: int = 5) -> None:
    """Changes the nth accepted scan of the stream by hand; None takes it out."""
    client, events = brand.store.client, brand.store.keys.events
    entries = await client.xrange(events, "-", "+", count=10_000)
    await client.execute_command("DEL", events)
    for id, raw in entries:
        fields: Fields | None = {name.decode(): value.decode() for name, value in raw.items()}
        if fields["type"] == "scan.accepted":
            nth -= 1
            if nth == 0:
                fields = change(fields)
        if fields is not None:
            flat = [text for pair in fields.items() for text in pair]
            await client.execute_command("XADD", events, id, *flat)


def _nothing_won(fields: Fields) -> Fields:
    return {**{name: value for name, value in fields.items() if name != "blanks"}, "awards": "[]"}


def _other_award(fields: Fields) -> Fields:
    """A cash prize that the scan did not win."""
    awards = orjson.loads(fields["awards"])
    gold = {
        "pool": "deck",
        "prize": "gold",
        "kind": "cash",
        "amount": 888,
        "currency": "CNY",
        "beneficiary": "member",
    }
    kept = [award for award in awards if award["pool"] != "deck"]
    changed = kept if len(kept) < len(awards) else [*awards, gold]
    fields.pop("blanks", None)
    return {**fields, "awards": orjson.dumps(changed).decode()}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda fields: {**fields, "member": "mallory"}, "the member"),
        (lambda fields: {**fields, "channel": "other"}, "role, tier, channel, seller"),
        (lambda fields: {**fields, "seller": "mallory"}, "role, tier, channel, seller"),
        (lambda fields: {**fields, "at": str(int(fields["at"]) + 1)}, "the time"),
        (lambda fields: {**fields, "id": "0" * 16}, "scan_id"),
        (lambda fields: {**fields, "rules": "0" * 16}, "the rules in force"),
        (lambda fields: {**_nothing_won(fields), "campaign": "autumn"}, "belonged to campaign spring"),
        (lambda fields: {**fields, "product": "00012345678905"}, "product"),
        (lambda fields: {**fields, "serial": "4000000"}, "the lot has 40 codes"),
        (lambda fields: {**fields, "lot": "77"}, "lot 77 was never registered"),
        (
            lambda fields: {**fields, "awards": fields["awards"].replace(":50,", ":5000,")},
            "not the one of the campaign",
        ),
        (lambda fields: {**fields, "awards": "{"}, "does not read"),
        (lambda fields: {**fields, "type": "scan.excepted"}, "no entry of type"),
        (_other_award, "the draw gives"),
        (lambda fields: None, "claimed, but no entry says so"),
    ],
)
async def test_an_entry_changed_by_hand_is_found(
    brand: Brand, change: Callable[[Fields], Fields | None], named: str
) -> None:
    await a_busy_day(brand)
    await rewrite(brand, change)
    report = await brand.audit()
    assert any(named in found.text for found in report.differences), report.differences


async def test_without_keys_a_prize_that_was_not_left_is_found(brand: Brand) -> None:
    await a_busy_day(brand)
    await rewrite(brand, _other_award)
    found = (await brand.audit(with_keys=False)).differences
    assert any("what was drawn" in difference.text for difference in found)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("HINCRBY", "pool:spring/deck", "gold", "1"), "gold: "),
        (("HDEL", "pool:spring/deck", "gold"), "gold: nothing left"),
        (("DEL", "pool:spring/points"), "p50: nothing left"),
        (("HSET", "pool:spring/deck", "extra", "1"), "extra: 1 left in the pool, the stream says nothing"),
        (("HDEL", "claims:1:0", "7"), "lot 1, serial 7: the claim is missing"),
        (("HSET", "claims:1:0", "7", "x"), "lot 1, serial 7: the claim record cannot be read"),
        (("HSET", "claims:1:0", "41", "x" * 26), "lot 1, serial 41: claimed, but no entry says so"),
        (("HSET", "claims:9:0", "0", "x" * 26), "lot 9, serial 0: claimed, but no entry says so"),
        (("HSET", "lot:2", "state", "open"), "state is open, the stream says blocked"),
        (("HSET", "lot:1", "active", "0-9"), "active is"),
        (("DEL", "lot:1"), "lot 1 is missing"),
        (("HSET", "campaign:spring", "version", "0"), "version is not in force"),
        (("HSET", "campaign:spring", "plan", "{}"), "plan is not in force"),
        (("HSET", "campaign:spring", "ends", "1"), "ends is not in force"),
        (("HSET", "claims:1:0", "abc", "x"), "these claims cannot be read"),
        (("SET", "claims:1:99", "x"), "these claims cannot be read"),
        (("ZREM", "directory", "lot:1"), "lot:1 is in only one"),
    ],
)
async def test_a_store_changed_by_hand_is_found(brand: Brand, command: tuple[str, ...], named: str) -> None:
    await a_busy_day(brand)
    name, key, *rest = command
    await brand.store.client.execute_command(name, brand.store.keys.prefix + key, *rest)
    found = (await brand.audit()).differences
    assert any(named in difference.text for difference in found), found


async def test_progress_is_told(brand: Brand) -> None:
    await a_busy_day(brand)
    told: list[tuple[int, int]] = []
    report = await audit(brand.store, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (report.entries, report.entries)
