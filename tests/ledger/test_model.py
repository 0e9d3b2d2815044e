"""The model alone: each rule of docs/prizes.md by an example, with loaded dice and a clock set by hand."""

import json

import pytest

from scanner.codes import KeyTable, derive
from scanner.ledger.model import ModelError
from scanner.ledger.model.facts import ScanFacts
from scanner.ledger.records import Won, member_digest
from tests.ledger.playing import (
    DAY,
    END,
    HOUR,
    PRODUCT,
    SECOND,
    START,
    Play,
    amounts_of,
    pool,
    prize,
    prizes_of,
)

POINTS = pool("points", "every", prize("p"))
WHEEL = pool("wheel", "deck", prize("w", stock=5), more='entered_by = "draw"\nprice = { points = 100 }')
TICKET = pool("ticket", "every", prize("t", "chance", pool='"wheel"', amount=2))


# What is drawn.


def test_each_kind_of_pool_draws_in_its_way_and_blanks_are_no_awards():
    play = Play(
        pool("all", "every", prize("a", stock=1), prize("b")),
        pool("deck", "deck", prize("c", stock=1), prize("no", "none", stock=2)),
        pool("odds", "odds", prize("d", odds='"0.5"', stock=1)),
    )
    play.roll(0, 0, 0)
    first = play.scan()
    play.roll(0, 5, 0)
    second = play.scan()
    assert prizes_of(first) == ["a", "c", "d"]
    assert prizes_of(second) == ["b"]
    assert second.prizes.blanks == ["deck/no"]
    assert second.record.won == (Won(1, 2), Won(2, 2))
    assert play.pool("odds").left == {"d": 0}


def lucky(stock, total, *, least="0.10", most="10.00", more=""):
    amount = f'{{ min = "{least}", max = "{most}", total = "{total}" }}'
    return pool("lucky", "every", prize("l", "cash", amount=amount, stock=stock), more=more)


def test_lucky_amounts_are_counted_to_the_fen():
    # Three of 0.10 to 10.00 that add up to 3.00: the mean is 100, the nearer bound 90 away, so 10 to 190.
    play = Play(lucky(3, "3.00"))
    play.roll((0, 0))
    assert amounts_of(play.scan()) == [10]
    # 290 are left for two: the mean is 145, the nearer bound 135 away, so 10 to 280; v goes round.
    play.roll((0, 271 + 5))
    assert amounts_of(play.scan()) == [15]
    play.roll((0, 2**48 - 1))
    assert amounts_of(play.scan()) == [275]  # the last one is the rest
    assert amounts_of(play.scan()) == []
    assert play.pool("lucky").money_given == {"l": 300}


@pytest.mark.parametrize(("v", "second"), [(0, 10), (1, 11)])
def test_where_the_mean_comes_down_to_a_bound_all_that_is_left_is_that_bound(v, second):
    play = Play(lucky(3, "0.31"))
    # One fen above the least for three: w is 1, so ceil(30/3) = 10 to floor(32/3) = 10.
    play.roll((0, 7))
    assert amounts_of(play.scan()) == [10]
    # 21 for two: w is 1, so ceil(20/2) = 10 to floor(22/2) = 11.
    play.roll((0, v))
    assert amounts_of(play.scan()) == [second]
    assert amounts_of(play.scan()) == [21 - second]


def test_an_amount_never_leaves_more_than_the_others_may_hold():
    # Two of 0.10 to 1.00 that add up to 1.95: 95 to 100, because the other holds 100 at most.
    for v, amount in ((0, 95), (5, 100), (6, 95)):
        play = Play(lucky(2, "1.95", most="1.00"))
        play.roll((0, v))
        assert amounts_of(play.scan()) == [amount]


def test_chances_of_a_prize_are_kept_in_the_wallet_at_once():
    play = Play(TICKET, WHEEL)
    award = json.loads(play.scan().prizes.awards[0])
    assert (award["kind"], award["draws"], award["amount"]) == ("chance", "wheel", 2)
    assert play.wallet() == {b"c2": b"2"}
    play.scan()
    assert play.wallet() == {b"c2": b"4"}


# Budgets.


