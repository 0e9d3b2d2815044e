"""Locked packets that nobody unlocked go back: when their time is over, once, and as they came."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from scanner.errors import StoreUnavailableError
from scanner.ledger import packets
from scanner.ledger.packets import sweep
from tests.brand import GRANTS, Brand, InProcess, campaign_toml
from tests.clock import FrozenClock, frozen_clock
from tests.running import eventually, running

LOCKED = """
[[pool]]
id = "locked"
draw = "locked"
expires_after = "{after}"
{more}
[[pool.prize]]
id = "lucky"
kind = "cash"
amount = {{ min = "1.00", max = "9.00", total = "500.00" }}
stock = 100
[[pool.prize]]
id = "thing"
kind = "physical"
value = "20.00"
stock = 200
"""


def locked(after: str = "1h", more: str = "") -> str:
    return LOCKED.format(after=after, more=more)


async def state(brand: Brand) -> dict[bytes, Any]:
    """What is left in the pool and of the budgets."""
    client, keys = brand.store.client, brand.store.keys
    return {
        **await client.hgetall(keys.pool("spring", "locked")),
        **await client.hgetall(keys.budget("spring")),
    }


async def grant(scanner: InProcess, n: int, **ask: str) -> dict[str, Any]:
    said = {"request_id": f"g{n}", "campaign": "spring", "pool": "locked", "member": f"m{n % 50}"} | ask
    answer = await scanner.serve(GRANTS, **said)
    assert answer["outcome"] == "granted"
    return answer


async def begun(brand: Brand, pools: str | None = None) -> tuple[FrozenClock, InProcess]:
    clock = await frozen_clock(brand)
    await clock.brand.apply(campaign_toml(pools=pools or locked(more='budget = "4000.00"')))
    scanner = clock.brand.scanner()
    await scanner.directory.refresh()
    return clock, scanner


async def expired(brand: Brand) -> list[dict[bytes, bytes]]:
    stream = await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=10_000)
    return [fields for _, fields in stream if fields[b"type"] == b"grant.expired"]


async def test_a_packet_goes_back_as_it_came_and_not_a_moment_earlier(brand: Brand) -> None:
    clock, scanner = await begun(brand)
    store, campaigns = clock.brand.store, scanner.directory.campaigns
    before = await state(brand)
    granted = [await grant(scanner, n) for n in range(10)]
    assert {answer["awards"][0]["kind"] for answer in granted} == {"cash", "physical"}
    assert await state(brand) != before
    await clock.forward(3599.999)
    assert await sweep(store, campaigns) == 0
    await clock.forward(0.001)
    assert await sweep(store, campaigns) == 10
    assert await state(brand) == before
    assert await sweep(store, campaigns) == 0
    assert await brand.store.client.zrange(brand.store.keys.expiries, 0, -1) == []
    entries = await expired(brand)
    assert {entry[b"id"].decode() for entry in entries} == {answer["grant_id"] for answer in granted}
    for entry in entries:
        [one] = [answer for answer in granted if answer["grant_id"] == entry[b"id"].decode()]
        [award] = one["awards"]
        assert (entry[b"member"].decode(), entry[b"prize"].decode()) == (one["member"], award["prize"])
        assert entry.get(b"amount") == (str(award["amount"]).encode() if award["kind"] == "cash" else None)
        assert entry[b"at"] == str(clock.now_ms).encode()
    assert not (await clock.brand.audit()).differences


async def test_what_was_unlocked_stays(brand: Brand) -> None:
    clock, scanner = await begun(brand)
    lot = await clock.brand.lot(1)
    await grant(scanner, 1)
    await clock.forward(1)
    await grant(scanner, 2, member="m1")
    scan = await scanner.scan("m1", clock.brand.code(lot, 0))
    assert len(scan["awards"]) == 1
    await clock.forward(7200)
    assert await sweep(clock.brand.store, scanner.directory.campaigns) == 1
    [entry] = await expired(brand)
    assert entry[b"member"] == b"m1"
    assert not (await clock.brand.audit()).differences


async def test_many_at_once_and_by_several_workers(brand: Brand) -> None:
    clock, scanner = await begun(brand)
    before = await state(brand)
    await asyncio.gather(*(grant(scanner, n) for n in range(250)))
    await clock.forward(3600)
    counts = [await sweep(clock.brand.store, scanner.directory.campaigns) for _ in range(4)]
    assert counts == [100, 100, 50, 0]
    await asyncio.gather(*(grant(scanner, n) for n in range(300, 400)))
    await clock.forward(3600)
    await asyncio.gather(*(sweep(clock.brand.store, scanner.directory.campaigns) for _ in range(3)))
    assert len(await expired(brand)) == 350
    assert await state(brand) == before
    assert not (await clock.brand.audit()).differences


async def test_what_cannot_be_done_is_passed_over(brand: Brand) -> None:
    """Unknown campaigns, names that are none, a pool that is broken: the others go back all the same."""
    clock, scanner = await begun(brand)
    await clock.brand.apply(campaign_toml("broken", locked()))
    await scanner.directory.refresh()
    await grant(scanner, 1, campaign="broken", request_id="b")
    await clock.forward(1)
    await asyncio.gather(*(grant(scanner, n) for n in range(20)))
    client, keys = brand.store.client, brand.store.keys
    await client.execute_command("DEL", keys.pool("broken", "locked"))
    names = ["", "x", "a/b/c/d", "spring/locked/x/y", "spring/none/" + "A" * 16 + "/" + "0" * 16]
    names += [f"gone/locked/{n:016}/{n:016x}" for n in range(230)]
    for name in names:
        await client.execute_command("ZADD", keys.expiries, 5, name)
    await client.execute_command("ZADD", keys.expiries, 5, b"\xff/\xfe/\x00/\n")
    await clock.forward(3600)
    assert await sweep(clock.brand.store, scanner.directory.campaigns) == 20
    assert len(await expired(brand)) == 20
    left = await client.zrange(keys.expiries, 0, -1)
    assert len(left) == len(names) + 2
    assert await sweep(clock.brand.store, {}) == 0


async def test_more_than_that_is_for_the_next_time(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "AT_ONCE", 5)
    monkeypatch.setattr(packets, "STUCK_MAX", 10)
    clock, scanner = await begun(brand)
    await grant(scanner, 1)
    client, keys = brand.store.client, brand.store.keys
    for n in range(20):
        await client.execute_command("ZADD", keys.expiries, 5, f"gone/locked/{n:016}/{n:016x}")
    await clock.forward(3600)
    assert await sweep(clock.brand.store, scanner.directory.campaigns) == 0  # it did not look for ever


async def test_an_expiry_without_a_packet_is_forgotten(brand: Brand) -> None:
    clock, scanner = await begun(brand)
    client, keys = brand.store.client, brand.store.keys
    await client.execute_command("ZADD", keys.expiries, 5, f"spring/locked/{'A' * 16}/{'0' * 16}")
    assert await sweep(clock.brand.store, scanner.directory.campaigns) == 1
    assert await client.zrange(keys.expiries, 0, -1) == []
    assert not await expired(brand)


async def test_a_store_that_is_broken_or_away(brand: Brand) -> None:
    clock, scanner = await begun(brand)
    await grant(scanner, 1)
    await clock.forward(3600)
    client, keys = brand.store.client, brand.store.keys
    await client.execute_command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailableError):
        await sweep(clock.brand.store, scanner.directory.campaigns)
    await client.execute_command("CONFIG", "SET", "maxmemory", "0")
    assert await sweep(clock.brand.store, scanner.directory.campaigns) == 1
    await client.execute_command("DEL", keys.expiries)
    await client.execute_command("SET", keys.expiries, "x")
    with pytest.raises(StoreUnavailableError):
        await sweep(clock.brand.store, scanner.directory.campaigns)


async def test_a_running_service_does_it_by_itself(tmp_path: Path) -> None:
    async with running(tmp_path / "data", workers=2) as run:
        await run.brand.apply(campaign_toml(pools=locked(after="1s")))
        before = await state(run.brand)
        scanner = run.brand.scanner()
        await asyncio.gather(*(grant(scanner, n) for n in range(5)))

        async def all_back() -> bool:
            return len(await expired(run.brand)) == 5

        await eventually(all_back)
        assert await state(run.brand) == before
        assert await run.is_ready()
        assert not (await run.brand.audit()).differences
