"""What the law makes of a file: each concern has a file that raises it and one that does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import parse
from scanner.campaigns.law import (
    ADMITTED,
    ANNOUNCED,
    ARRANGED,
    EXCHANGED,
    HIGHEST,
    REGULATION,
    RELEASED,
    VALUED,
    concerns,
)

CLAIMS = (
    "Cash arrives within 24 hours. Goods are sent within 30 days to the address given in the mini-program by "
    "2027-06-30; after that day they are forfeited. Points and coupons are good in the shop until 2028."
)
EVENING = {"daily": "20:00", "lasts": "5m"}
NOON = {"daily": "12:00", "lasts": "5m"}


@pytest.fixture
def quiet(base):
    """A file without any concern, free to be changed."""
    base["campaign"] |= {"contact": "400-000-0000", "claim_rules": CLAIMS}
    base["pool"][1]["prize"][0]["value"] = "499.00"
    base["pool"][2]["prize"][0]["value"] = "10.00"
    return base


@pytest.fixture
def told(read):
    """A document's concerns as (rule, path)."""
    return lambda document: [(concern.rule, concern.path) for concern in concerns(read(document))]


def cash(amount, **more):
    return {"id": "won", "kind": "cash", "amount": amount, "stock": 10} | more


def pool(id, *prizes, draw="deck", **more):
    return {"id": id, "draw": draw, **more, "prize": list(prizes)}


def test_a_file_may_be_without_concern(quiet, told):
    assert told(quiet) == []


def test_a_concern_names_the_line_the_rule_and_what_to_think_of(quiet, read):
    del quiet["campaign"]["contact"]
    (concern,) = concerns(read(quiet))
    assert concern.path == "campaign.contact"
    assert concern.rule == "规范促销行为暂行规定 第十三条"
    assert concern.text.startswith("the organiser's contact is missing")
    assert "\n" not in concern.text


def test_another_currency_is_not_checked_and_told_so(base, read):
    base["campaign"]["currency"] = "USD"
    (concern,) = concerns(read(base))
    assert (concern.rule, concern.path) == (REGULATION, "campaign.currency")
    assert "was not checked" in concern.text
    assert "USD" in concern.text


def test_a_coupon_without_a_value(quiet, told):
    del quiet["pool"][2]["prize"][0]["value"]
    assert told(quiet) == [(VALUED, "pool[2].prize[0].value")]


@pytest.mark.parametrize("rules", ["Soon.", "7 个工作日内到账，积分和优惠券不限期。"])
def test_claim_rules_that_cannot_say_all(quiet, told, rules):
    quiet["campaign"]["claim_rules"] = rules + " points, coupons"
    assert told(quiet) == [(ANNOUNCED, "campaign.claim_rules")]


def test_thirty_chinese_characters_are_as_long_as_ninety_letters(quiet, told):
    quiet["campaign"]["claim_rules"] = (
        "积分和优惠券在商城使用，有效期一年；奖品在确认地址后三十天内寄出，逾期视为放弃。"
    )
    assert told(quiet) == []


@pytest.mark.parametrize("word", ["Points", "coupons"])
def test_points_and_coupons_that_the_claim_rules_leave_out(quiet, told, word):
    quiet["campaign"]["claim_rules"] = CLAIMS.replace(word, "They")
    assert told(quiet) == [(EXCHANGED, "campaign.claim_rules")]


def test_what_is_not_won_need_not_be_explained(quiet, told):
    quiet["pool"] = [pool("p", cash("0.20"))]
    quiet["campaign"]["claim_rules"] = CLAIMS.replace("Points and coupons are", "It is")
    assert told(quiet) == []


def test_winners_of_more_than_500_yuan_once_for_all(quiet, told):
    quiet["pool"] = [pool("p", cash("500.00"), cash("500.01", id="a"), cash("501.00", id="b"))]
    assert told(quiet) == [(ANNOUNCED, "pool[0].prize[1]")]


LUCKY = {"min": "1.00", "max": "50000.01", "total": "90000.00"}
SHARED = {"draw": "shared", "slots": 3, "open_for": "1d"}
LOCKED = {"draw": "locked", "expires_after": "7d"}


