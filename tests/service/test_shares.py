"""Shared packets: a scan opens one, friends claim what is in it, each once, until it is used up or over."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from scanner.codes import CodeId, Keyring, Share
from scanner.ledger import operations
from tests.brand import SHARES, Brand, campaign_toml
from tests.clock import frozen_clock
from tests.running import running
from tests.service.pools import NO_CHANNELS, as_replay, entries, friends, http_to, malformed, wheel

PRIZE = {"pool": "friends", "prize": "p7", "kind": "points", "amount": 7, "beneficiary": "member"}
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def opened(brand: Brand, pools: str | None = None) -> str:
    """The token of a packet that alice's scan has opened."""
    await brand.apply(campaign_toml(pools=pools or friends()))
    lot = await brand.lot(2)
    answer = await brand.scanner().scan("alice", brand.code(lot, 1))
    assert answer["outcome"] == "accepted"
    return str(answer["share"])


async def test_friends_open_a_packet_each_once(brand: Brand) -> None:
    share = await opened(brand)
    scanner = brand.scanner()
    first = await scanner.open_share("bob", share)
    assert list(first) == [
        "outcome",
        "claim_id",
        "replayed",
        "campaign",
        "pool",
        "opened_at",
        "awards",
        "status",
    ]
    assert (first["outcome"], first["replayed"], first["campaign"]) == ("accepted", False, "spring")
    assert (first["pool"], first["awards"], first["status"]) == ("friends", [PRIZE], 200)
    assert await scanner.open_share("bob", share) == {**first, "replayed": True}
    second = await scanner.open_share("carol", share)
    assert second["claim_id"] != first["claim_id"]
    third = await scanner.open_share("dan", share)
    assert (third["status"], third["outcome"]) == (410, "share_used_up")
    own = await scanner.open_share("alice", share)
    assert (own["status"], own["outcome"]) == (403, "own_share")
    assert not (await brand.audit()).differences


async def test_the_entries_say_all_that_was_said(brand: Brand) -> None:
    share = await opened(brand, friends(more='giver = "last"'))
    scanner = brand.scanner()
    token = brand.token("bob", role="worker", tier="gold", seller="s", inviter="i")
    first = await scanner.asked(SHARES, token, {"channel": "mini"}, parameter=share, trace=TRACE)
    await scanner.open_share("carol", share)
    [scan] = await entries(brand, "scan.accepted")
    bob, carol = await entries(brand, "share.claimed")
    for entry in (bob, carol):
        assert entry.pop("rules") == scan["rules"]
        assert entry.pop("at").isdigit()
        assert orjson.loads(entry.pop("awards")) == [PRIZE]
    common = {
        "type": "share.claimed",
        "campaign": "spring",
        "pool": "friends",
        "share": scan["id"],
        "lot": scan["lot"],
        "serial": scan["serial"],
        "kid": str(brand.keyring.minting_kid),
        "giver": "alice",
    }
    assert bob == common | {
        "id": first["claim_id"],
        "member": "bob",
        "role": "worker",
        "tier": "gold",
        "channel": "mini",
        "trace": TRACE,
        "slot": "1",
    }
    assert orjson.loads(carol.pop("giver_awards")) == [{**PRIZE, "beneficiary": "giver"}]
    assert carol.pop("id")
    assert carol == common | {"member": "carol", "slot": "2"}


@pytest.mark.parametrize(("giver", "turns"), [("first", [1, 0, 0]), ("last", [0, 0, 1])])
async def test_the_giver_has_a_turn_and_friends_are_told_of_their_own(
    brand: Brand, giver: str, turns: list[int]
) -> None:
    share = await opened(brand, friends(slots=3, more=f'giver = "{giver}"'))
    scanner = brand.scanner()
    for name in ("bob", "carol", "dan"):
        first = await scanner.open_share(name, share)
        assert first["awards"] == [PRIZE]
        assert await scanner.open_share(name, share) == {**first, "replayed": True}
    claims = await entries(brand, "share.claimed")
    assert [len(orjson.loads(entry.get("giver_awards", "[]"))) for entry in claims] == turns
    left = await brand.store.client.hget(brand.store.keys.pool("spring", "friends"), "p7")
    assert left == b"6"
    assert not (await brand.audit()).differences


