"""The compiled campaign: awards as they are answered, exact thresholds, numbers that stay."""

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import Plan, compile_plan, dump, load
from scanner.campaigns.plan import NUMBER_MAX, PlanEntry
from scanner.campaigns.prizes import Spread
from scanner.errors import CampaignError

STEPS = 2**48


def first_plan(file, no=1) -> Plan:
    return compile_plan(file, no=no, previous=None)


def test_a_plan_has_what_a_draw_needs(base, read):
    plan = first_plan(read(base), no=7)
    assert (plan.id, plan.no, plan.currency) == ("spring", 7, "CNY")
    assert (plan.starts_ms, plan.ends_ms) == (1_803_830_400_000, 1_811_779_199_000)
    assert [(pool.id, pool.no, pool.draw) for pool in plan.pools] == [
        ("points", 1, "every"),
        ("lucky", 2, "deck"),
        ("wheel", 3, "odds"),
    ]
    assert [[(prize.id, prize.no, prize.stock) for prize in pool.prizes] for pool in plan.pools] == [
        [("cash", 1, 100), ("p50", 2, None)],
        [("phone", 1, 3), ("small", 2, 200), ("thanks", 3, 797)],
        [("coupon", 1, 50), ("points", 2, None)],
    ]


def test_awards_stand_as_they_are_answered(base, read):
    base["pool"][2]["prize"][0]["coupon"] = '立减"10\\'
    plan = first_plan(read(base))
    assert [[prize.award for prize in pool.prizes] for pool in plan.pools] == [
        [
            '{"pool":"points","prize":"cash","kind":"cash","amount":20,"currency":"CNY","beneficiary":"member"}',
            '{"pool":"points","prize":"p50","kind":"points","amount":50,"beneficiary":"member"}',
        ],
        [
            '{"pool":"lucky","prize":"phone","kind":"physical","amount":1,"game":"scratch-card","beneficiary":"member"}',
            '{"pool":"lucky","prize":"small","kind":"cash","amount":88,"currency":"CNY","game":"scratch-card",'
            '"beneficiary":"member"}',
            "",
        ],
        [
            '{"pool":"wheel","prize":"coupon","kind":"coupon","amount":1,"coupon":"立减\\"10\\\\",'
            '"beneficiary":"member"}',
            '{"pool":"wheel","prize":"points","kind":"points","amount":5,"beneficiary":"member"}',
        ],
    ]


def test_the_stored_layout(base, read):
    plan = first_plan(read(base))
    stored = json.loads(dump(plan))
    assert list(stored) == ["id", "no", "version", "currency", "starts", "ends", "pools"]
    assert [list(pool) for pool in stored["pools"]] == [["id", "no", "draw", "prizes"]] * 3
    points, lucky, wheel = (pool["prizes"] for pool in stored["pools"])
    assert list(points[1]) == ["id", "no", "award"]
    assert list(lucky[0]) == ["id", "no", "stock", "award"]
    assert list(wheel[0]) == ["id", "no", "stock", "below", "award"]
    assert lucky[2]["award"] == ""


@pytest.fixture
def rich(base):
    """The base with everything else that a plan can hold."""
    base["campaign"] |= {"budget": "900.00", "contact": "The shop."}
    base["limits"] = {"per_day": 20, "total": 500}
    base["product"] = [
        {"gtin": "06901234567892", "title": "White", "url": "https://example.com/white"},
        {"gtin": "09506000134352", "title": "Primer"},
    ]
    points, lucky, wheel = base["pool"]
    begins = base["campaign"]["starts"]
    points |= {
        "beneficiary": "seller",
        "budget": "5.00",
        "entry": {
            "roles": ["worker", "painter"],
            "tiers": ["gold"],
            "products": ["06901234567892"],
            "channels": ["app"],
            "windows": [
                {"daily": "20:00:30", "lasts": "5m"},
                {"from": begins, "until": begins + timedelta(hours=1)},
                {"daily": "08:00", "lasts": "1h"},
            ],
        },
    }
    lucky |= {"draw": "shared", "slots": 6, "open_for": "24h", "giver": "last", "entry": {}}
    spread = {"min": "0.10", "max": "2.00", "total": "30.00"}
    lucky["prize"][1] |= {"amount": spread, "stock": 100}
    wheel |= {"entered_by": "draw", "price": {"points": 100}, "limits": {"per_day": 3, "total": 9}}
    wheel["prize"][0] |= {"value": "10.00", "amount": 2}
    packets = {"id": "packets", "draw": "locked", "expires_after": "7d", "limits": {"per_day": 1}}
    packets["prize"] = [
        {"id": "turns", "kind": "chance", "pool": "wheel", "amount": 3, "stock": 10},
        {"id": "phone", "kind": "physical", "value": "50.00", "amount": 2, "stock": 1},
    ]
    base["pool"].append(packets)
    return base


