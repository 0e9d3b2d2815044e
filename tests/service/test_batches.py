"""Scans in bulk: each is answered as if it had come alone, in order, and phones find room beside them."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from scanner.ledger.claims import Answer
from scanner.ledger.frames import Asked, WrongPin
from scanner.service.batcher import OverloadedError
from scanner.service.batches import BODY_MAX_BYTES
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.service.requests import SCANS_MAX
from tests.brand import BATCH, PRODUCT, SCANS, Brand, batcher_for, campaign_toml, deck_toml
from tests.phone import http_request
from tests.running import running
from tests.service.pools import NO_CHANNELS, NO_PERSONS, entries, http_to, malformed

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def results(brand: Brand, *scans: object, trace: str = "") -> list[dict[str, object]]:
    scanner = brand.scanner()
    answer = await scanner.send(BATCH, brand.service_token(), {"scans": scans}, trace=trace)
    assert (answer.outcome, answer.status) == ("batch", 200)
    found = orjson.loads(answer.body)["results"]
    assert len(found) == len(scans)
    return found


async def test_each_is_answered_as_if_it_had_come_alone(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot, with_pin, blocked = (
        await brand.lot(9),
        await brand.lot(9, pin=True),
        await brand.lot(9, active=False),
    )
    code = brand.code(lot, 0)
    batch = await results(
        brand,
        {"member": "alice", "code": code},
        {"member": "alice", "code": code.lower()},
        {"member": "bob", "code": f"https://s.example/c/{code}"},
        {"member": "bob", "code": "0" * 24},
        {"member": "bob", "code": "no code"},
        {"member": "bob", "code": brand.code(with_pin, 0)},
        {"member": "bob", "code": brand.code(with_pin, 0), "pin": "000000"},
        {"member": "bob", "code": brand.code(blocked, 0)},
    )
    assert [(result["status"], result["outcome"]) for result in batch] == [
        (200, "accepted"),
        (200, "accepted"),
        (409, "claimed"),
        (404, "unknown_code"),
        (400, "malformed"),
        (403, "pin_required"),
        (403, "pin_wrong"),
        (409, "not_active"),
    ]
    alone = await brand.scanner().scan("alice", code)
    assert batch[1] == alone == {**batch[0], "replayed": True}
    assert batch[2] == await brand.scanner().scan("bob", code)


async def test_what_a_scan_says_comes_through(brand: Brand) -> None:
    seller = '\n[[pool]]\nid = "dealer"\ndraw = "every"\nbeneficiary = "seller"\nentry = { tiers = ["gold"] }'
    prize = '\n[[pool.prize]]\nid = "r"\nkind = "points"\namount = 3\n'
    await brand.apply(campaign_toml(pools=seller + prize))
    lot = await brand.lot(2)
    said = {"role": "worker", "tier": "gold", "seller": "s-1", "inviter": "i-1", "channel": "shop"}
    place = {"location": {"lat": 1.5, "lng": -2}}
    batch = await results(brand, {"member": "m-1", "code": brand.code(lot, 0), **said, **place}, trace=TRACE)
    assert batch[0]["awards"] == [
        {"pool": "dealer", "prize": "r", "kind": "points", "amount": 3, "beneficiary": "seller"}
    ]
    [entry] = await entries(brand, "scan.accepted")
    expected = said | {
        "member": "m-1",
        "trace": TRACE,
        "loc": '{"lat":1.5,"lng":-2.0}',
        "product": PRODUCT,
    }
    assert expected.items() <= entry.items()
    # The member's own token is no other person's: alone, the same scan is a repetition.
    assert (await brand.scanner().scan("m-1", brand.code(lot, 0)))["replayed"] is True


async def test_five_hundred_travel_together(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=deck_toml(300)))
    lot = await brand.lot(SCANS_MAX)
    scanner = brand.scanner()
    await scanner.directory.refresh()
    scans = [{"member": f"m{n % 7}", "code": code} for n, code in enumerate(brand.codes(lot, range(500)))]
    answer = await scanner.send(BATCH, brand.service_token(), {"scans": scans})
    found = orjson.loads(answer.body)["results"]
    assert Counter(result["outcome"] for result in found) == {"accepted": SCANS_MAX}
    assert sum(len(result["awards"]) for result in found) == 300
    assert scanner.cells.get("batches") == 2  # of 256 each
    assert scanner.cells.get("in_batch.accepted") == SCANS_MAX
    by_id = {entry["id"]: entry["member"] for entry in await entries(brand, "scan.accepted")}
    assert [by_id[result["scan_id"]] for result in found] == [scan["member"] for scan in scans]
    assert not (await brand.audit()).differences


WRONG = {
    "code": ("", "0" * 513, 7, None, ["x"]),
    "member": (*NO_PERSONS, None),
    "pin": ("12345", 123456),
    "channel": NO_CHANNELS,
    "location": ("here", {"lat": 91, "lng": 0}),
    "role": NO_PERSONS,
    "tier": NO_PERSONS,
    "seller": NO_PERSONS,
    "inviter": NO_PERSONS,
}


async def test_one_that_is_wrong_is_named_and_the_others_are_scanned(brand: Brand) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    good = [{"member": "alice", "code": brand.code(lot, serial)} for serial in (0, 1)]
    wrong = [({**good[0], field: value}, field) for field, values in WRONG.items() for value in values]
    wrong += [({"code": "x"}, "member"), ({"member": "m"}, "code")]
    wrong += [(value, "") for value in (None, 7, "x", [], [good[0]])]
    batch = await results(brand, good[0], *(scan for scan, _ in wrong), good[1])
    assert [result["outcome"] for result in (batch[0], batch[-1])] == ["accepted", "accepted"]
    for place, (result, (scan, field)) in enumerate(zip(batch[1:-1], wrong, strict=True), 1):
        assert (result["status"], result["outcome"]) == (400, "malformed"), scan
        path = f"scans.{place}.{field}" if field else f"scans.{place}: "
        assert result["detail"].startswith(path), (scan, result)


async def test_bodies_that_are_none(brand: Brand) -> None:
    scanner, token = brand.scanner(), brand.service_token()
    one = {"member": "m", "code": "x"}
    many = ([], [one] * 501, None, 7, "x", {}, {"0": one})
    for data, field in malformed({"scans": [one]}, {"scans": many}):
        answer = await scanner.send(BATCH, token, data)
        assert (answer.status, answer.outcome) == (400, "malformed"), data[:80]
        assert str(orjson.loads(answer.body)["detail"]).startswith(field), (data[:80], answer.body)


async def test_only_services_bring_batches(brand: Brand) -> None:
    scanner = brand.scanner()
    for token in (brand.token("alice"), brand.token("alice", role="SERVICE"), brand.token("crm")):
        assert (await scanner.send(BATCH, token, {"scans": []})).outcome == "forbidden"
    for token in ("", "a.b.c", brand.service_token()[:-4] + "AAAA"):
        assert (await scanner.send(BATCH, token, {"scans": []})).outcome == "unauthorized"


async def test_a_service_is_no_member(brand: Brand) -> None:
    """On its own behalf a service scans nothing: what it wins would be nobody's."""
    await brand.apply(campaign_toml())
    lot = await brand.lot(1)
    scanner = brand.scanner()
    answer = await scanner.asked(SCANS, brand.service_token(), {"code": brand.code(lot, 0)})
    assert (answer["status"], answer["outcome"]) == (403, "forbidden")
    assert not await entries(brand, "scan.accepted")


