"""Draws by request: chances and prices, one draw a request id for ever, and everything that is refused."""

import asyncio
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from tests.brand import DRAWS, Brand, campaign_toml
from tests.running import running
from tests.service.pools import (
    ASK,
    BOUGHT,
    NO_CHANNELS,
    NO_NAMES,
    NO_PERSONS,
    NO_REQUEST_IDS,
    as_replay,
    entries,
    http_to,
    malformed,
    wheel,
    with_chances,
)

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
PRIZE = {
    "pool": "wheel",
    "prize": "p5",
    "kind": "points",
    "amount": 5,
    "game": "wheel",
    "beneficiary": "member",
}


async def test_a_member_draws_as_often_as_they_have_chances(brand: Brand) -> None:
    await with_chances(brand)
    scanner = brand.scanner()
    first = await scanner.draw("alice", **ASK, channel="mini")
    assert list(first) == [
        "outcome", "draw_id", "replayed", "campaign", "pool", "drawn_at", "awards", "status",
    ]  # fmt: skip
    assert first | {"draw_id": "", "drawn_at": ""} == {
        "outcome": "accepted",
        "draw_id": "",
        "replayed": False,
        "campaign": "spring",
        "pool": "wheel",
        "drawn_at": "",
        "awards": [PRIZE],
        "status": 200,
    }
    second = await scanner.draw("alice", **ASK | {"request_id": "r2"})
    assert second["draw_id"] != first["draw_id"]
    third = await scanner.draw("alice", **ASK | {"request_id": "r3"})
    assert (third["status"], third["outcome"]) == (409, "no_chance")
    assert (await scanner.draw("bob", **ASK))["outcome"] == "no_chance"
    assert not (await brand.audit()).differences


async def test_the_entry_says_all_that_was_said(brand: Brand) -> None:
    await with_chances(brand)
    scanner = brand.scanner()
    mine = await scanner.asked(
        DRAWS, brand.token("alice", role="worker", tier="gold"), ASK | {"channel": "mini"}, trace=TRACE
    )
    theirs = await scanner.serve(DRAWS, **BOUGHT, role="dealer")
    by_member, by_service = await entries(brand, "draw.made")
    kid = str(brand.keyring.minting_kid)
    for entry in (by_member, by_service):
        assert entry.pop("rules")
        assert entry.pop("at").isdigit()
        assert orjson.loads(entry.pop("awards")) == [PRIZE]
    common = {"type": "draw.made", "campaign": "spring", "pool": "wheel", "member": "alice", "kid": kid}
    assert by_member == common | {
        "id": mine["draw_id"],
        "role": "worker",
        "tier": "gold",
        "channel": "mini",
        "request": "r1",
        "by": "alice",
        "trace": TRACE,
    }
    assert by_service == common | {
        "id": theirs["draw_id"],
        "role": "dealer",
        "request": "r1",
        "by": "crm",
        "paid": '{"points":100}',
    }


async def test_a_repeated_request_is_answered_the_same_for_ever(brand: Brand) -> None:
    await with_chances(brand)
    token, service = brand.token("alice"), brand.service_token()
    first = await brand.scanner().send(DRAWS, token, ASK)
    bought = await brand.scanner().send(DRAWS, service, BOUGHT)
    assert (first.outcome, bought.outcome) == ("accepted", "accepted")
    scanner = brand.scanner()  # started anew
    for _ in range(3):
        again = await scanner.send(DRAWS, token, ASK)
        assert (again.outcome, again.status, again.body) == ("replayed", 200, as_replay(first))
        assert (await scanner.send(DRAWS, service, BOUGHT)).body == as_replay(bought)
    # What does not say what is drawn for may change; the key that mints, too.
    rotated = replace(brand, keyring=brand.keyring.rotate()).scanner()
    for more in ({"channel": "mini"}, {"later": [1]}):
        assert (await rotated.send(DRAWS, token, ASK | more)).body == as_replay(first)
    assert len(await entries(brand, "draw.made")) == 2


async def test_a_request_id_is_for_one_thing_and_of_one_sender(brand: Brand) -> None:
    await with_chances(brand, wheel() + wheel().replace('"wheel"', '"other"').replace("tickets", "more"))
    scanner = brand.scanner()
    assert (await scanner.draw("alice", **ASK))["outcome"] == "accepted"
    reused = await scanner.draw("alice", **ASK | {"pool": "other"})
    assert (reused["status"], reused["outcome"]) == (409, "request_reused")
    assert (await scanner.draw("bob", **ASK))["outcome"] == "no_chance"
    assert (await scanner.serve(DRAWS, **BOUGHT))["outcome"] == "accepted"
    for change in ({"member": "bob"}, {"pool": "other"}, {"paid": None}):
        assert (await scanner.serve(DRAWS, **BOUGHT | change))["outcome"] == "request_reused"
    assert (await scanner.serve(DRAWS, **BOUGHT | {"paid": {"points": 1}}))["outcome"] == "request_reused"


async def test_a_service_uses_the_members_chance_too(brand: Brand) -> None:
    await with_chances(brand)
    scanner = brand.scanner()
    outcomes = [
        (await scanner.serve(DRAWS, **ASK | {"member": "alice", "request_id": str(n)}))["outcome"]
        for n in range(3)
    ]
    assert outcomes == ["accepted", "accepted", "no_chance"]


@pytest.mark.parametrize(
    "more", [{"member": "alice"}, {"member": "bob"}, {"role": "a"}, {"tier": "a"}, {"paid": {"points": 100}}]
)
async def test_a_member_speaks_for_nobody_and_pays_nothing(brand: Brand, more: dict[str, object]) -> None:
    await with_chances(brand)
    answer = await brand.scanner().draw("alice", **ASK, **more)
    assert (answer["status"], answer["outcome"]) == (403, "forbidden")
    assert not await entries(brand, "draw.made")