def test_a_plan_has_all_that_the_file_says(rich, read):
    plan = first_plan(read(rich))
    assert (plan.timezone, plan.budget, plan.per_day, plan.total) == ("Asia/Shanghai", 900_00, 20, 500)
    assert plan.products == (
        ("06901234567892", "White", "https://example.com/white"),
        ("09506000134352", "Primer", ""),
    )
    points, lucky, wheel, packets = plan.pools
    assert (points.beneficiary, points.budget, points.by_draw) == ("seller", 5_00, False)
    assert points.entry == PlanEntry(
        roles=frozenset({"worker", "painter"}),
        tiers=frozenset({"gold"}),
        products=frozenset({"06901234567892"}),
        channels=frozenset({"app"}),
        windows=((1_803_830_400_000, 1_803_834_000_000),),
        daily=((72_030, 300_000), (28_800, 3_600_000)),
    )
    assert (lucky.slots, lucky.open_for, lucky.giver, lucky.entry) == (6, 86_400_000, "last", None)
    assert (wheel.by_draw, wheel.price, wheel.per_day, wheel.total) == (True, 100, 3, 9)
    assert (packets.expires_after, packets.per_day, packets.total) == (604_800_000, 1, None)
    lucky_amounts = lucky.prizes[1]
    assert (lucky_amounts.min, lucky_amounts.max, lucky_amounts.sum, lucky_amounts.stock) == (
        10,
        200,
        3000,
        100,
    )
    assert [prize.chance for prize in packets.prizes] == [(wheel.no, 3), None]


def test_what_a_piece_takes_out_of_a_budget(rich, read):
    worths = [[20, 0], [7999_00, 0, 0], [20_00, 0], [0, 100_00]]  # of lucky amounts, the amount itself
    plan = first_plan(read(rich))
    assert [[prize.worth for prize in pool.prizes] for pool in plan.pools] == worths
    del rich["campaign"]["budget"]
    plan = first_plan(read(rich))
    assert (plan.budgeted, [[prize.worth for prize in pool.prizes] for pool in plan.pools]) == (True, worths)
    del rich["pool"][0]["budget"]
    plan = first_plan(read(rich))
    assert (plan.budgeted, {prize.worth for prize in plan.prizes.values()}) == (False, {0})