@pytest.mark.parametrize(
    ("prize", "key"),
    [
        (cash("50000.01"), "amount"),
        (cash(LUCKY), "amount.max"),
        ({"id": "car", "kind": "physical", "value": "50000.01", "stock": 1}, "value"),
        ({"id": "pair", "kind": "physical", "value": "25000.01", "amount": 2, "stock": 1}, "value"),
        ({"id": "c", "kind": "coupon", "coupon": "X", "value": "50.01", "amount": 1000, "stock": 1}, "value"),
    ],
    ids=["cash", "lucky", "goods", "two goods", "coupons"],
)
@pytest.mark.parametrize(
    "way", [{"draw": "deck"}, {"draw": "odds"}, SHARED, LOCKED], ids=["deck", "odds", "shared", "locked"]
)
def test_a_prize_above_the_bound_in_every_way_of_drawing(quiet, told, prize, key, way):
    odds = {"odds": "0.01"} if way["draw"] == "odds" else {}
    quiet["pool"].append(pool("top", prize | odds, **way))
    assert [path for rule, path in told(quiet) if rule == HIGHEST] == [f"pool[3].prize[0].{key}"]


@pytest.mark.parametrize(
    "prize",
    [
        cash("50000.00"),
        cash(LUCKY | {"max": "50000.00"}),
        {"id": "car", "kind": "physical", "value": "50000.00", "stock": 1},
        {"id": "c", "kind": "coupon", "coupon": "X", "value": "50.00", "amount": 1000, "stock": 1},
        {"id": "p", "kind": "points", "amount": 10**9, "stock": 1},
    ],
)
def test_the_bound_itself_is_allowed(quiet, told, prize):
    quiet["pool"] = [pool("top", prize)]
    assert HIGHEST not in dict(told(quiet))


def test_a_fixed_prize_for_all_is_told_to_be_no_draw_unless_it_runs_out(quiet, read):
    quiet["pool"] = [pool("all", cash("60000.00"), draw="every")]
    (concern,) = concerns(read(quiet))
    assert (concern.rule, concern.path) == (HIGHEST, "pool[0].prize[0].amount")
    assert "no draw as long as all who enter get it" in concern.text


def wheel(*prizes):
    return pool("wheel", *prizes, entered_by="draw")


def chances(amount, into="wheel"):
    return {"id": "go", "kind": "chance", "pool": into, "amount": amount, "stock": 5}


def test_draws_that_may_bring_more_than_the_bound_together(quiet, told):
    quiet["pool"] = [pool("points", chances(3), draw="every"), wheel(cash("20000.00"))]
    assert told(quiet) == [(ANNOUNCED, "pool[1].prize[0]"), (HIGHEST, "pool[0].prize[0].amount")]
    quiet["pool"][0]["prize"][0]["amount"] = 2
    assert HIGHEST not in dict(told(quiet))


def test_one_more_go_has_an_end(quiet, told):
    quiet["pool"] = [pool("deck", chances(2)), wheel(cash("400.00"), chances(1))]
    assert told(quiet) == []


def test_a_chance_in_a_pool_that_is_too_high_is_told_there(quiet, told):
    quiet["pool"] = [pool("deck", chances(2)), wheel(cash("50001.00"))]
    assert [path for rule, path in told(quiet) if rule == HIGHEST] == ["pool[1].prize[0].amount"]


def test_several_draws_of_one_scan_above_the_bound(quiet, read):
    quiet["pool"] = [pool("a", cash("20000.00")), pool("b", cash("10000.00")), pool("c", cash("30000.00"))]
    (concern,) = (concern for concern in concerns(read(quiet)) if concern.rule == HIGHEST)
    assert concern.path == "pool[2]"
    assert "in pool[0], pool[1] up to 60,000 yuan together" in concern.text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"entry": {"roles": ["worker"]}}, {"entry": {"roles": ["owner", "boss"]}}),
        ({"beneficiary": "seller"}, {}),
        ({"entered_by": "draw", "price": {"points": 5}}, {}),
        (SHARED, {}),
    ],
    ids=["nobody enters both", "another person's", "not by the scan", "the friends'"],
)
def test_draws_that_no_scan_wins_together(quiet, told, first, second):
    quiet["pool"] = [pool("a", cash("30000.00"), **first), pool("b", cash("30000.00"), **second)]
    assert HIGHEST not in dict(told(quiet))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"entry": {"roles": ["worker", "boss"]}}, {"entry": {"roles": ["owner", "boss"]}}),
        ({"entry": {"roles": ["worker"]}}, {"entry": {"tiers": ["gold"]}}),
        (SHARED | {"giver": "last"}, {}),
        ({"entry": {"windows": [EVENING]}}, {}),
    ],
    ids=["a role of both", "another list", "the giver's too", "windows"],
)
def test_draws_that_a_scan_may_win_together(quiet, told, first, second):
    quiet["pool"] = [pool("a", cash("30000.00"), **first), pool("b", cash("30000.00"), **second)]
    assert (HIGHEST, "pool[1]") in told(quiet)