def test_a_prize_that_a_budget_is_short_of_is_withheld_and_stays():
    play = Play(
        pool("cash", "deck", prize("c", "cash", stock=9), more='budget = "2.50"'),
        POINTS,
        campaign='budget = "1.50"\n',
    )
    assert prizes_of(play.scan()) == ["c", "p"]
    result = play.scan()
    assert (prizes_of(result), result.prizes.withheld) == (["p"], ["cash/c"])
    assert result.record.won == (Won(2, 1),)
    assert play.pool("cash").left == {"c": 8}
    assert {name: budget.left for name, budget in play.campaign.budgets.items()} == {"*": 50, "cash": 150}
    play.model.top_up_budget("spring", "", 150)
    assert prizes_of(play.scan()) == ["c", "p"]
    assert prizes_of(play.scan()) == ["p"]  # now it is the pool's budget that is short
    assert play.pool("cash").withheld == {"c": 2}


def test_a_budget_counts_what_things_are_worth_and_points_are_worth_nothing():
    play = Play(
        pool("things", "every", prize("t", "physical", value='"3.00"', amount=2)),
        POINTS,
        campaign='budget = "6.00"\n',
    )
    assert prizes_of(play.scan()) == ["t", "p"]
    assert prizes_of(play.scan()) == ["p"]
    assert play.campaign.budgets["*"].spent == 600


def test_a_withheld_lucky_amount_takes_nothing_out_of_its_money():
    play = Play(lucky(3, "3.00", more='budget = "0.50"'))
    play.roll((0, 41))
    assert play.scan().prizes.withheld == ["lucky/l"]  # 51
    assert play.pool("lucky").money_left == {"l": 300}
    play.roll((0, 40))
    assert amounts_of(play.scan()) == [50]
    assert play.campaign.budgets["lucky"].left == 0


# Limits.


def test_at_the_limit_of_a_day_a_scan_is_refused_and_the_code_stays_free():
    play = Play(POINTS, top="[limits]\nper_day = 2\ntotal = 3\n")
    play.scan(), play.scan()
    refused = play.scan(serial=50)
    assert (refused.verdict, refused.until_ms) == ("limit_reached", START + DAY)
    assert play.scan("bob", serial=50).verdict == "accepted"
    play.now = START + DAY - 1
    assert play.scan(serial=51).verdict == "limit_reached"
    play.now = START + DAY
    assert play.scan(serial=51).verdict == "accepted"
    refused = play.scan(serial=52)
    assert (refused.verdict, refused.until_ms) == ("limit_reached", 0)  # three in all: never again


def test_counts_are_stored_by_the_day_and_restart_with_it():
    play = Play(
        pool("points", "every", prize("p"), more="limits = { per_day = 5 }"),
        pool("app", "every", prize("a"), more='limits = { total = 9 }\nentry = { channels = ["app"] }'),
        top="[limits]\nper_day = 5\n",
    )

    def stored():
        counts = play.campaign.counts[member_digest("ann")]
        data = counts.pack()
        rows = [data[at : at + 9] for at in range(4, len(data), 9)]
        return int.from_bytes(data[:4]), {row[0]: (row[4], row[8]) for row in rows}, counts.expires_ms

    play.scan(channel="app"), play.scan()
    # The total of one pool keeps them until a year after the end.
    assert stored() == (20270301, {0: (2, 2), 1: (2, 2), 2: (1, 1)}, END + 366 * DAY)
    play.now += DAY
    play.scan()
    assert stored() == (20270302, {0: (1, 3), 1: (1, 3), 2: (0, 1)}, END + 366 * DAY)


def test_counts_of_days_alone_are_gone_with_the_day():
    play = Play(POINTS, top="[limits]\nper_day = 5\n")
    play.scan()
    counts = play.campaign.counts[member_digest("ann")]
    assert counts.expires_ms == START + DAY
    play.now += DAY + 1
    play.scan()
    assert play.campaign.counts[member_digest("ann")].of == {0: [1, 1]}


def test_at_a_pools_limit_a_scan_is_accepted_without_it():
    play = Play(pool("deck", "deck", prize("d", stock=1), more="limits = { total = 2 }"), POINTS)
    assert prizes_of(play.scan()) == ["d", "p"]
    assert prizes_of(play.scan()) == ["p"]  # counted, though there was nothing left to win
    play.model.top_up("spring", "deck", "d", 5)
    assert prizes_of(play.scan()) == ["p"]
    assert prizes_of(play.scan("bob")) == ["d", "p"]


