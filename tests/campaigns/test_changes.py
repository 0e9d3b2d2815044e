"""What may change in a campaign, before its start and after."""

import copy
from datetime import timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import compare
from scanner.campaigns.changes import CAMPAIGN_RULES, LIMITS_RULES, POOL_RULES, PRIZE_RULES
from scanner.campaigns.model import Blank, Campaign, Cash, Coupon, Limits, Physical, Points, Pool

SINCE = "since the campaign has started"


@pytest.fixture
def changed(base, read):
    """Applies a change to a document and compares: changed(change, started=…)."""

    def compared(change, *, started, before=None):
        old = copy.deepcopy(base)
        if before:
            before(old)
        new = copy.deepcopy(old)
        change(new)
        return compare(read(old), read(new), started=started)

    return compared


def campaign(**values):
    return lambda document: document["campaign"].update(values)


def top(**values):
    return lambda document: document.update(values)


def pool(at, **values):
    return lambda document: document["pool"][at].update(values)


def prize(pool_at, at, **values):
    return lambda document: document["pool"][pool_at]["prize"][at].update(values)


def endless(pool_at, at):
    return lambda document: document["pool"][pool_at]["prize"][at].pop("stock")


def gone(name):
    return lambda document: document.pop(name)


def insert(pool_at, at, **values):
    return lambda document: document["pool"][pool_at]["prize"].insert(at, values)


def both(*changes):
    def change(document):
        for one in changes:
            one(document)

    return change


NEW_POOL = {"id": "extra", "draw": "every", "prize": [{"id": "p1", "kind": "points", "amount": 1}]}
HOUR = timedelta(hours=1)


def ends(by):
    return lambda document: document["campaign"].update(ends=document["campaign"]["ends"] + by)


def starts(by):
    return lambda document: document["campaign"].update(starts=document["campaign"]["starts"] + by)


@pytest.mark.parametrize("started", [False, True])
def test_the_same_file_changes_nothing(changed, started):
    changes = changed(lambda document: None, started=started)
    assert not changes.changed
    assert (changes.refusals, changes.additions, changes.new_stock) == ([], {}, {})
    assert (changes.removed, changes.difference) == ([], [])


def test_another_way_to_write_the_same_changes_nothing(changed):
    def rewrite(document):
        moment = document["campaign"]["starts"]
        document["campaign"]["starts"] = moment.astimezone(timezone(timedelta(hours=1)))
        document["pool"][2]["prize"][0]["odds"] = "0.0500"
        document["pool"][1]["prize"][0]["value"] = "7999"
        document["pool"][1]["beneficiary"] = "member"

    assert not changed(rewrite, started=True).changed


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (
            campaign(id="autumn"),
            'campaign.id: expected "spring", because a campaign keeps its id, got "autumn"',
        ),
        (
            campaign(currency="USD"),
            'campaign.currency: expected "CNY", because a campaign keeps its currency, got "USD"',
        ),
    ],
)
def test_a_campaign_keeps_its_id_and_currency(changed, change, refusal, started):
    assert changed(change, started=started).refusals == [refusal]