def test_three_pools_of_which_no_scan_enters_all(quiet, told):
    lists = (["a", "b"], ["b", "c"], ["a", "c"])
    quiet["pool"] = [
        pool(f"p{at}", cash("20000.00"), entry={"roles": roles}) for at, roles in enumerate(lists)
    ]
    assert HIGHEST not in dict(told(quiet))


def test_prizes_at_different_times(quiet, read):
    quiet["pool"][1]["entry"] = {"windows": [EVENING]}
    quiet["pool"][2]["entry"] = {"windows": [NOON]}
    first, second = concerns(read(quiet))
    assert (first.rule, first.path) == (RELEASED, "pool[1].entry.windows")
    assert "than those of pool[0], pool[2];" in first.text
    assert (second.rule, second.path) == (RELEASED, "pool[2].entry.windows")


def test_all_prizes_at_the_same_times_only(quiet, told):
    for each in quiet["pool"]:
        each["entry"] = {"windows": [NOON, EVENING]}
    quiet["pool"][1]["entry"] = {"windows": [EVENING, NOON]}
    assert told(quiet) == [(ANNOUNCED, f"pool[{at}].entry.windows") for at in range(3)]


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"roles": ["worker"]}, ".roles"),
        ({"tiers": ["gold"]}, ".tiers"),
        ({"products": ["06901234567892"]}, ".products"),
        ({"channels": ["shop"]}, ".channels"),
        ({"roles": ["worker"], "products": ["06901234567892"]}, ""),
    ],
)
def test_a_draw_that_not_everybody_enters(quiet, told, entry, key):
    quiet["pool"][1]["entry"] = entry
    assert told(quiet) == [(ADMITTED, f"pool[1].entry{key}")]


def test_a_gift_may_be_for_some(quiet, told):
    quiet["pool"][0]["entry"] = {"roles": ["worker"]}
    assert told(quiet) == []


def test_who_gets_locked_packets_is_named_by_people(quiet, told):
    quiet["pool"].append(pool("locked", cash("0.20"), **LOCKED))
    assert told(quiet) == [(ARRANGED, "pool[3].draw")]


def test_prizes_that_the_pools_budget_never_pays(quiet, read):
    quiet["pool"][1]["budget"] = "1672.99"  # 3 × 499.00 and 200 × 0.88 are 1,673.00
    (concern,) = concerns(read(quiet))
    assert (concern.rule, concern.path) == (RELEASED, "pool[1].budget")
    assert "prizes worth 1,673 yuan are announced, 0.01 yuan more" in concern.text
    quiet["pool"][1]["budget"] = "1673.00"
    assert concerns(read(quiet)) == []


def test_prizes_that_the_campaigns_budget_never_pays(quiet, told):
    # 100 × 0.20, a pool of 1,673.00 that its own budget bounds to 1,673.00, 50 × 10.00
    quiet["pool"][1]["budget"] = "2000.00"
    quiet["campaign"]["budget"] = "2192.99"
    assert told(quiet) == [(RELEASED, "campaign.budget")]
    quiet["campaign"]["budget"] = "2193.00"
    assert told(quiet) == []


def test_lucky_amounts_count_with_their_total(quiet, told):
    quiet["pool"] = [pool("a", cash({"min": "1.00", "max": "9.00", "total": "50.00"}), budget="49.99")]
    assert told(quiet) == [(RELEASED, "pool[0].budget")]


def test_a_prize_that_never_runs_out_announces_no_sum(quiet, told):
    del quiet["pool"][0]["prize"][0]["stock"]
    del quiet["pool"][0]["prize"][1]
    quiet["pool"][0]["budget"] = quiet["campaign"]["budget"] = "5.00"
    assert (RELEASED, "pool[0].budget") not in told(quiet)
    del quiet["pool"][0]["budget"]
    assert told(quiet) == []


def test_the_example_has_these_concerns(paint):
    assert [(concern.rule, concern.path) for concern in concerns(parse(paint))] == [
        (ANNOUNCED, "pool[1].prize[0]"),
        (ADMITTED, "pool[1].entry"),
    ]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_file_can_be_judged(any_document, read, data):
    for concern in concerns(read(data.draw(any_document))):
        assert concern.rule.startswith(REGULATION)
        assert concern.path.startswith(("campaign.", "pool["))
        assert concern.text
