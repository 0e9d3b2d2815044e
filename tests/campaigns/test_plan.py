"""The compiled campaign: awards as they are answered, exact thresholds, numbers that stay."""

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import Plan, compile_plan, dump, load
from scanner.campaigns.plan import NUMBER_MAX
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


@settings(max_examples=50, deadline=None)
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
