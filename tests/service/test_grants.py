"""Grants: a service gives locked packets, each once, until none is left; a scan unlocks them."""

import asyncio
from collections import Counter
from pathlib import Path

import orjson
import pytest

from scanner.ledger import operations
from tests.brand import GRANTS, Brand, campaign_toml
from tests.clock import frozen_clock
from tests.running import running
from tests.service.pools import (
    NO_NAMES,
    NO_PERSONS,
    NO_REQUEST_IDS,
    as_replay,
    entries,
    http_to,
    locked,
    malformed,
    wheel,
)

ASK = {"request_id": "g1", "campaign": "spring", "pool": "locked", "member": "alice"}
PRIZE = {
    "pool": "locked",
    "prize": "cash",
    "kind": "cash",
    "amount": 500,
    "currency": "CNY",
    "beneficiary": "member",
}


async def test_a_packet_is_granted_and_a_scan_unlocks_it(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    await clock.brand.apply(campaign_toml(pools=locked()))
    lot = await clock.brand.lot(3)
    scanner = clock.brand.scanner()
    granted = await scanner.serve(GRANTS, **ASK)
    assert list(granted.items())[1:] == [
        ("grant_id", granted["grant_id"]),
        ("replayed", False),
        ("campaign", "spring"),
        ("pool", "locked"),
        ("member", "alice"),
        ("granted_at", "2090-06-01T04:00:00.000Z"),
        ("expires_at", "2090-06-01T05:00:00.000Z"),
        ("awards", [PRIZE]),
        ("status", 200),
    ]
    assert granted["outcome"] == "granted"
    assert (await scanner.scan("bob", clock.brand.code(lot, 0)))["awards"] == []
    await clock.forward(3599.999)
    assert (await scanner.scan("alice", clock.brand.code(lot, 1)))["awards"] == [PRIZE]
    assert (await scanner.scan("alice", clock.brand.code(lot, 2)))["awards"] == []
    [entry] = await entries(brand, "grant.made")
    assert orjson.loads(entry.pop("awards")) == [PRIZE]
    assert entry.pop("rules")
    start_ms = clock.now_ms - 3_599_999
    assert entry == {
        "type": "grant.made",
        "at": str(start_ms),
        "id": granted["grant_id"],
        "campaign": "spring",
        "pool": "locked",
        "member": "alice",
        "request": "g1",
        "by": "crm",
        "kid": str(brand.keyring.minting_kid),
        "expires": str(start_ms + 3_600_000),
    }
    assert not (await clock.brand.audit()).differences


async def test_a_repeated_grant_is_answered_the_same_for_ever(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    await clock.brand.apply(campaign_toml(pools=locked(stock=1), ends="2090-06-30T00:00:00+08:00"))
    name = '名 "\\ \u00e9'
    ask = ASK | {"member": name}
    first = await clock.brand.scanner().send(GRANTS, clock.brand.service_token(), ask)
    assert orjson.loads(first.body)["member"] == name
    assert first.outcome == "accepted"  # as metrics count it
    for moment in (0, 3_600, 86_400 * 60):  # then it has expired, then the campaign is over
        await clock.forward(moment)
        again = await clock.brand.scanner().send(GRANTS, clock.brand.service_token(), ask)
        assert (again.outcome, again.body) == ("replayed", as_replay(first))
    assert len(await entries(brand, "grant.made")) == 1


async def test_a_request_id_is_for_one_grant_and_of_one_service(brand: Brand) -> None:
    more = locked().replace('"locked"\ndraw', '"second"\ndraw')
    await brand.apply(campaign_toml(pools=locked() + more))
    scanner = brand.scanner()
    first = await scanner.serve(GRANTS, **ASK)
    for change in ({"member": "bob"}, {"pool": "second"}):
        answer = await scanner.serve(GRANTS, **ASK | change)
        assert (answer["status"], answer["outcome"]) == (409, "request_reused")
    other = await scanner.asked(GRANTS, brand.service_token("shop"), ASK)
    assert (other["outcome"], other["replayed"]) == ("granted", False)
    assert other["grant_id"] != first["grant_id"]


async def test_what_is_gone_is_sold_out(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=locked(stock=2)))
    scanner = brand.scanner()
    answers = [await scanner.serve(GRANTS, **ASK | {"request_id": str(n)}) for n in range(3)]
    assert [answer["outcome"] for answer in answers] == ["granted", "granted", "sold_out"]
    assert answers[2]["status"] == 409
    await operations.top_up(brand.store, "spring", "locked", "cash", 1, by="test")
    assert (await scanner.serve(GRANTS, **ASK | {"request_id": "2"}))["outcome"] == "granted"


async def test_grants_race_for_the_last_piece(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=locked(stock=1)))
    for size in (256, 1):
        scanner = brand.scanner(batch_max=size, away_max=4)
        await scanner.directory.refresh()
        answers = await asyncio.gather(
            *(
                scanner.serve(GRANTS, **ASK | {"request_id": f"{size}-{n}", "member": f"m{n}"})
                for n in range(20)
            )
        )
        outcomes = Counter(answer["outcome"] for answer in answers)
        assert outcomes == ({"granted": 1, "sold_out": 19} if size == 256 else {"sold_out": 20})
    assert not (await brand.audit()).differences


