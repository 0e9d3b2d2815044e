"""What may change in a campaign, before its start and after."""

import copy
from datetime import timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import compare
from scanner.campaigns.changes import CAMPAIGN_RULES, LIMITS_RULES, POOL_RULES, PRIZE_RULES
from scanner.campaigns.entry import Limits
from scanner.campaigns.model import Campaign, CampaignFile, Pool
from scanner.campaigns.prizes import Blank, Cash, Chance, Coupon, Physical, Points

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


DAILY = {"daily": "20:00", "lasts": "5m"}
RAIN = {"windows": [DAILY]}
LUCKY = {"min": "0.01", "max": "3.00", "total": "200.00"}
PRODUCT = {"gtin": "06901234567892", "title": "White"}
PRIMER = {"gtin": "09506000134352", "title": "Primer"}


def with_draws(document):
    """The wheel is entered by draws, and another pool with it; the first prize is turns of the wheel."""
    document["pool"][2] |= {"entered_by": "draw", "price": {"points": 100}}
    document["pool"].append(copy.deepcopy(document["pool"][2]) | {"id": "second"})
    document["pool"][0]["prize"][0] = {
        "id": "turns",
        "kind": "chance",
        "pool": "wheel",
        "amount": 3,
        "stock": 9,
    }


def with_friends(document):
    document["pool"][1] |= {"draw": "shared", "slots": 6, "open_for": "24h", "giver": "first"}


def with_packets(document):
    document["pool"][1] |= {"draw": "locked", "expires_after": "7d"}
    document["pool"][1]["prize"].pop()  # the blanks


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
    (campaign(budget="9.00"), "campaign.budget: expected none, as before", '"9.00"'),
    (pool(0, limits={"total": 9}), "pool[0].limits.total: expected none, as before", "9"),
    (pool(0, entered_by="draw"), "pool[0].entered_by: expected no change from nothing", '"draw"'),
    (prize(2, 0, value="5.00"), "pool[2].prize[0].value: expected no change from nothing", '"5.00"'),
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
        (campaign(budget="8.99"), campaign(budget="9.00"), "campaign.budget"),
        (pool(1, limits={"per_day": 4}), pool(1, limits={"per_day": 5}), "pool[1].limits.per_day"),
        (
            pool(1, limits={"per_day": 5, "total": 9}),
            pool(1, limits={"per_day": 5}),
            "pool[1].limits.total",
        ),
        (pool(2, price={"points": 99}), with_draws, "pool[2].price"),
        (pool(2, price={"points": 101}), with_draws, "pool[2].price"),
        (prize(0, 0, amount=4), with_draws, "pool[0].prize[0].amount"),
        (prize(0, 0, pool="second"), with_draws, "pool[0].prize[0].pool"),
        (pool(1, slots=5), with_friends, "pool[1].slots"),
        (pool(1, slots=7), with_friends, "pool[1].slots"),
        (pool(1, open_for="23h"), with_friends, "pool[1].open_for"),
        (pool(1, giver="last"), with_friends, "pool[1].giver"),
        (prize(1, 2, stock=798), with_friends, "pool[1].prize"),
        (insert(1, 3, id="sorry", kind="none", stock=1), with_friends, "pool[1].prize[3]"),
        (pool(1, expires_after="6d"), with_packets, "pool[1].expires_after"),
        (pool(1, entry={"windows": [DAILY | {"lasts": "6m"}]}), pool(1, entry=RAIN), "pool[1].entry"),
        (prize(1, 1, stock=201), prize(1, 1, amount=LUCKY), "pool[1].prize[1].stock"),
        (
            prize(1, 1, amount=LUCKY | {"total": "201.00"}),
            prize(1, 1, amount=LUCKY),
            "pool[1].prize[1].amount",
        ),
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
        (campaign(budget="9.01"), campaign(budget="9.00")),
        (lambda document: document["campaign"].pop("budget"), campaign(budget="9.00")),
        (campaign(contact="Ask the shop."), None),
        (pool(1, limits={"per_day": 6}), pool(1, limits={"per_day": 5})),
        (pool(1, limits={}), pool(1, limits={"per_day": 5})),
        (lambda document: document["pool"][1].pop("limits"), pool(1, limits={"per_day": 5})),
        (lambda document: document["pool"][1].pop("limits"), pool(1, limits={})),
        (gone("limits"), top(limits={})),
        (top(limits={}), None),
        (pool(0, limits={}), None),
        (top(product=[PRODUCT]), None),
        (gone("product"), top(product=[PRODUCT])),
        (top(product=[PRODUCT | {"title": "Snow"}]), top(product=[PRODUCT])),
        (top(product=[PRIMER, PRODUCT]), top(product=[PRODUCT, PRIMER])),
        (both(prize(1, 0, stock=6), prize(1, 1, stock=400), prize(1, 2, stock=1594)), with_friends),
        (both(prize(1, 0, stock=6), insert(1, 0, id="p", kind="points", amount=1, stock=1)), with_packets),
        (insert(2, 0, id="more", kind="chance", pool="second", odds="0.1"), with_draws),
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


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("change", "money"),
    [
        (campaign(budget="100.01"), {"": 1}),
        (pool(1, budget="70.00"), {"lucky": 20_00}),
        (both(campaign(budget="150.00"), pool(1, budget="50.01")), {"": 50_00, "lucky": 1}),
        (lambda document: document["campaign"].pop("budget"), {"": None}),
        (lambda document: document["pool"][1].pop("budget"), {"lucky": None}),
        (both(lambda document: document["pool"].reverse(), pool(1, budget="50.50")), {"lucky": 50}),
        (lambda document: document["pool"].append(NEW_POOL | {"budget": "8.00"}), {}),  # set, not added to
        (both(campaign(budget="100"), pool(1, budget="50")), {}),
        (prize(1, 1, stock=250), {}),
    ],
)
def test_budgets_are_told_by_what_to_add(changed, change, money, started):
    before = both(campaign(budget="100.00"), pool(1, budget="50.00"))
    changes = changed(change, started=started, before=before)
    assert (changes.refusals, changes.money) == ([], money)