@pytest.mark.parametrize(
    ("campaign", "pool"), [("spring", "tickets"), ("spring", "none"), ("none", "wheel"), ("wheel", "spring")]
)
async def test_only_pools_that_are_entered_by_draws(brand: Brand, campaign: str, pool: str) -> None:
    await with_chances(brand)
    answer = await brand.scanner().draw("alice", **ASK | {"campaign": campaign, "pool": pool})
    assert (answer["status"], answer["outcome"]) == (404, "unknown_pool")


async def test_what_was_applied_a_moment_ago_is_known(brand: Brand) -> None:
    """No eye watches the store for this worker: it looks where it does not know something."""
    await with_chances(brand)
    scanner = brand.scanner()
    assert (await scanner.draw("alice", **ASK))["outcome"] == "accepted"
    await brand.apply(campaign_toml(pools=wheel() + wheel().replace('"wheel"', '"new"').replace(
        "tickets", "more")))  # fmt: skip
    assert (await scanner.serve(DRAWS, **BOUGHT | {"pool": "new"}))["outcome"] == "accepted"
    await brand.apply(campaign_toml("autumn", wheel()))
    assert (await scanner.serve(DRAWS, **BOUGHT | {"campaign": "autumn", "request_id": "r2"}))[
        "outcome"
    ] == "accepted"
    # And where what it knows is old: another version of the rules is in force.
    await brand.apply(campaign_toml(pools=wheel(stock=20) + wheel().replace('"wheel"', '"new"').replace(
        "tickets", "more")))  # fmt: skip
    assert (await scanner.draw("alice", **ASK | {"request_id": "r2"}))["outcome"] == "accepted"


async def test_an_empty_pool_is_drawn_from_all_the_same(brand: Brand) -> None:
    """A chance is used, and nothing is won: that is what the pool's other drawers were told as well."""
    await with_chances(brand, wheel(stock=1))
    scanner = brand.scanner()
    first, second = [await scanner.draw("alice", **ASK | {"request_id": str(n)}) for n in range(2)]
    assert (first["awards"], second["awards"]) == ([PRIZE], [])


async def test_one_chance_and_two_draws_at_once(brand: Brand) -> None:
    await with_chances(brand, wheel(amount=1))
    for size in (256, 1):  # in one batch, and in two
        scanner = brand.scanner(batch_max=size)
        await scanner.directory.refresh()
        answers = await asyncio.gather(
            *(scanner.draw("alice", **ASK | {"request_id": f"{size}-{n}"}) for n in range(2))
        )
        outcomes = Counter(answer["outcome"] for answer in answers)
        expected = {"accepted": 1, "no_chance": 1} if size == 256 else {"no_chance": 2}
        assert outcomes == expected
    assert len(await entries(brand, "draw.made")) == 1


async def test_one_request_sent_twice_at_once_is_one_draw(brand: Brand) -> None:
    await with_chances(brand)
    scanner = brand.scanner()
    answers = await asyncio.gather(*(scanner.draw("alice", **ASK) for _ in range(5)))
    assert Counter(answer["replayed"] for answer in answers) == {False: 1, True: 4}
    assert len({answer["draw_id"] for answer in answers}) == 1
    assert len(await entries(brand, "draw.made")) == 1


WRONG = {
    "campaign": NO_NAMES,
    "pool": NO_NAMES,
    "request_id": NO_REQUEST_IDS,
    "channel": NO_CHANNELS,
    "member": NO_PERSONS,
    "role": NO_PERSONS,
    "tier": NO_PERSONS,
    "paid": (
        7, "100", [], {}, {"points": "100"}, {"points": 0}, {"points": -1}, {"points": 1.5}, {"points": True},
        {"points": None}, {"points": 10**16}, {"points": 2**63},
    ),
}  # fmt: skip


async def test_bodies_that_are_none(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=wheel()))
    scanner, token = brand.scanner(), brand.service_token()
    cases = list(malformed(ASK | {"member": "alice"}, WRONG))
    for data, field in cases:
        answer = await scanner.send(DRAWS, token, data)
        assert (answer.status, answer.outcome) == (400, "malformed"), data
        assert str(orjson.loads(answer.body)["detail"]).startswith(field), (data, answer.body)
    assert not await entries(brand, "draw.made")


async def test_tokens_that_are_none(brand: Brand) -> None:
    scanner = brand.scanner()
    for token in ("", "a.b.c", brand.token("alice")[:-4] + "AAAA", "é" * 40, "a" * 3000):
        assert (await scanner.send(DRAWS, token, ASK)).outcome == "unauthorized"
    # The token comes before the body: who has none learns nothing of the form.
    assert (await scanner.send(DRAWS, "", b"{")).outcome == "unauthorized"


async def test_over_http(tmp_path) -> None:
    async with running(tmp_path / "data") as run:
        await with_chances(run.brand)
        async with run.phone() as phone:
            request = http_to(
                DRAWS,
                orjson.dumps(ASK),
                authorization=f"Bearer {run.brand.token('alice')}",
                traceparent=TRACE,
            )
            first, again = await phone.send(request), await phone.send(request)
            assert (first.status, first.outcome, again.outcome) == (200, "accepted", "replayed")
            assert again.body == first.body.replace(b"false", b"true")
            refused = await phone.send(http_to(DRAWS, orjson.dumps(ASK)))
            assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        [entry] = await entries(run.brand, "draw.made")
        assert entry["trace"] == TRACE
