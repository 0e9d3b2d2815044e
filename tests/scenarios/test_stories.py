"""Whole stories, from the campaign file to the stream; they read as a tutorial."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import orjson

from scanner.codes import to_gs1
from scanner.ledger import lots
from tests.brand import POINTS, Brand, brand_in, campaign_toml
from tests.running import running, serving

DECK = """
[[pool]]
id = "deck"
draw = "deck"
[[pool.prize]]
id = "phone"
kind = "physical"
value = "7999.00"
stock = 3
[[pool.prize]]
id = "cash"
kind = "cash"
amount = "0.88"
stock = 697
[[pool.prize]]
id = "coupon"
kind = "coupon"
coupon = "SPRING10"
stock = 300
"""


async def test_a_code_wins_once_and_the_scan_is_in_the_stream(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    scanner = brand.scanner()
    first = await scanner.scan("alice", brand.code(lot, 0), channel="weixin-mini-program")
    assert first["outcome"] == "accepted"
    assert first["awards"] == [
        {"pool": "points", "prize": "p50", "kind": "points", "amount": 50, "beneficiary": "member"}
    ]
    again = await scanner.scan("alice", brand.code(lot, 0))
    assert again == {**first, "replayed": True}
    other = await scanner.scan("bob", brand.code(lot, 0))
    assert (other["outcome"], other["first_scanned_at"]) == ("claimed", first["scanned_at"])
    [entry] = [
        fields
        for _, fields in await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=99)
        if fields[b"type"] == b"scan.accepted"
    ]
    assert entry[b"id"].decode() == first["scan_id"]
    assert orjson.loads(entry[b"awards"]) == first["awards"]


async def test_every_carrier_of_a_code_is_the_same_code(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    scanner, text = brand.scanner(), brand.code(lot, 1)
    gs1 = "https://id.example/01/06901234567892/21/" + _gs1(brand, lot, 1)
    first = await scanner.scan("alice", text)
    for carrier in (
        text.lower(),
        f"{text[:6]}-{text[6:12]} {text[12:]}",
        f"https://s.example/c/{text}",
        f"https://s.example/?c={text}",
        f"https%3A%2F%2Fs.example%2Fc%2F{text}",
        f"https://mp.example/?q=https%3A%2F%2Fs.example%2Fc%2F{text}",
        gs1,
    ):
        assert await scanner.scan("alice", carrier) == {**first, "replayed": True}
    other_gtin = gs1.replace("06901234567892", "00012345678905")
    assert (await scanner.scan("alice", other_gtin))["outcome"] == "unknown_code"


def _gs1(brand: Brand, lot: int, serial: int) -> str:
    return to_gs1(brand.keyring.table().seal(brand.keyring.minting_kid, lot, serial))


async def test_a_pin_opens_its_code(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10, pin=True)
    scanner, code = brand.scanner(), brand.code(lot, 0)
    pin = f"{brand.keyring.table().pin(brand.keyring.minting_kid, lot, 0):06d}"
    wrong = f"{(int(pin) + 1) % 1_000_000:06d}"
    assert (await scanner.scan("alice", code))["outcome"] == "pin_required"
    assert (await scanner.scan("alice", code, pin=wrong))["outcome"] == "pin_wrong"
    assert (await scanner.scan("alice", code, pin=pin))["outcome"] == "accepted"


async def test_a_lot_moves_and_only_what_is_unclaimed_moves_with_it(brand: Brand) -> None:
    autumn = (
        '\n[[pool]]\nid = "gold"\ndraw = "every"\n[[pool.prize]]\nid = "g9"\nkind = "points"\namount = 9\n'
    )
    await brand.apply(campaign_toml("spring"))
    await brand.apply(campaign_toml("autumn", autumn))
    lot = await brand.lot(10)
    scanner = brand.scanner()
    in_spring = await scanner.scan("alice", brand.code(lot, 0))
    assert in_spring["campaign"] == "spring"
    await lots.move(brand.store, lot, by="test", campaign="autumn")
    assert await scanner.scan("alice", brand.code(lot, 0)) == {**in_spring, "replayed": True}
    assert (await scanner.scan("bob", brand.code(lot, 0)))["outcome"] == "claimed"
    in_autumn = await scanner.scan("alice", brand.code(lot, 1))
    assert in_autumn["campaign"] == "autumn"
    assert [award["prize"] for award in in_autumn["awards"]] == ["g9"]
    assert not (await brand.audit()).differences


async def test_a_new_version_of_the_rules_is_in_force_at_once(brand: Brand) -> None:
    """The worker's directory is stale; the store says so, and the scan is judged anew."""
    more = '\n[[pool]]\nid = "more"\ndraw = "every"\n[[pool.prize]]\nid = "m"\nkind = "points"\namount = 1\n'
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    scanner = brand.scanner()
    before = await scanner.scan("alice", brand.code(lot, 0))
    await brand.apply(campaign_toml(pools=POINTS + more))
    after = await scanner.scan("alice", brand.code(lot, 1))
    assert [len(answer["awards"]) for answer in (before, after)] == [1, 2]
    assert await scanner.scan("alice", brand.code(lot, 0)) == {**before, "replayed": True}
    assert not (await brand.audit()).differences


async def test_a_block_is_immediate(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    scanner = brand.scanner()
    assert (await scanner.scan("alice", brand.code(lot, 0)))["outcome"] == "accepted"
    await lots.block(brand.store, lot, by="test")
    answer = await scanner.scan("alice", brand.code(lot, 1))
    assert (answer["outcome"], answer["status"]) == ("blocked", 410)


async def test_a_deck_of_a_thousand_gives_a_thousand_of_1500(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=DECK))
    lot = await brand.lot(1_500)
    scanner = brand.scanner()
    answers = await asyncio.gather(
        *(scanner.scan(f"m{n % 7}", code) for n, code in enumerate(brand.codes(lot, range(1_500))))
    )
    assert {answer["outcome"] for answer in answers} == {"accepted"}
    won = Counter(award["prize"] for answer in answers for award in answer["awards"])
    assert won == {"phone": 3, "cash": 697, "coupon": 300}
    assert sum(not answer["awards"] for answer in answers) == 500
    left = await brand.store.client.hgetall(brand.store.keys.pool("spring", "deck"))
    assert left == {b"phone": b"0", b"cash": b"0", b"coupon": b"0"}
    report = await brand.audit()
    assert not report.differences
    assert report.campaigns["spring"].pools["deck"].given == won


async def test_the_answer_outlives_a_kill_of_service_and_store(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml(pools=DECK))
        lot = await run.brand.lot(10)
        code = run.brand.code(lot, 0)
        first = await run.scan("alice", code)
        assert first.outcome == "accepted"
        want = first.body.replace(b'"replayed":false', b'"replayed":true')
        assert (await run.scan("alice", code)).body == want
        for pid in run.supervisor.worker_pids:
            os.kill(pid, signal.SIGKILL)
        run.kill_store()
    async with brand_in(tmp_path / "data") as brand, serving(brand) as run:
        assert (await run.scan("alice", code)).body == want
        assert (await run.scan("bob", code)).outcome == "claimed"
        assert not (await brand.audit()).differences