def test_an_award_is_written_around_its_amount_or_names_its_draws(rich, read):
    lucky, packets = (first_plan(read(rich)).pools[at].prizes for at in (1, 3))
    assert json.loads(f"{lucky[1].award}88{lucky[1].tail}") == {
        "pool": "lucky",
        "prize": "small",
        "kind": "cash",
        "amount": 88,
        "currency": "CNY",
        "game": "scratch-card",
        "beneficiary": "member",
    }
    assert lucky[1].award == '{"pool":"lucky","prize":"small","kind":"cash","amount":'
    assert (packets[0].tail, packets[0].award) == (
        "",
        '{"pool":"packets","prize":"turns","kind":"chance","amount":3,"draws":"wheel","beneficiary":"member"}',
    )


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_an_award_says_what_the_file_says(any_document, read, data):
    file = read(data.draw(any_document))
    plan = first_plan(file)
    for pool, plan_pool in zip(file.pool, plan.pools, strict=True):
        for prize, planned in zip(pool.prize, plan_pool.prizes, strict=True):
            if prize.kind == "none":
                assert (planned.award, planned.tail) == ("", "")
                continue
            lucky = isinstance(prize.amount, Spread)
            award = json.loads(f"{planned.award}7{planned.tail}" if lucky else planned.award)
            assert award.pop("amount") == (7 if lucky else prize.amount)
            said = {"pool": pool.id, "prize": prize.id, "kind": prize.kind, "beneficiary": pool.beneficiary}
            said |= {"game": pool.game} if pool.game else {}
            match prize.kind:
                case "cash":
                    said["currency"] = "CNY"
                case "coupon":
                    said["coupon"] = prize.coupon
                case "chance":
                    said["draws"] = prize.pool
            assert award == said


TRAITS = ("timed", "limited", "kept", "budgeted")
IN_THE_WHEEL = {"id": "turn", "kind": "chance", "pool": "wheel", "stock": 1}
OF_THE_WHEEL = {"entered_by": "draw", "price": {"points": 1}}


@pytest.mark.parametrize(
    ("change", "traits"),
    [
        (lambda document: None, set()),
        (lambda document: document.update(limits={}), set()),
        (lambda document: document.update(limits={"per_day": 1}), {"timed", "limited"}),
        (lambda document: document.update(limits={"total": 1}), {"limited"}),
        (lambda document: document["pool"][0].update(limits={"per_day": 1}), {"timed", "limited"}),
        (lambda document: document["pool"][2].update(limits={"total": 1}), {"limited"}),
        (lambda document: document["pool"][0].update(entry={"roles": ["worker"]}), set()),
        (
            lambda document: document["pool"][1].update(
                entry={"windows": [{"daily": "20:00", "lasts": "5m"}]}
            ),
            {"timed"},
        ),
        (
            lambda document: document["pool"][1].update(
                entry={
                    "windows": [
                        {"from": document["campaign"]["starts"], "until": document["campaign"]["ends"]}
                    ]
                }
            ),
            {"timed"},
        ),
        (lambda document: document["pool"][2].update(OF_THE_WHEEL), {"kept"}),
        (
            lambda document: (
                document["pool"][2].update(OF_THE_WHEEL),
                document["pool"][0]["prize"].insert(0, IN_THE_WHEEL),
            ),
            {"kept"},
        ),
        (
            lambda document: (
                document["pool"][1].update(draw="locked", expires_after="1d"),
                document["pool"][1]["prize"].pop(),
            ),
            {"kept"},
        ),
        (lambda document: document["pool"][1].update(draw="shared", slots=1, open_for="1d"), set()),
        (lambda document: document["campaign"].update(budget="1.00"), {"budgeted"}),
        (lambda document: document["pool"][1].update(budget="1.00"), {"budgeted"}),
    ],
)
def test_traits_say_what_a_claim_needs_and_are_stored(base, read, change, traits):
    change(base)
    plan = first_plan(read(base))
    stored = json.loads(dump(plan))
    assert {trait for trait in TRAITS if getattr(plan, trait)} == traits
    assert {trait: stored[trait] for trait in TRAITS if trait in stored} == dict.fromkeys(traits, 1)
    assert ("timezone" in stored) == ("timed" in traits)
    assert ("counted_until" in stored) == (plan.total is not None or plan.pools[2].total is not None)
    assert (plan.shared is None) == (plan.pools[1].draw != "shared")


def test_pools_and_prizes_are_found_by_their_numbers(rich, read):
    plan = first_plan(read(rich))
    assert (plan.by_no[4].id, plan.by_id["packets"].no, plan.shared.id) == ("packets", 4, "lucky")
    assert plan.prizes[4, 2] is plan.pools[3].prizes[1]