# (change, refusal once started up to ", since", what was got)
REFUSED = [
    (
        campaign(organiser="Other"),
        'campaign.organiser: expected no change from "Example Paints Co., Ltd."',
        '"Other"',
    ),
    (
        campaign(claim_rules="Never."),
        'campaign.claim_rules: expected no change from "Within 24 hours."',
        '"Never."',
    ),
    (campaign(timezone="UTC"), 'campaign.timezone: expected no change from "Asia/Shanghai"', '"UTC"'),
    (
        starts(HOUR),
        'campaign.starts: expected no change from "2027-03-01T00:00:00+08:00"',
        '"2027-03-01T01:00:00+08:00"',
    ),
    (
        starts(-HOUR),
        'campaign.starts: expected no change from "2027-03-01T00:00:00+08:00"',
        '"2027-02-28T23:00:00+08:00"',
    ),
    (
        ends(-HOUR),
        'campaign.ends: expected no earlier time than "2027-05-31T23:59:59+08:00"',
        '"2027-05-31T22:59:59+08:00"',
    ),
    (top(limits={"per_day": 5}), "limits.per_day: expected none, as before", "5"),
    (pool(1, game="shake"), 'pool[1].game: expected no change from "scratch-card"', '"shake"'),
    (pool(0, game="shake"), "pool[0].game: expected no change from nothing", '"shake"'),
    (pool(0, beneficiary="seller"), 'pool[0].beneficiary: expected no change from "member"', '"seller"'),
    (
        pool(0, entry={"roles": ["worker"]}),
        "pool[0].entry: expected no change from nothing",
        '{"roles": ["worker"]}',
    ),
    (pool(0, budget="9.00"), "pool[0].budget: expected none, as before", '"9.00"'),
    (prize(1, 1, amount="0.87"), 'pool[1].prize[1].amount: expected no change from "0.88"', '"0.87"'),
    (prize(1, 1, amount="0.89"), 'pool[1].prize[1].amount: expected no change from "0.88"', '"0.89"'),
    (prize(1, 0, value="1.00"), 'pool[1].prize[0].value: expected no change from "7999.00"', '"1.00"'),
    (prize(2, 0, coupon="MAY5"), 'pool[2].prize[0].coupon: expected no change from "SPRING10"', '"MAY5"'),
    (prize(1, 1, stock=199), "pool[1].prize[1].stock: expected a stock of at least 200", "199"),
    (
        prize(0, 1, stock=10**6),
        "pool[0].prize[1].stock: expected endless stock, as before",
        "1000000",
    ),
    (
        endless(2, 0),
        "pool[2].prize[0].stock: expected a stock of at least 50",
        "nothing",
    ),
    (prize(2, 0, odds="0.04"), 'pool[2].prize[0].odds: expected at least "0.05"', '"0.04"'),
    (
        insert(1, 0, id="sorry", kind="none", stock=1),
        "pool[1].prize[0]: expected no new blanks in a deck",
        '"sorry"',
    ),
    (
        prize(1, 2, stock=798),
        "pool[1].prize: expected no larger share of blanks than 797 of 1000",
        "798 of 1001",
    ),
    (
        insert(0, 0, id="first", kind="points", amount=1, stock=1),
        "pool[0].prize: expected new prizes behind those there were",
        '["first", "cash", "p50"]',
    ),
    (lambda document: document["pool"].pop(), 'pool: expected pool "wheel" to stay', "none"),
    (
        lambda document: document["pool"][1]["prize"].pop(0),
        'pool[1].prize: expected prize "phone" to stay',
        "none",
    ),
]


@pytest.mark.parametrize(("change", "refusal", "got"), REFUSED)
def test_what_takes_away_is_refused_after_the_start_only(changed, change, refusal, got):
    after = changed(change, started=True)
    assert f"{refusal}, {SINCE}, got {got}" in after.refusals
    before = changed(change, started=False)
    assert before.refusals == []
    assert before.changed
    assert before.difference


def test_a_refused_change_is_refused_once(changed):
    counts = [len(changed(change, started=True).refusals) for change, _, _ in REFUSED]
    # Without its three phones the deck also has a larger share of blanks, and so has one with less cash.
    assert sorted(counts) == [1] * (len(REFUSED) - 2) + [2] * 2


@pytest.mark.parametrize(
    ("change", "before", "path"),
    [
        (top(limits={"per_day": 4}), top(limits={"per_day": 5}), "limits.per_day"),
        (top(limits={"per_day": 5, "total": 9}), top(limits={"per_day": 5}), "limits.total"),
        (pool(0, draw="deck"), prize(0, 1, stock=5), "pool[0].draw"),
        (pool(1, budget="8.99"), pool(1, budget="9.00"), "pool[1].budget"),
        (
            lambda document: document["pool"][1].pop("entry"),
            pool(1, entry={"roles": ["worker"]}),
            "pool[1].entry",
        ),
        (
            prize(1, 1, amount={"min": "0.01", "max": "2.00", "total": "200.00"}),
            prize(1, 1, amount={"min": "0.01", "max": "3.00", "total": "200.00"}),
            "pool[1].prize[1].amount",
        ),
    ],
)
def test_what_tightens_is_refused(changed, change, before, path):
    (refusal,) = changed(change, started=True, before=before).refusals
    assert refusal.startswith(f"{path}: expected ")
    assert changed(change, started=False, before=before).refusals == []


@pytest.mark.parametrize(
    ("change", "before"),
    [
        (campaign(title="Summer"), None),
        (ends(HOUR), None),
        (top(limits={"per_day": 6}), top(limits={"per_day": 5})),
        (top(limits={}), top(limits={"per_day": 5})),
        (gone("limits"), top(limits={"per_day": 5})),
        (pool(1, budget="9.01"), pool(1, budget="9.00")),
        (lambda document: document["pool"][1].pop("budget"), pool(1, budget="9.00")),
        (prize(1, 1, stock=201), None),
        (prize(2, 0, odds="0.06"), None),
        (both(prize(1, 0, stock=6), prize(1, 1, stock=400), prize(1, 2, stock=1594)), None),
        (insert(1, 0, id="car", kind="physical", value="9.00", stock=1), None),
        (insert(2, 0, id="more", kind="points", amount=1, odds="0.1"), None),
        (insert(2, 0, id="blank", kind="none", odds="0.1"), None),
        (lambda document: document["pool"].insert(0, NEW_POOL), None),
        (lambda document: document["pool"].reverse(), None),
        (lambda document: document["pool"][1]["prize"].reverse(), None),
    ],
)
@pytest.mark.parametrize("started", [False, True])
def test_what_adds_is_accepted(changed, change, before, started):
    changes = changed(change, started=started, before=before)
    assert changes.refusals == []
    assert changes.changed
    assert changes.difference