async def test_an_empty_pool_still_takes_slots(brand: Brand) -> None:
    share = await opened(brand, friends(slots=2, stock=1))
    scanner = brand.scanner()
    answers = [await scanner.open_share(name, share) for name in ("bob", "carol", "dan")]
    assert [answer.get("awards") for answer in answers] == [[PRIZE], [], None]
    assert answers[2]["outcome"] == "share_used_up"


async def test_a_repeated_claim_is_answered_the_same_for_ever(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    share = await opened(clock.brand, friends(slots=1))
    first = await clock.brand.scanner().send(SHARES, clock.brand.token("bob"), b"", parameter=share)
    for seconds in (0, 3_600, 86_400 * 4000):
        await clock.forward(seconds)
        again = await clock.brand.scanner().send(
            SHARES, clock.brand.token("bob", tier="new"), {"channel": "app"}, parameter=share
        )
        assert (again.outcome, again.body) == ("replayed", as_replay(first))
        assert (await clock.brand.scanner().open_share("carol", share))["status"] == 410
    assert len(await entries(brand, "share.claimed")) == 1


async def test_a_packet_is_open_for_its_time(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    share = await opened(clock.brand)
    scanner = clock.brand.scanner()
    await clock.forward(3599.999)
    assert (await scanner.open_share("bob", share))["outcome"] == "accepted"
    await clock.forward(0.001)
    over = await scanner.open_share("carol", share)
    assert (over["status"], over["outcome"]) == (410, "share_over")
    # Over for the giver too, who is told so and not that it is their own.
    assert (await scanner.open_share("alice", share))["outcome"] == "share_over"


async def test_the_campaign_must_run(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    await clock.brand.apply(campaign_toml(pools=friends(), ends="2090-06-01T12:10:00+08:00"))
    lot = await clock.brand.lot(1)
    scanner = clock.brand.scanner()
    share = (await scanner.scan("alice", clock.brand.code(lot, 0)))["share"]
    await operations.pause(clock.brand.store, "spring", by="test")
    assert (await scanner.open_share("bob", share))["outcome"] == "not_active"
    await operations.resume(clock.brand.store, "spring", by="test")
    assert (await scanner.open_share("bob", share))["outcome"] == "accepted"
    await clock.forward(600.001)
    assert (await scanner.open_share("carol", share))["outcome"] == "share_over"


async def test_a_friends_limit_is_the_pools(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    await clock.brand.apply(campaign_toml(pools=friends(more="limits = { per_day = 1 }")))
    lot = await clock.brand.lot(2)
    scanner = clock.brand.scanner()
    shares = [(await scanner.scan("alice", clock.brand.code(lot, serial)))["share"] for serial in range(2)]
    assert (await scanner.open_share("bob", shares[0]))["outcome"] == "accepted"
    refused = await scanner.open_share("bob", shares[1])
    assert (refused["outcome"], refused["resets_at"]) == ("limit_reached", "2090-06-01T16:00:00.000Z")
    assert (await scanner.open_share("bob", shares[0]))["replayed"] is True


async def test_friends_race_for_the_last_slot(brand: Brand) -> None:
    share = await opened(brand, friends(slots=3))
    for size in (256, 1):
        scanner = brand.scanner(batch_max=size, away_max=4)
        await scanner.directory.refresh()
        answers = await asyncio.gather(*(scanner.open_share(f"f{size}-{n}", share) for n in range(20)))
        outcomes = Counter(answer["outcome"] for answer in answers)
        assert outcomes == ({"accepted": 3, "share_used_up": 17} if size == 256 else {"share_used_up": 20})
    slots = [entry["slot"] for entry in await entries(brand, "share.claimed")]
    assert slots == ["1", "2", "3"]
    assert not (await brand.audit()).differences


async def test_a_friend_taps_twice_at_once(brand: Brand) -> None:
    share = await opened(brand)
    scanner = brand.scanner()
    answers = await asyncio.gather(*(scanner.open_share("bob", share) for _ in range(5)))
    assert Counter(answer["replayed"] for answer in answers) == {False: 1, True: 4}
    assert len(await entries(brand, "share.claimed")) == 1


async def test_tokens_of_packets_that_are_none(brand: Brand) -> None:
    share = await opened(brand, friends() + wheel())
    scanner, keys = brand.scanner(), brand.keyring.share_keys()
    real = keys.open(share)
    raw = urlsafe_b64decode(share)
    flipped = [urlsafe_b64encode(bytes([*raw[:n], raw[n] ^ 1, *raw[n + 1 :]])).decode() for n in range(33)]
    # Sealed with the right key, and yet not what the campaign has: they cannot come from us.
    sealed = [keys.seal(real._replace(**change)) for change in ({"campaign_no": 9}, {"pool_no": 2})]
    foreign = Keyring.new().share_keys().seal(Share(CodeId(1, 1, 0), 1, 1, 0))
    texts = ["x", "A" * 44, share[:-1], share + "A", share + "=", "é" * 44, "\x00", "." * 4000]
    for token in (*flipped, *sealed, foreign, *texts):
        answer = await scanner.open_share("bob", token)
        assert (answer["status"], answer["outcome"]) == (404, "unknown_share"), token
    revoked = replace(brand, keyring=brand.keyring.rotate().revoke(real.code.kid)).scanner()
    assert (await revoked.open_share("bob", share))["outcome"] == "unknown_share"
    assert (await scanner.open_share("bob", share))["outcome"] == "accepted"


async def test_a_packet_that_the_store_does_not_know_is_not_called_unknown(brand: Brand) -> None:
    share = await opened(brand)
    real = brand.keyring.share_keys().open(share)
    never = brand.keyring.share_keys().seal(real._replace(code=real.code._replace(serial=0)))
    assert (await brand.scanner().open_share("bob", never))["outcome"] == "unavailable"


async def test_only_members_are_friends(brand: Brand) -> None:
    share = await opened(brand)
    scanner = brand.scanner()
    for parameter in (share, "x"):
        answer = await scanner.send(SHARES, brand.service_token(), b"", parameter=parameter)
        assert answer.outcome == "forbidden"
        for token in ("", "a.b.c", share, brand.token("bob")[:-4] + "AAAA"):
            assert (await scanner.send(SHARES, token, b"", parameter=parameter)).outcome == "unauthorized"


async def test_bodies_that_are_none(brand: Brand) -> None:
    share = await opened(brand)
    scanner, token = brand.scanner(), brand.token("bob")
    for data, field in malformed({}, {"channel": NO_CHANNELS}):
        answer = await scanner.send(SHARES, token, data, parameter=share)
        assert (answer.status, answer.outcome) == (400, "malformed"), data
        assert str(orjson.loads(answer.body)["detail"]).startswith(field), (data, answer.body)
    assert not await entries(brand, "share.claimed")


async def test_over_http(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run:
        share = await opened(run.brand)
        path = SHARES.replace("{token}", share)
        bob, carol = (f"Bearer {run.brand.token(name)}" for name in ("bob", "carol"))
        async with run.phone() as phone:
            first = await phone.send(http_to(path, b"", authorization=bob))
            assert (first.status, first.data["awards"]) == (200, [PRIZE])
            # Nothing at all is as good as an empty body.
            nothing = http_to(path, b"", authorization=bob).replace(b"\r\nContent-Length: 0", b"")
            for request in (nothing, http_to(path, b"{}", authorization=bob)):
                assert (await phone.send(request)).body == first.body.replace(b"false", b"true")
            assert (await phone.send(http_to(path, b"{}", authorization=carol))).status == 200
            encoded = path.replace(share, f"%{ord(share[0]):02X}{share[1:]}")
            assert (await phone.send(http_to(encoded, b"", authorization=bob))).outcome == "replayed"
            for wrong in (path + "/", path.replace("/claims", ""), path.replace(share, f"{share}/x")):
                assert (await phone.send(http_to(wrong, b"", authorization=bob))).status == 404