def test_the_stored_layout_of_what_is_not_plain(rich, read):
    stored = json.loads(dump(first_plan(read(rich))))
    assert list(stored)[:6] == ["id", "no", "version", "currency", "starts", "ends"]
    assert set(stored) == {
        *("id", "no", "version", "currency", "starts", "ends", "timezone", "budget", "per_day", "total"),
        *("counted_until", "products", "timed", "limited", "kept", "budgeted", "pools"),
    }
    points, lucky, wheel, packets = stored["pools"]
    assert set(points) == {"id", "no", "draw", "beneficiary", "entry", "budget", "prizes"}
    assert points["entry"]["roles"] == ["painter", "worker"]
    assert points["entry"]["daily"] == [[72_030, 300_000], [28_800, 3_600_000]]
    assert set(lucky) == {"id", "no", "draw", "slots", "open_for", "giver", "prizes"}
    assert set(lucky["prizes"][1]) == {"id", "no", "stock", "award", "tail", "min", "max", "sum"}
    assert set(wheel) == {"id", "no", "draw", "by_draw", "price", "per_day", "total", "prizes"}
    assert set(packets) == {"id", "no", "draw", "expires_after", "per_day", "prizes"}
    assert packets["prizes"][0]["chance"] == [3, 3]
    assert load(dump(first_plan(read(rich)))) == first_plan(read(rich))


YEAR_MS = 366 * 86_400_000
ENDS_MS = 1_811_779_199_000


def limited(document, total=9, **later):
    document["limits"] = {"total": total}
    document["campaign"]["ends"] += timedelta(**later)
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(limits={"total": 9}),
        lambda document: document["pool"][1].update(limits={"total": 9}),
        lambda document: document["pool"][2].update(limits={"total": 9}, entered_by="draw"),
    ],
)
def test_what_is_limited_in_total_is_counted_for_a_year_after_the_end(base, read, change):
    assert first_plan(read(base)).counted_until == 0
    change(base)
    assert first_plan(read(base)).counted_until == ENDS_MS + YEAR_MS


def test_before_the_start_counters_are_kept_for_the_end_of_the_file(base, read):
    before = first_plan(read(limited(base)))
    moved = compile_plan(read(limited(base, days=400)), no=1, previous=before)
    assert moved.counted_until == moved.ends_ms + YEAR_MS == ENDS_MS + 400 * 86_400_000 + YEAR_MS


def test_once_started_counters_are_kept_as_long_as_was_said(base, read):
    before = first_plan(read(limited(base)))
    for days in (0, 30, 336):  # 366 days later in all
        plan = compile_plan(read(limited(base, total=10, days=days)), no=1, previous=before, started=True)
        assert plan.counted_until == ENDS_MS + YEAR_MS
        before = plan
    assert plan.ends_ms == plan.counted_until
    with pytest.raises(CampaignError) as caught:
        compile_plan(read(limited(base, milliseconds=1)), no=1, previous=before, started=True)
    assert str(caught.value) == (
        "campaign.ends: expected no later than 2028-05-31T15:59:59+00:00, until when members' counters are"
        " kept; begin a new campaign and move the lots there"
    )


def test_limits_that_come_with_a_pool_after_the_start_are_counted_from_then_on(base, read):
    before = first_plan(read(base))
    base["campaign"]["ends"] += timedelta(days=500)
    base["pool"].append(base["pool"][0] | {"id": "more", "limits": {"total": 2}})
    plan = compile_plan(read(base), no=1, previous=before, started=True)
    assert plan.counted_until == plan.ends_ms + YEAR_MS


def test_nothing_is_counted_any_more_where_a_limit_in_total_is_lifted(base, read):
    before = first_plan(read(limited(base)))
    base["limits"] = {"per_day": 5}
    assert compile_plan(read(base), no=1, previous=before, started=True).counted_until == 0


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_plans_are_stored_exactly(any_document, read, data):
    plan = first_plan(read(data.draw(any_document)))
    stored = dump(plan)
    assert load(stored) == plan
    assert dump(load(stored)) == stored
    assert all(number < 2**53 for number in integers(json.loads(stored)))
    assert b"null" not in stored