async def test_a_member_has_a_hundred_packets_at_most(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=locked(stock=200)))
    scanner = brand.scanner()
    answers = await asyncio.gather(
        *(scanner.serve(GRANTS, **ASK | {"request_id": str(n)}) for n in range(103))
    )
    outcomes = Counter(answer["outcome"] for answer in answers)
    assert outcomes == {"granted": 100, "limit_reached": 3}
    assert (await scanner.serve(GRANTS, **ASK | {"member": "bob"}))["outcome"] == "granted"


async def test_the_campaign_must_run(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    await clock.brand.apply(
        campaign_toml(pools=locked(), starts="2090-06-01T13:00:00+08:00", ends="2090-06-01T14:00:00+08:00")
    )
    scanner = clock.brand.scanner()
    early = await scanner.serve(GRANTS, **ASK)
    assert (early["outcome"], early["starts_at"]) == ("not_active", "2090-06-01T05:00:00.000Z")
    await clock.forward(3600)
    await operations.pause(clock.brand.store, "spring", by="test")
    assert (await scanner.serve(GRANTS, **ASK))["outcome"] == "not_active"
    await clock.forward(3600.001)
    await operations.resume(clock.brand.store, "spring", by="test")
    assert (await scanner.serve(GRANTS, **ASK))["outcome"] == "campaign_over"


@pytest.mark.parametrize(
    ("campaign", "pool"), [("spring", "wheel"), ("spring", "tickets"), ("spring", "x"), ("x", "locked")]
)
async def test_only_locked_pools_give_packets(brand: Brand, campaign: str, pool: str) -> None:
    await brand.apply(campaign_toml(pools=locked() + wheel()))
    answer = await brand.scanner().serve(GRANTS, **ASK | {"campaign": campaign, "pool": pool})
    assert (answer["status"], answer["outcome"]) == (404, "unknown_pool")


async def test_only_services_give_packets(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=locked()))
    scanner = brand.scanner()
    for token in (brand.token("alice"), brand.token("alice", role="Service"), brand.token("service")):
        # Before the body: who may not give learns nothing of the form.
        for body in (ASK, b"{"):
            assert (await scanner.send(GRANTS, token, body)).outcome == "forbidden"
    for token in ("", "a.b.c", brand.service_token()[:-4] + "AAAA"):
        assert (await scanner.send(GRANTS, token, ASK)).outcome == "unauthorized"
    assert not await entries(brand, "grant.made")


WRONG = {"campaign": NO_NAMES, "pool": NO_NAMES, "request_id": NO_REQUEST_IDS, "member": (*NO_PERSONS, None)}


async def test_bodies_that_are_none(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=locked()))
    scanner, token = brand.scanner(), brand.service_token()
    for data, field in malformed(ASK, WRONG):
        answer = await scanner.send(GRANTS, token, data)
        assert (answer.status, answer.outcome) == (400, "malformed"), data
        assert str(orjson.loads(answer.body)["detail"]).startswith(field), (data, answer.body)
    assert not await entries(brand, "grant.made")


async def test_over_http(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml(pools=locked()))
        async with run.phone() as phone:
            request = http_to(GRANTS, orjson.dumps(ASK), authorization=f"Bearer {run.brand.service_token()}")
            first, again = await phone.send(request), await phone.send(request)
            assert (first.status, again.body) == (200, first.body.replace(b"false", b"true"))
        _, text = await run.operations("/metrics")
        assert 'scanner_requests_total{outcome="accepted"} 1.0' in text
        assert 'scanner_requests_total{outcome="replayed"} 1.0' in text