async def test_phones_find_room_beside_batches(brand: Brand) -> None:
    """A batch fills half of the queue at most; what does not fit is told so, and the rest is scanned."""
    await brand.apply(campaign_toml())
    lot = await brand.lot(100)
    scanner = brand.scanner(batch_max=1, away_max=1, waiting_max=20)
    await scanner.directory.refresh()
    codes = brand.codes(lot, range(100))
    batch = [
        asyncio.create_task(
            scanner.send(
                BATCH,
                brand.service_token(),
                {"scans": [{"member": "m", "code": code} for code in codes[start : start + 30]]},
            )
        )
        for start in (0, 30)
    ]
    await asyncio.sleep(0)  # the batches ask first
    await asyncio.sleep(0)
    phones = await asyncio.gather(*(scanner.scan("alice", code) for code in codes[60:65]))
    assert {answer["outcome"] for answer in phones} == {"accepted"}
    found = [result for task in batch for result in orjson.loads((await task).body)["results"]]
    outcomes = Counter(result["outcome"] for result in found)
    assert outcomes.keys() == {"accepted", "overloaded"}
    assert 10 <= outcomes["accepted"] <= 12
    assert {result["status"] for result in found if result["outcome"] == "overloaded"} == {503}


async def test_the_bulk_lane_ends_at_half_of_the_queue() -> None:
    async def away_for_ever(batch: Sequence[Asked]) -> list[Answer]:
        return await asyncio.get_running_loop().create_future()

    def claim(n: int) -> WrongPin:
        return WrongPin(1, n, "alice")

    cells = Cells(bytearray(ROW_BYTES), 0)
    batcher = batcher_for(away_for_ever, cells, batch_max=1, away_max=1, waiting_max=6)
    bulk = batcher.bulk
    batcher.submit(claim(0))
    await asyncio.sleep(0)  # that one is away: from here on they wait
    for n in (1, 2, 3):
        bulk.submit(claim(n))
    with pytest.raises(OverloadedError):
        bulk.submit(claim(9))
    for n in (4, 5, 6):
        batcher.submit(claim(n))
    for lane in (batcher, bulk):
        with pytest.raises(OverloadedError):
            lane.submit(claim(9))
    assert cells.get("waiting") == 6
    small = batcher_for(away_for_ever, cells, batch_max=1, away_max=1, waiting_max=1)
    small.bulk.submit(claim(0))  # there is room for one at least