def test_a_prize_behind_those_of_an_every_pool_is_accepted(changed):
    changes = changed(
        insert(0, 1, id="later", kind="points", amount=1, stock=5),
        started=True,
        before=lambda document: document["pool"][0]["prize"].pop(),
    )
    assert changes.refusals == []
    assert changes.new_stock == {("points", "later"): 5}


def test_stock_is_told_by_what_to_add(changed):
    more = both(prize(1, 0, stock=10), prize(1, 1, stock=250), prize(2, 0, stock=51))
    changes = changed(more, started=True)
    assert changes.additions == {("lucky", "phone"): 7, ("lucky", "small"): 50, ("wheel", "coupon"): 1}
    assert (changes.new_stock, changes.removed) == ({}, [])
    assert changes.difference == [
        "pool[1].prize[0].stock: from 3 to 10",
        "pool[1].prize[1].stock: from 200 to 250",
        "pool[2].prize[0].stock: from 50 to 51",
    ]


def test_before_the_start_stock_may_shrink_and_be_limited_or_not(changed):
    changes = changed(both(prize(1, 2, stock=700), prize(0, 1, stock=9), endless(2, 0)), started=False)
    assert changes.refusals == []
    assert changes.additions == {("lucky", "thanks"): -97}
    assert changes.new_stock == {("points", "p50"): 9, ("wheel", "coupon"): None}


def test_new_pools_and_prizes_bring_their_stock(changed):
    car = insert(1, 1, id="car", kind="physical", value="9.00", stock=2)
    changes = changed(both(car, lambda document: document["pool"].append(NEW_POOL)), started=True)
    assert changes.refusals == []
    assert changes.additions == {}
    assert changes.new_stock == {("lucky", "car"): 2, ("extra", "p1"): None}
    assert changes.difference == ['pool[1].prize[1]: new prize "car"', 'pool[3]: new pool "extra"']


def test_before_the_start_pools_and_prizes_may_go(changed):
    def change(document):
        document["pool"].pop(2)
        document["pool"][1]["prize"].pop(0)

    changes = changed(change, started=False)
    assert changes.refusals == []
    assert changes.removed == [("lucky", "phone"), ("wheel", "coupon"), ("wheel", "points")]
    assert changes.difference == ['pool[1].prize: prize "phone" removed', 'pool: pool "wheel" removed']


def test_differences_read_as_the_file_is_written(changed):
    change = both(campaign(title="Summer"), prize(1, 1, amount="0.99"), pool(0, entry={"tiers": ["gold"]}))
    assert changed(change, started=False).difference == [
        'campaign.title: from "Spring" to "Summer"',
        'pool[0].entry: from nothing to {"tiers": ["gold"]}',
        'pool[1].prize[1].amount: from "0.88" to "0.99"',
    ]


def test_a_kind_cannot_change_under_its_id(changed):
    def change(document):
        document["pool"][1]["prize"][1] = {"id": "small", "kind": "points", "amount": 88, "stock": 200}

    changes = changed(change, started=True)
    assert f'pool[1].prize[1].kind: expected no change from "cash", {SINCE}, got "points"' in changes.refusals
    assert changed(change, started=False).refusals == []


def test_paths_are_those_of_the_new_file(changed):
    change = both(prize(1, 1, stock=1), lambda document: document["pool"].insert(0, NEW_POOL))
    assert any(line.startswith("pool[2].prize[1].stock:") for line in changed(change, started=True).refusals)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_change_is_always_told_and_never_acts_on_what_stayed(any_document, read, data):
    old, new = (read(data.draw(any_document)) for _ in range(2))
    changes = compare(old, new, started=False)
    assert changes.changed == (old != new) == bool(changes.difference)
    keys_old, keys_new = (
        {(pool.id, prize.id): prize.stock for pool in file.pool for prize in pool.prize}
        for file in (old, new)
    )
    stock = {key: count for key, count in keys_old.items() if key not in changes.removed}
    for key, count in changes.additions.items():
        stock[key] += count
    assert stock | changes.new_stock == keys_new


def test_every_key_of_the_file_has_a_rule():
    prizes = [Cash, Points, Coupon, Physical, Blank]
    assert set(Campaign.model_fields) == {"id", "currency", *CAMPAIGN_RULES}
    assert set(Limits.model_fields) == set(LIMITS_RULES)
    assert set(Pool.model_fields) == {"id", "prize", *POOL_RULES}
    assert {name for kind in prizes for name in kind.model_fields} == {"id", *PRIZE_RULES}