# Who enters.


def test_beneficiaries_have_their_own_pools():
    play = Play(
        POINTS,
        pool("shop", "every", prize("s", "cash"), more='beneficiary = "seller"'),
        pool("host", "every", prize("h", "cash"), more='beneficiary = "inviter"'),
    )
    assert prizes_of(play.scan()) == ["p"]
    assert prizes_of(play.scan(seller="shop-1", inviter="ida")) == ["p", "s", "h"]
    play.model.assign(1, "shop-2")
    result = play.scan()
    assert [json.loads(award)["beneficiary"] for award in result.prizes.awards] == ["member", "seller"]
    play.model.assign(1, "")
    assert prizes_of(play.scan()) == ["p"]


def test_conditions_of_entry_must_all_hold():
    play = Play(
        pool("vip", "every", prize("v"), more='entry = { roles = ["painter"], tiers = ["gold"] }'),
        pool("tv", "every", prize("t"), more='entry = { windows = [{ daily = "20:00", lasts = "5m" }] }'),
        pool("can", "every", prize("c"), more=f'entry = {{ products = ["{PRODUCT}"], channels = ["app"] }}'),
    )
    assert prizes_of(play.scan(role="painter")) == []
    assert prizes_of(play.scan(role="painter", tier="gold", channel="app")) == ["v", "c"]
    play.now = START + 20 * HOUR
    assert prizes_of(play.scan()) == ["t"]
    play.now += 300 * SECOND
    assert prizes_of(play.scan()) == []


# The order of a scan's checks.


def test_a_scan_is_answered_the_same_for_ever_and_others_are_told_when():
    play = Play(POINTS)
    first = play.scan(serial=7)
    play.now = END + 1
    play.model.block(1)
    again = play.scan(serial=7)
    assert (again.verdict, again.at_ms, again.prizes) == ("replayed", START, first.prizes)
    other = play.scan("bob", serial=7)
    assert (other.verdict, other.at_ms) == ("claimed", START)
    assert play.campaign.scans == 1


def test_what_refuses_a_scan_in_its_order():
    play = Play(POINTS, top="[limits]\ntotal = 1\n")
    play.scan()
    play.model.register(2, kid=1, size=10, product=PRODUCT, campaign="spring", pin=True)
    play.model.block(2)
    play.model.pause("spring")
    assert play.model.scan(facts_of(2, must_wait=True), play.now).verdict == "throttled"
    assert play.model.scan(facts_of(2), play.now).verdict == "blocked"
    play.model.lots[2].blocked = False
    assert play.model.scan(facts_of(2), play.now).verdict == "not_active"
    play.model.activate(2, 0, 9)
    paused = play.model.scan(facts_of(2), START - 1)
    assert (paused.verdict, paused.until_ms) == ("not_active", 0)
    play.model.resume("spring")
    early = play.model.scan(facts_of(2), START - 1)
    assert (early.verdict, early.until_ms) == ("not_active", START)
    assert play.model.scan(facts_of(2), END + 1).verdict == "campaign_over"
    assert play.model.scan(facts_of(2), END).verdict == "limit_reached"


def facts_of(lot, **facts):
    return ScanFacts(lot, 0, "ann", **facts)


def test_the_door():
    play = Play(POINTS)
    play.model.register(2, kid=1, size=10, product=PRODUCT, campaign="spring", pin=True)
    door = play.model.door
    assert door(1, 1, 999) == door(1, 1, 0, gtin=PRODUCT) == door(1, 2, 0, pin="041337") == ""
    assert {door(1, 3, 0), door(2, 1, 0), door(1, 1, 1000), door(1, 1, 0, gtin="0")} == {"unknown_code"}
    assert (door(1, 2, 0), door(1, 2, 0, pin="041338")) == ("pin_required", "pin_wrong")