async def test_a_fault_in_one_scan_takes_no_other_answer_away(
    brand: Brand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await brand.apply(campaign_toml())
    lot = await brand.lot(2)
    real = type(brand.scanner().directory).lot_of

    async def broken(self, code, gtin=None):
        if code.serial == 1:
            raise RuntimeError("hunter2")
        return await real(self, code, gtin)

    monkeypatch.setattr("scanner.ledger.directory.Directory.lot_of", broken)
    with caplog.at_level(logging.ERROR, "scanner"):
        batch = await results(brand, *({"member": "m", "code": code} for code in brand.codes(lot, range(2))))
    assert [result["outcome"] for result in batch] == ["accepted", "internal_error"]
    assert "hunter2" not in str(batch)
    assert "hunter2" in caplog.text


async def test_over_http(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml())
        lot = await run.brand.lot(SCANS_MAX)
        scans = [
            {"member": "m", "code": f"https://scan.example/{'x' * 800}?c={code}"[-512:]}
            for code in run.brand.codes(lot, range(SCANS_MAX))
        ]
        data = orjson.dumps({"scans": [{**scan, "code": scan["code"][-24:]} for scan in scans]})
        large = data[:-1] + b',"later":"' + b"x" * (BODY_MAX_BYTES - len(data) - 11) + b'"}'
        assert len(large) == BODY_MAX_BYTES
        service, member = (f"Bearer {token}" for token in (run.brand.service_token(), run.brand.token("m")))
        async with run.phone() as phone:
            reply = await phone.send(http_to(BATCH, large, authorization=service))
            assert reply.status == 200
            assert {result["outcome"] for result in reply.data["results"]} == {"accepted"}
        async with run.phone() as phone:
            assert (await phone.send(http_to(BATCH, large + b" ", authorization=service))).status == 413
        # Who may not is told so before the body is read: its head is enough.
        for authorization, status in ((member, 403), ("", 401), ("Bearer x", 401)):
            async with run.phone() as phone:
                head = http_to(BATCH, large, authorization=authorization)[: -len(large)]
                assert (await phone.send(head)).status == status
        async with run.phone() as phone:  # one scan is as small as ever
            reply = await phone.send(http_request(large, authorization=member))
            assert (reply.status, reply.outcome) == (413, "too_large")
        _, text = await run.operations("/metrics")
        assert 'scanner_requests_total{outcome="batch"} 1.0' in text
        assert 'scanner_batch_scans_total{outcome="accepted"} 500.0' in text