def test_a_budget_where_there_was_none_is_refused_or_set_anew(changed):
    change = both(campaign(budget="100.00"), pool(1, budget="50.00"))
    assert len(changed(change, started=True).refusals) == 2
    changes = changed(change, started=False)
    assert (changes.refusals, changes.money) == ([], {})
    assert changes.difference == [
        'campaign.budget: from nothing to "100.00"',
        'pool[1].budget: from nothing to "50.00"',
    ]


def test_before_the_start_budgets_may_shrink(changed):
    before = both(campaign(budget="100.00"), pool(1, budget="50.00"))
    changes = changed(both(campaign(budget="90"), pool(1, budget="49.99")), started=False, before=before)
    assert (changes.refusals, changes.money) == ([], {"": -10_00, "lucky": -1})


@pytest.mark.parametrize(
    ("stock", "wanted"), [(199, "at least 200"), (201, "200, because the amounts add up")]
)
def test_lucky_amounts_keep_their_number_once_started(changed, stock, wanted):
    refusal, *others = changed(
        prize(1, 1, stock=stock), started=True, before=prize(1, 1, amount=LUCKY)
    ).refusals
    assert all("share of blanks" in other for other in others)
    assert refusal.startswith(f"pool[1].prize[1].stock: expected a stock of {wanted}")
    assert refusal.endswith(f"{SINCE}, got {stock}")


def test_before_the_start_lucky_amounts_may_be_others(changed):
    change = prize(1, 1, stock=150, amount=LUCKY | {"total": "160.00"})
    changes = changed(change, started=False, before=prize(1, 1, amount=LUCKY))
    assert (changes.refusals, changes.additions) == ([], {("lucky", "small"): -50})
    assert changes.difference == [
        'pool[1].prize[1].amount: from {"min": "0.01", "max": "3.00", "total": "200.00"}'
        ' to {"min": "0.01", "max": "3.00", "total": "160.00"}',
        "pool[1].prize[1].stock: from 200 to 150",
    ]


def test_another_lucky_prize_may_come_at_any_time(changed):
    more = insert(1, 1, id="more", kind="cash", amount=LUCKY, stock=100)
    changes = changed(more, started=True, before=prize(1, 1, amount=LUCKY))
    assert (changes.refusals, changes.new_stock) == ([], {("lucky", "more"): 100})


def test_products_are_compared_by_their_gtin(changed):
    before = top(product=[PRODUCT, PRIMER])
    white = PRODUCT | {"url": "https://example.com"}
    changes = changed(top(product=[PRIMER, white]), started=True, before=before)
    assert (changes.changed, changes.refusals) == (True, [])
    assert changes.difference == [
        'product 06901234567892: from {"gtin": "06901234567892", "title": "White"}'
        ' to {"gtin": "06901234567892", "title": "White", "url": "https://example.com"}',
        'product: order from ["06901234567892", "09506000134352"] to ["09506000134352", "06901234567892"]',
    ]
    assert changed(top(product=[PRIMER]), started=True, before=before).difference == [
        'product 06901234567892: from {"gtin": "06901234567892", "title": "White"} to nothing'
    ]


