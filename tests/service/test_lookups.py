"""Questions about codes: what a member may know, and that nothing is claimed by asking."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest

from scanner.codes import to_gs1
from scanner.errors import StoreUnavailableError
from scanner.ledger import lots
from scanner.ledger.embedded import EmbeddedStore
from scanner.service import lookups
from tests.brand import CODES, POINTS, PRODUCT, Brand, campaign_toml
from tests.running import PATIENCE_S, running
from tests.service.pools import http_get

PRODUCTS = f"""
[[product]]
gtin = "00012345678905"
title = "Another"
[[product]]
gtin = "{PRODUCT}"
title = "Interior paint, 5 l – 白"
url = "https://paints.example/interior?a=1&b=2"
"""


@asynccontextmanager
async def store_stopped(brand: Brand) -> AsyncIterator[None]:
    pid = EmbeddedStore(brand.settings.data_dir).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_what_a_member_may_know(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=PRODUCTS + POINTS))
    lot = await brand.lot(10, active=False)
    await lots.activate(brand.store, lot, by="test", first=2, last=4)
    scanner = brand.scanner()
    about = {
        "outcome": "genuine",
        "product": PRODUCT,
        "title": "Interior paint, 5 l – 白",
        "url": "https://paints.example/interior?a=1&b=2",
        "status": 200,
    }
    fresh = await scanner.look_up("alice", brand.code(lot, 3))
    assert fresh == about | {"active": True, "scanned": False}
    for serial in (1, 5):
        found = await scanner.look_up("alice", brand.code(lot, serial))
        assert found == about | {"active": False, "scanned": False}
    scan = await scanner.scan("alice", brand.code(lot, 3))
    assert scan["outcome"] == "accepted"  # asking has claimed nothing
    for member in ("alice", "bob"):
        found = await scanner.look_up(member, brand.code(lot, 3))
        assert found == about | {
            "active": True,
            "scanned": True,
            "first_scanned_at": scan["scanned_at"],
            "by_you": member == "alice",
        }


async def test_a_product_that_the_file_does_not_describe(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=PRODUCTS.replace(PRODUCT, "06901234522228") + POINTS))
    lot = await brand.lot(1)
    found = await brand.scanner().look_up("alice", brand.code(lot, 0))
    assert found == {
        "outcome": "genuine",
        "product": PRODUCT,
        "active": True,
        "scanned": False,
        "status": 200,
    }


async def test_nothing_is_written(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(10)
    client, scanner = brand.store.client, brand.scanner()
    before = await client.execute_command("DBSIZE"), await client.xlen(brand.store.keys.events)
    for serial in range(10):
        await scanner.look_up("alice", brand.code(lot, serial))
    assert (await client.execute_command("DBSIZE"), await client.xlen(brand.store.keys.events)) == before


async def test_every_carrier_is_read(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    scanner, text = brand.scanner(), brand.code(lot, 1)
    gs1 = to_gs1(brand.keyring.table().seal(brand.keyring.minting_kid, lot, 1))
    link = f"https://id.example/01/{PRODUCT}/21/{gs1}"
    first = await scanner.look_up("alice", text)
    assert first["outcome"] == "genuine"
    for carrier in (text.lower(), f"https://s.example/?c={text}", f"https%3A%2F%2Fs.example%2F{text}", link):
        assert await scanner.look_up("alice", carrier) == first
    other = await scanner.look_up("alice", link.replace(PRODUCT, "00012345678905"))
    assert other["outcome"] == "unknown_code"


async def test_what_is_unknown_is_so_in_one_way(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    scanner, code = brand.scanner(), brand.code(lot, 0)
    answers = [
        await scanner.send(CODES, brand.token("alice"), parameter=text)
        for text in (
            "0" * 24,
            code[:-1] + ("0" if code[-1] != "0" else "1"),
            brand.code(lot, 2),
            brand.code(lot + 1, 0),
        )
    ]
    assert {(answer.status, answer.outcome) for answer in answers} == {(404, "unknown_code")}
    assert len({answer.body for answer in answers}) == 1
    for text in ("x", "0" * 23, "0" * 513, "https://s.example/", "\x00" * 24, "零" * 24, " "):
        answer = await scanner.look_up("alice", text)
        assert (answer["status"], answer["outcome"]) == (400, "malformed"), text
        assert str(answer["detail"]).startswith("code: ")


async def test_a_blocked_lot(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    scanner = brand.scanner()
    await scanner.scan("alice", brand.code(lot, 0))
    await lots.block(brand.store, lot, by="test")
    await scanner.directory.refresh()  # as a worker's eye does
    for serial in (0, 1):
        answer = await scanner.look_up("alice", brand.code(lot, serial))
        assert (answer["status"], answer["outcome"]) == (410, "blocked")


async def test_only_members_ask(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(1)
    scanner = brand.scanner()
    for text in (brand.code(lot, 0), "0" * 24, "x"):
        for token in ("", "a.b.c", brand.token("alice")[:-4] + "AAAA"):
            assert (await scanner.send(CODES, token, parameter=text)).outcome == "unauthorized"
        assert (await scanner.send(CODES, brand.service_token(), parameter=text)).outcome == "forbidden"


async def test_a_store_that_does_not_answer(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(1)
    scanner, code = brand.scanner(), brand.code(lot, 0)
    assert (await scanner.look_up("alice", code))["outcome"] == "genuine"
    async with store_stopped(brand), asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(*(scanner.look_up("alice", code) for _ in range(50)))
    assert {answer["outcome"] for answer in answers} == {"unavailable"}
    assert (await scanner.look_up("alice", code))["outcome"] == "genuine"


async def test_a_store_that_went_back_is_not_read_from(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(1)
    scanner, code = brand.scanner(), brand.code(lot, 0)
    await scanner.scan("alice", code)
    await scanner.directory.refresh()
    await brand.store.client.execute_command("FLUSHALL")
    with pytest.raises(StoreUnavailableError, match="gone back"):
        await scanner.directory.refresh()
    assert (await scanner.look_up("alice", code))["outcome"] == "unavailable"


async def test_a_record_that_cannot_be_read(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    scanner, key = brand.scanner(), brand.store.keys.claims(lot, 0)
    await brand.store.client.execute_command("HSET", key, "0", "short")
    assert (await scanner.look_up("alice", brand.code(lot, 0)))["outcome"] == "unavailable"
    assert (await scanner.look_up("alice", brand.code(lot, 1)))["scanned"] is False
    await brand.store.client.execute_command("DEL", key)
    await brand.store.client.execute_command("SET", key, "x")
    assert (await scanner.look_up("alice", brand.code(lot, 0)))["outcome"] == "unavailable"


async def test_more_than_may_wait_are_shed(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "WAITING_MAX", 5)
    await brand.apply(campaign_toml())
    lot = await brand.lot(20)
    scanner = brand.scanner()
    await scanner.directory.refresh()
    answers = await asyncio.gather(*(scanner.look_up("alice", code) for code in brand.codes(lot, range(20))))
    assert [answer["outcome"] for answer in answers] == ["genuine"] * 5 + ["overloaded"] * 15


async def test_over_http(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml())
        lot = await run.brand.lot(1)
        text = run.brand.code(lot, 0)
        alice = f"Authorization: Bearer {run.brand.token('alice')}"
        async with run.phone() as phone:
            first = await phone.send(http_get(f"/v1/codes/{text}", alice))
            assert (first.status, first.headers["content-type"]) == (200, "application/json")
            url = f"https://s.example/c/{text}?utm=a+b#x"
            for carrier in (text, url, quote(url, safe=""), f" {text} "):
                reply = await phone.send(http_get(f"/v1/codes/{quote(carrier, safe='')}", alice))
                assert (reply.status, reply.body) == (200, first.body), carrier
            # A URL that is not encoded is a path of its own.
            assert (await phone.send(http_get(f"/v1/codes/{url}", alice))).status == 404
            assert (await phone.send(http_get("/v1/codes/", alice))).status == 404
            assert (await phone.send(http_get("/v1/codes/%FF%FE", alice))).status == 404
            assert (await phone.send(http_get(f"/v1/codes/{quote('零' * 24)}", alice))).status == 400
            assert (await phone.send(http_get(f"/v1/codes/{text}"))).status == 401
            reply = await phone.send(http_get(f"/v1/codes/{text}", alice, method="DELETE"))
            assert (reply.status, reply.headers["allow"]) == (405, "GET")
        async with run.phone() as phone:
            assert (await phone.send(http_get(f"/v1/codes/{'0' * 4090}", alice))).status == 414
        _, metrics = await run.operations("/metrics")
        assert 'scanner_requests_total{outcome="genuine"} 5.0' in metrics
        assert orjson.loads(first.body)["scanned"] is False