def test_a_moved_lot_wins_what_its_new_campaign_gives():
    play = Play(POINTS)
    file = play.campaign.file
    autumn = file.model_copy(update={"campaign": file.campaign.model_copy(update={"id": "autumn"})})
    play.model.apply(autumn, no=2, at_ms=START - DAY)
    play.model.move(1, "autumn")
    assert play.scan().record.campaign_no == 2
    assert (play.campaign.scans, play.model.campaigns["autumn"].scans) == (0, 1)
    with pytest.raises(ModelError, match="belonged to campaign autumn"):
        play.model.move(1, "spring", before="spring")


# Changes.


def test_top_ups_stay_on_top_of_what_later_files_add():
    def cash(stock, budget):
        return pool("cash", "deck", prize("c", "cash", stock=stock), more=f'budget = "{budget}"')

    play = Play(cash(5, "9.00"))
    play.model.top_up("spring", "cash", "c", 7)
    play.apply(cash(6, "9.00"), at=START - 1)
    assert play.pool("cash").put_in == {"c": 6}  # before the start, all is filled anew
    play.model.top_up("spring", "cash", "c", 2)
    play.model.top_up_budget("spring", "cash", 50)
    play.scan()
    play.apply(cash(10, "9.50"), at=START)
    state, budget = play.pool("cash"), play.campaign.budgets["cash"]
    assert (state.put_in, state.given, state.left) == ({"c": 12}, {"c": 1}, {"c": 11})
    assert (budget.put_in, budget.spent, budget.left) == (1000, 100, 900)
    play.apply(pool("cash", "deck", prize("c", "cash", stock=10)), at=START)
    assert play.campaign.budgets == {}  # lifted


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda model: model.top_up("spring", "deck", "gone", 1), "there is no prize"),
        (lambda model: model.top_up("spring", "points", "p", 1), "has no limit"),
        (lambda model: model.top_up("spring", "lucky", "l", 1), "as many pieces as its money"),
        (lambda model: model.top_up("spring", "deck", "no", 1), "take away"),
        (lambda model: model.top_up("spring", "deck", "d", 0), "by 0 pieces"),
        (lambda model: model.top_up_budget("spring", "deck", 1), "has no budget"),
        (lambda model: model.top_up_budget("spring", "", 1), "has no budget"),
        (lambda model: model.top_up_budget("autumn", "", 1), "never applied"),
        (lambda model: model.pause("autumn"), "never applied"),
        (lambda model: model.assign(9, "shop"), "never registered"),
    ],
)
def test_changes_that_cannot_be(change, why):
    deck = pool("deck", "deck", prize("d", stock=1), prize("no", "none", stock=1))
    with pytest.raises(ModelError, match=why):
        change(Play(POINTS, deck, lucky(3, "3.00")).model)


# What people read.


def test_the_report_tells_days_and_accounts():
    play = Play(POINTS, pool("cash", "deck", prize("c", "cash", stock=3), prize("no", "none", stock=1)))
    play.scan()
    play.now = START + DAY  # midnight in Shanghai
    play.roll(0, 2)
    play.scan()
    rows = [
        (row.day, row.pool, row.kind, row.pieces, row.money, row.units) for row in play.campaign.given_rows()
    ]
    assert rows == [
        ("2027-03-01", "points", "points", 1, 0, 1),
        ("2027-03-01", "cash", "cash", 1, 100, 0),
        ("2027-03-02", "points", "points", 1, 0, 1),
        ("2027-03-02", "cash", "none", 1, 0, 0),
    ]
    sheet = {row.prize: row for row in play.campaign.sheet()}
    cash = sheet["c"]
    assert (cash.put_in, cash.given, cash.locked, cash.left) == (3, 1, 0, 2)
    assert (cash.money_put_in, cash.money_given, cash.money_left) == (300, 100, 200)
    assert (sheet["p"].put_in, sheet["p"].money_put_in) == (None, None)


def test_with_keys_the_draws_are_those_of_the_contract():
    table = KeyTable({1: derive(bytes(range(32)))})
    play = Play(lucky(500, "500.00"), WHEEL, table=table)
    result = play.scan(serial=3)
    v = table.draw_pair(1, 1, 3, b"lucky")[1]
    assert amounts_of(result) == [10 + v % 181]
    assert result.id == table.scan_id(1, 1, 3)
    assert play.draw(request="r", by="shop", paid='{"points":100}').record.won == (Won(2, 1),)
