"""When a draw may be made: prices, conditions, limits, the campaign's time; all by the store's clock."""

from dataclasses import replace

import pytest

from scanner.ledger import operations
from tests.brand import DRAWS, Brand, campaign_toml
from tests.clock import frozen_clock
from tests.service.pools import ASK, BOUGHT, as_replay, entries, wheel, with_chances


async def test_a_price_is_paid_exactly_and_by_a_service(brand: Brand) -> None:
    await brand.apply(campaign_toml(pools=wheel() + wheel().replace('"wheel"', '"free"').replace(
        "tickets", "more").replace("price = { points = 100 }", "")))  # fmt: skip
    scanner = brand.scanner()
    for points in (99, 101):
        wrong = await scanner.serve(DRAWS, **BOUGHT | {"paid": {"points": points}})
        assert (wrong["status"], wrong["outcome"]) == (400, "malformed")
        assert str(wrong["detail"]).startswith("paid.points: ")
        assert "100" in str(wrong["detail"])
    free = await scanner.serve(DRAWS, **BOUGHT | {"pool": "free"})
    assert (free["outcome"], str(free["detail"])[:12]) == ("malformed", "paid.points:")
    assert (await scanner.serve(DRAWS, **BOUGHT | {"paid": None}))["outcome"] == "no_chance"
    assert (await scanner.serve(DRAWS, **BOUGHT))["outcome"] == "accepted"
    assert len(await entries(brand, "draw.made")) == 1


async def test_the_conditions_of_a_pool_hold_for_draws(brand: Brand) -> None:
    await with_chances(brand, wheel(more='entry = { roles = ["worker"], channels = ["mini"] }'))
    scanner = brand.scanner()
    worker = brand.token("alice", role="worker")
    for token, channel in ((worker, "web"), (worker, None), (brand.token("alice"), "mini")):
        answer = await scanner.asked(DRAWS, token, ASK | {"channel": channel})
        assert (answer["status"], answer["outcome"]) == (403, "no_entry")
    assert (await scanner.serve(DRAWS, **BOUGHT, channel="mini"))["outcome"] == "no_entry"
    assert (await scanner.serve(DRAWS, **BOUGHT, channel="mini", role="worker"))["outcome"] == "accepted"
    first = await scanner.asked(DRAWS, worker, ASK | {"channel": "mini"})
    assert first["outcome"] == "accepted"
    # Said otherwise, the same request would not be let in; it was, and that is its answer for ever.
    assert await scanner.asked(DRAWS, brand.token("alice"), ASK) == {**first, "replayed": True}


WINDOW = "entry = { windows = [{ from = 2090-06-01T20:00:00+08:00, until = 2090-06-01T20:05:00+08:00 }] }"


async def test_a_draw_of_a_window_that_is_over_is_answered_as_it_was(brand: Brand) -> None:
    clock = await frozen_clock(brand, "2090-06-01T19:59:59+08:00")
    await with_chances(clock.brand, wheel(more=WINDOW))
    scanner, token = clock.brand.scanner(), clock.brand.token("alice")
    assert (await scanner.draw("alice", **ASK))["outcome"] == "no_entry"
    await clock.forward(1)
    first = await scanner.send(DRAWS, token, ASK)
    bought = await scanner.send(DRAWS, clock.brand.service_token(), BOUGHT)
    assert (first.outcome, bought.outcome) == ("accepted", "accepted")
    await clock.set("2090-06-01T20:05:00+08:00")
    for worker in (scanner, clock.brand.scanner()):
        assert (await worker.draw("alice", **ASK | {"request_id": "r2"}))["outcome"] == "no_entry"
        assert (await worker.send(DRAWS, token, ASK)).body == as_replay(first)
        assert (await worker.send(DRAWS, clock.brand.service_token(), BOUGHT)).body == as_replay(bought)


@pytest.mark.parametrize("ahead_s", [-3, 3])
async def test_the_time_is_the_stores_and_not_the_workers(brand: Brand, ahead_s: int) -> None:
    clock = await frozen_clock(brand, "2090-06-01T19:59:58+08:00")
    await with_chances(clock.brand, wheel(more=WINDOW))
    scanner = replace(clock.brand, clock=lambda: clock() + ahead_s).scanner()
    outcomes = []
    for _ in range(4):
        answer = await scanner.draw("alice", **ASK | {"request_id": f"at-{clock.now_ms}"})
        outcomes.append(answer["outcome"])
        await clock.forward(1)
    assert outcomes == ["no_entry", "no_entry", "accepted", "accepted"]


async def test_a_limit_of_the_pool_says_when_it_ends(brand: Brand) -> None:
    clock = await frozen_clock(brand, "2090-06-01T23:59:00+08:00")
    await with_chances(clock.brand, wheel(more="limits = { per_day = 1, total = 2 }"))
    scanner = clock.brand.scanner()
    answers = []
    for n in range(4):
        answers.append(await scanner.draw("alice", **ASK | {"request_id": str(n)}))
        if n == 1:
            await clock.set("2090-06-02T00:00:00+08:00")
    assert [answer["outcome"] for answer in answers] == [
        "accepted", "limit_reached", "accepted", "limit_reached",
    ]  # fmt: skip
    assert answers[1]["resets_at"] == "2090-06-01T16:00:00.000Z"
    assert "resets_at" not in answers[3]  # never
    again = await scanner.draw("alice", **ASK | {"request_id": "0"})
    assert again == {**answers[0], "replayed": True}


async def test_the_campaign_must_run(brand: Brand) -> None:
    clock = await frozen_clock(brand)
    store = clock.brand.store
    await clock.brand.apply(
        campaign_toml(pools=wheel(), starts="2090-07-01T00:00:00+08:00", ends="2090-07-31T23:59:59+08:00")
    )
    scanner, service = clock.brand.scanner(), clock.brand.service_token()

    async def buy(request_id: str) -> dict[str, object]:
        answer = await scanner.serve(DRAWS, **BOUGHT | {"request_id": request_id})
        return {name: value for name, value in answer.items() if name not in ("type", "title")}

    assert await buy("1") == {
        "outcome": "not_active", "status": 409, "starts_at": "2090-06-30T16:00:00.000Z",
    }  # fmt: skip
    await clock.set("2090-07-01T00:00:00+08:00")
    service = clock.brand.service_token()
    first = await scanner.send(DRAWS, service, BOUGHT)
    await operations.pause(store, "spring", by="test")
    assert (await buy("2"))["outcome"] == "not_active"
    assert (await scanner.send(DRAWS, service, BOUGHT)).body == as_replay(first)
    await operations.resume(store, "spring", by="test")
    await clock.set("2090-07-31T23:59:59+08:00")
    assert (await buy("3"))["outcome"] == "accepted"
    await clock.forward(0.001)
    assert (await buy("4"))["outcome"] == "campaign_over"
    assert (await scanner.send(DRAWS, clock.brand.service_token(), BOUGHT)).body == as_replay(first)
