"""Keys that were damaged: not ready, and nothing written, rather than half of a claim."""

import pytest

from scanner.campaigns import parse
from scanner.errors import StoreRefusedError
from scanner.ledger import campaigns
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.directory import KnownCampaign
from scanner.ledger.frames import Expiry
from scanner.ledger.packets import sweep
from tests.brand import Brand, campaign_toml
from tests.clock import frozen_clock

DECK = """
[[pool]]
id = "deck"
draw = "deck"
[[pool.prize]]
id = "p"
kind = "points"
amount = 1
stock = {stock}
"""
LOCKED = """
[[pool]]
id = "gift"
draw = "locked"
expires_after = "1h"
[[pool.prize]]
id = "g"
kind = "cash"
amount = {{ min = "1.00", max = "3.00", total = "20.00" }}
stock = 10
{rest}
"""
SHARED = """
[[pool]]
id = "friends"
draw = "shared"
slots = 2
open_for = "1h"
[[pool.prize]]
id = "f"
kind = "points"
amount = 1
stock = 5
"""


async def everything(brand: Brand) -> dict[bytes, bytes]:
    client = brand.store.client
    names = await client.execute_command("KEYS", "*")
    return {name: await client.execute_command("DUMP", name) for name in names}


@pytest.mark.parametrize("damaged", ["expiries", "share"])
async def test_what_is_only_written_must_be_writable_too(brand: Brand, damaged: str) -> None:
    await brand.apply(campaign_toml(pools=DECK.format(stock=2) + LOCKED.format(rest="") + SHARED))
    lot = await brand.lot(4)
    scanner = brand.scanner()
    grant = {"campaign": "spring", "pool": "gift", "member": "alice", "request_id": "g1"}
    assert (await scanner.serve("/v1/grants", **grant))["outcome"] == "granted"
    scan_id = brand.keyring.table().scan_id(brand.keyring.minting_kid, lot, 0)
    key = brand.store.keys.expiries if damaged == "expiries" else brand.store.keys.share(scan_id)
    await brand.store.client.execute_command("DEL", key)
    await brand.store.client.execute_command("SET", key, "x")
    before = await everything(brand)
    assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "unavailable"
    assert await everything(brand) == before
    await brand.store.client.execute_command("DEL", key)
    assert (await scanner.scan("alice", brand.code(lot, 0)))["replayed"] is False


async def test_a_damaged_record_takes_nobody_with_it(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=DECK.format(stock=5)))
    lot = await brand.lot(3)
    scanner = brand.scanner()
    await brand.store.client.hset(brand.store.keys.claims(lot, 0), "0", "abc")
    assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "unavailable"
    assert (await scanner.scan("alice", brand.code(lot, 1)))["outcome"] == "accepted"


@pytest.mark.parametrize("damaged", ["wallet", "budget"])
async def test_a_damaged_packet_or_budget_keeps_what_is_there(brand: Brand, damaged: str) -> None:
    clock = await frozen_clock(brand)
    brand = clock.brand
    pools = LOCKED.format(rest="").replace('draw = "locked"', 'draw = "locked"\nbudget = "20.00"')
    await brand.apply(campaign_toml(pools=pools))
    scanner, keys, client = brand.scanner(), brand.store.keys, brand.store.client
    grant = {"campaign": "spring", "pool": "gift", "member": "alice", "request_id": "g1"}
    assert (await scanner.serve("/v1/grants", **grant))["outcome"] == "granted"
    await clock.forward(3600)
    if damaged == "budget":
        await client.execute_command("DEL", keys.budget("spring"))
    else:
        [wallet] = await client.execute_command("KEYS", f"{keys.prefix}wallet:*")
        [field] = await client.hkeys(wallet)
        await client.hset(wallet.decode(), field.decode(), "short")
    before = await everything(brand)
    assert await sweep(brand.store, scanner.directory.campaigns) == 0
    assert await everything(brand) == before


async def test_a_packet_goes_back_also_where_the_budget_was_lifted_meanwhile(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    brand = clock.brand
    pools = LOCKED.format(rest="")
    budgeted = campaign_toml(pools=pools).replace("\n[[pool]]", 'budget = "50.00"\n\n[[pool]]', 1)
    await brand.apply(budgeted)
    scanner = brand.scanner()
    grant = {"campaign": "spring", "pool": "gift", "member": "alice", "request_id": "g1"}
    assert (await scanner.serve("/v1/grants", **grant))["outcome"] == "granted"
    stale = KnownCampaign.of((await campaigns.read(brand.store, "spring")).plan)
    await brand.apply(campaign_toml(pools=pools))
    await clock.forward(3600)
    [due] = await brand.store.client.zrange(brand.store.keys.expiries, 0, -1)
    [answer] = await ClaimFunction(brand.store)([Expiry(stale.plan, due.decode())])
    assert answer.verdict is Verdict.DONE
    assert (await brand.audit()).differences == []


async def test_a_file_is_not_applied_by_halves(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=DECK.format(stock=5)))
    changed = DECK.format(stock=8) + DECK.format(stock=1).replace(
        'id = "deck"', 'id = "new"\nbudget = "1.00"', 1
    )
    await brand.store.client.execute_command("SET", brand.store.keys.budget("spring"), "x")
    before = await everything(brand)
    with pytest.raises(StoreRefusedError, match="is not a hash"):
        await campaigns.apply(brand.store, parse(campaign_toml(pools=changed)), by="test")
    assert await everything(brand) == before


async def test_a_slip_a_day_does_not_add_up(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    brand = clock.brand
    await brand.apply(campaign_toml(pools=DECK.format(stock=50)))
    lot = await brand.lot(20, pin=True)
    scanner, table, kid = brand.scanner(), brand.keyring.table(), brand.keyring.minting_kid
    for serial in range(20):
        pin = table.pin(kid, lot, serial)
        wrong, right = f"{(pin + 1) % 10**6:06d}", f"{pin:06d}"
        assert (await scanner.scan("alice", brand.code(lot, serial), pin=wrong))["outcome"] == "pin_wrong"
        assert (await scanner.scan("alice", brand.code(lot, serial), pin=right))["outcome"] == "accepted"