def integers(value):
    match value:
        case dict():
            return [number for item in value.values() for number in integers(item)]
        case list():
            return [number for item in value for number in integers(item)]
        case int():
            return [value]
    return []


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"\xff", b'{"id":"a","pools":3}'])
def test_what_is_not_a_stored_plan_is_refused(data):
    with pytest.raises(CampaignError, match="not a stored campaign plan"):
        load(data)


@settings(deadline=None)
@given(st.lists(st.integers(4, 10**15 // 8), min_size=1, max_size=8))
def test_each_prize_has_its_odds_to_within_one_step(read, base_odds, data_odds):
    file = read(base_odds([f"0.{odds:015}" for odds in data_odds]))
    below = [prize.below for prize in first_plan(file).pools[0].prizes]
    widths = [high - low for low, high in zip([0, *below], below, strict=False)]
    assert below[-1] <= STEPS
    for width, odds in zip(widths, data_odds, strict=True):
        assert width >= 1
        assert abs(width - Fraction(odds, 10**15) * STEPS) < 1


@pytest.fixture(scope="session")
def base_odds():
    def document(odds):
        return {
            "campaign": {
                "id": "c",
                "title": "t",
                "organiser": "o",
                "claim_rules": "r",
                "currency": "CNY",
                "timezone": "UTC",
                "starts": datetime(2027, 1, 1, tzinfo=UTC),
                "ends": datetime(2028, 1, 1, tzinfo=UTC),
            },
            "pool": [
                {
                    "id": "p",
                    "draw": "odds",
                    "prize": [
                        {"id": f"p{at}", "kind": "points", "amount": 1, "odds": text}
                        for at, text in enumerate(odds)
                    ],
                }
            ],
        }

    return document


@pytest.mark.parametrize(
    ("odds", "below"),
    [
        (["1"], [STEPS]),
        (["0.5", "0.25"], [STEPS // 2, STEPS // 4 * 3]),
        (["0.1"] * 10, [STEPS * n // 10 for n in range(1, 11)]),
        (["0.000000000000003553"], [1]),
        (["0.05"], [STEPS // 20]),
    ],
)
def test_thresholds_are_the_exact_sums_rounded_down(read, base_odds, odds, below):
    assert [prize.below for prize in first_plan(read(base_odds(odds))).pools[0].prizes] == below


def test_other_draws_have_no_thresholds(base, read):
    plan = first_plan(read(base))
    assert {prize.below for pool in plan.pools[:2] for prize in pool.prizes} == {None}


CHANGES = [
    lambda document: document["campaign"].update(id="autumn"),
    lambda document: document["campaign"].update(title="Autumn"),
    lambda document: document["campaign"].update(organiser="Another Co."),
    lambda document: document["campaign"].update(claim_rules="Within 48 hours."),
    lambda document: document["campaign"].update(currency="USD"),
    lambda document: document["campaign"].update(timezone="UTC"),
    lambda document: document["campaign"].update(ends=document["campaign"]["ends"] + timedelta(seconds=1)),
    lambda document: document["campaign"].update(
        starts=document["campaign"]["starts"] - timedelta(seconds=1)
    ),
    lambda document: document["pool"].reverse(),
    lambda document: document["pool"].pop(),
    lambda document: document["pool"][0].update(id="pts"),
    lambda document: document["pool"][0].update(game="shake"),
    lambda document: document["pool"][1]["prize"].reverse(),
    lambda document: document["pool"][1]["prize"][0].update(id="telephone"),
    lambda document: document["pool"][1]["prize"][0].update(value="7999.01"),
    lambda document: document["pool"][1]["prize"][0].update(amount=2),
    lambda document: document["pool"][1]["prize"][1].update(amount="0.89"),
    lambda document: document["pool"][1]["prize"][1].update(stock=201),
    lambda document: document["pool"][2]["prize"][0].update(coupon="SPRING11"),
    lambda document: document["pool"][2]["prize"][0].update(odds="0.06"),
    lambda document: document["pool"][2]["prize"][0].pop("stock"),
    lambda document: document["pool"][2]["prize"][0].update(value="5.00"),
    lambda document: document["campaign"].update(contact="The shop."),
    lambda document: document["campaign"].update(budget="5.00"),
    lambda document: document.update(limits={"per_day": 3}),
    lambda document: document.update(limits={}),
    lambda document: document.update(product=[{"gtin": "06901234567892", "title": "White"}]),
    lambda document: document["pool"][0].update(beneficiary="inviter"),
    lambda document: document["pool"][0].update(budget="5.00"),
    lambda document: document["pool"][0].update(limits={"total": 3}),
    lambda document: document["pool"][0].update(entered_by="draw"),
    lambda document: document["pool"][0].update(entry={"tiers": ["gold"]}),
    lambda document: document["pool"][0].update(entry={"windows": [{"daily": "20:00", "lasts": "5m"}]}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_version_changes_with_anything_that_matters(base, read, change):
    before = first_plan(read(base)).version
    change(base)
    assert first_plan(read(base)).version != before


def test_the_version_is_sixteen_hex_digits_and_the_same_for_the_same_file(base, read):
    version = first_plan(read(base)).version
    assert len(version) == 16
    assert int(version, 16) >= 0
    base["pool"][1]["prize"][0]["value"] = "7999"
    base["pool"][2]["prize"][1]["odds"] = "0.250"
    assert compile_plan(read(base), no=1, previous=first_plan(read(base))).version == version


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_numbers_stay_with_their_ids_over_any_changes(any_document, read, data):
    plan = None
    for _ in range(data.draw(st.integers(2, 4))):
        document = data.draw(any_document)
        document["campaign"]["id"] = "one"
        before, plan = plan, compile_plan(read(document), no=3, previous=plan)
        check_numbers(plan.pools, before.pools if before else ())
        pools_before = {pool.id: pool for pool in before.pools} if before else {}
        for pool in plan.pools:
            check_numbers(pool.prizes, pools_before[pool.id].prizes if pool.id in pools_before else ())


def check_numbers(now, before):
    numbers, numbers_before = ({item.id: item.no for item in items} for items in (now, before))
    assert len(set(numbers.values())) == len(numbers)
    assert all(1 <= no <= NUMBER_MAX for no in numbers.values())
    last = max(numbers_before.values(), default=0)
    for name, no in numbers.items():
        assert no == numbers_before[name] if name in numbers_before else no > last


def test_new_ids_get_the_next_numbers_wherever_they_stand(base, read):
    plan = first_plan(read(base))
    base["pool"][1]["prize"].insert(0, {"id": "car", "kind": "physical", "value": "1.00", "stock": 1})
    base["pool"].insert(0, {"id": "extra", "draw": "every", "prize": [base["pool"][0]["prize"][0]]})
    plan = compile_plan(read(base), no=1, previous=plan)
    assert [(pool.id, pool.no) for pool in plan.pools] == [
        ("extra", 4),
        ("points", 1),
        ("lucky", 2),
        ("wheel", 3),
    ]
    assert [(prize.id, prize.no) for prize in plan.pools[2].prizes] == [
        ("car", 4),
        ("phone", 1),
        ("small", 2),
        ("thanks", 3),
    ]


def test_numbers_that_are_used_up_are_refused(base, read):
    plan = None
    for generation in range(2):
        base["pool"][1]["prize"] = [
            {"id": f"g{generation}-{at}", "kind": "points", "amount": 1, "stock": 1} for at in range(127)
        ]
        plan = compile_plan(read(base), no=1, previous=plan)
    assert plan.pools[1].prizes[-1].no == 254
    base["pool"][1]["prize"][:2] = [
        {"id": f"more-{at}", "kind": "points", "amount": 1, "stock": 1} for at in range(2)
    ]
    with pytest.raises(CampaignError, match=r"^pool\[1\]\.prize: expected at most 255 different ids"):
        compile_plan(read(base), no=1, previous=plan)