def test_limits_of_a_pool_are_told_with_its_path(changed):
    change = both(pool(1, limits={"per_day": 3, "total": 9}), top(limits={}))
    changes = changed(change, started=False, before=pool(1, limits={"per_day": 2, "total": 9}))
    assert changes.difference == ["limits: from nothing to {}", "pool[1].limits.per_day: from 2 to 3"]


@pytest.mark.parametrize(
    ("change", "before"),
    [
        (pool(1, entry={"windows": [DAILY | {"daily": "20:00:00", "lasts": "300s"}]}), pool(1, entry=RAIN)),
        (pool(1, open_for="1d"), with_friends),
        (pool(1, expires_after="168h"), with_packets),
    ],
)
def test_a_time_written_in_another_way_is_no_change(changed, change, before):
    assert not changed(change, started=True, before=before).changed


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


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_change_is_always_told_and_never_acts_on_what_stayed(any_document, read, data):
    document = data.draw(any_document)
    old = read(document)
    new = read(data.draw(any_document) if data.draw(st.booleans()) else altered(data, document))
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
    # Likewise the budgets that there were before, as far as there is something to add to.
    was, now = (
        {"": file.campaign.budget} | {pool.id: pool.budget for pool in file.pool} for file in (old, new)
    )
    assert changes.money == {
        name: None if now[name] is None else now[name] - was[name]
        for name in was.keys() & now.keys()
        if was[name] is not None and was[name] != now[name]
    }


def altered(data, document):
    """The same campaign with one thing in another way, or two: more would hide that one is not told."""
    document = copy.deepcopy(document)
    values = {
        "limits": st.sampled_from([{}, {"per_day": 3}, {"total": 3}]),
        "budget": st.sampled_from(["0.01", "5.00"]),
        "contact": st.just("The shop."),
    }
    tables = [(document, "limits"), (document["campaign"], "budget"), (document["campaign"], "contact")]
    tables += [(pool, name) for pool in document["pool"] for name in ("limits", "budget")]
    orders = [pool["prize"] for pool in document["pool"] if pool["draw"] != "every"]
    orders += [document["pool"], document.get("product", [])]
    prizes = [prize for pool in document["pool"] for prize in pool["prize"]]
    stocked = [prize for prize in prizes if "stock" in prize and not isinstance(prize.get("amount"), dict)]
    for _ in range(data.draw(st.integers(1, 2))):
        match data.draw(st.sampled_from(["goes", "comes", "order", "stock"])):
            case "goes":
                table, name = data.draw(st.sampled_from(tables))
                table.pop(name, None)
            case "comes":
                table, name = data.draw(st.sampled_from(tables))
                table[name] = data.draw(values[name])
            case "order":
                order = data.draw(st.sampled_from(orders))
                order[:] = data.draw(st.permutations(order))
            case "stock" if stocked:
                data.draw(st.sampled_from(stocked))["stock"] = data.draw(st.integers(1, 9))
    return document


def test_every_key_of_the_file_has_a_rule():
    prizes = [Cash, Points, Coupon, Physical, Chance, Blank]
    assert set(CampaignFile.model_fields) == {"campaign", "limits", "product", "pool"}
    assert set(Campaign.model_fields) == {"id", "currency", *CAMPAIGN_RULES}
    assert set(Limits.model_fields) == set(LIMITS_RULES)
    assert set(Pool.model_fields) == {"id", "limits", "prize", *POOL_RULES}
    assert {name for kind in prizes for name in kind.model_fields} == {"id", *PRIZE_RULES}


def test_a_prize_may_be_given_a_title_and_keeps_it(base, read):
    plain, named, renamed = (copy.deepcopy(base) for _ in range(3))
    named["pool"][1]["prize"][0]["title"] = "A phone"
    renamed["pool"][1]["prize"][0]["title"] = "Another phone"
    plain, named, renamed = (read(document) for document in (plain, named, renamed))
    assert compare(plain, named, started=True).refusals == []
    [refusal] = compare(named, renamed, started=True).refusals
    assert refusal.startswith('pool[1].prize[0].title: expected no change from "A phone"')
    assert compare(named, renamed, started=False).refusals == []
