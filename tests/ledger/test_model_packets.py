"""The model alone: locked and shared packets, chances and draws, by examples from docs/prizes.md."""

import json

import pytest

from scanner.ledger.records import Won, digest, member_digest, public_id
from tests.ledger.playing import DAY, END, HOUR, START, Play, amounts_of, pool, prize, prizes_of

POINTS = pool("points", "every", prize("p"))
PACKETS = pool("gift", "locked", prize("g", "cash", stock=3), more='expires_after = "1h"')
FRIENDS = pool("friends", "shared", prize("f", "cash", stock=9), more='slots = 3\nopen_for = "24h"')
WHEEL = pool("wheel", "deck", prize("w", stock=5), more='entered_by = "draw"\nprice = { points = 100 }')
TICKET = pool("ticket", "every", prize("t", "chance", pool='"wheel"', amount=2))


# Locked packets.


def test_a_scan_unlocks_the_oldest_packet_that_has_not_expired():
    play = Play(PACKETS, POINTS)
    assert prizes_of(play.scan()) == ["p"]  # no packet, no entry
    first, second = play.grant(request="b"), play.grant(request="a")
    play.now += HOUR - 1
    third = play.grant()
    oldest, other = sorted([first.id, second.id])
    assert first.expires_ms == START + HOUR
    assert play.pool("gift").locked == {"g": 3}
    result = play.scan()
    assert (result.unlocked, prizes_of(result)) == ([oldest], ["g", "p"])
    play.now += 1
    assert play.scan().unlocked == [third.id]  # the other one's time is over
    assert play.scan().unlocked == []
    assert [play.expire(third.id).verdict, play.expire(oldest).verdict] == ["unknown", "unknown"]
    assert play.expire(other).verdict == "expired"
    assert play.pool("gift").left == {"g": 1}
    assert play.wallet() == {}


def test_what_expires_goes_back_with_its_money_and_its_budgets():
    amount = '{ min = "0.10", max = "10.00", total = "3.00" }'
    play = Play(
        pool(
            "gift",
            "locked",
            prize("g", "cash", amount=amount, stock=3),
            more='expires_after = "1h"\nbudget = "5.00"',
        ),
        campaign='budget = "4.00"\n',
    )
    play.roll((0, 90))
    grant = play.grant()
    assert amounts_of(grant) == [100]
    state, budgets = play.pool("gift"), play.campaign.budgets
    assert (state.left, state.money_left, state.money_locked) == (
        {"g": 2},
        {"g": 200},
        {"g": 100},
    )
    assert (budgets["gift"].left, budgets["*"].left) == (400, 300)
    at = START.to_bytes(6) + (START + HOUR).to_bytes(6)
    assert play.wallet() == {f"1:{grant.id}".encode(): at + b"\1" + (100).to_bytes(6) + b"ann"}
    play.now = START + HOUR - 1
    assert play.expire(grant.id).verdict == "not_due"
    play.now += 1
    assert play.expire(grant.id).prizes.won == [Won(1, 1, 100)]
    assert (state.left, state.money_left, state.money_locked) == ({"g": 3}, {"g": 300}, {"g": 0})
    assert (budgets["gift"].left, budgets["*"].left) == (500, 400)


def test_a_grant_that_finds_nothing_is_no_grant():
    play = Play(PACKETS, campaign='budget = "1.50"\n')
    assert play.grant().verdict == "accepted"
    assert play.grant(request="x").verdict == "sold_out"  # withheld: the budget is short
    play.model.top_up_budget("spring", "", 1000)
    assert play.grant(request="x").verdict == "accepted"  # nothing had happened under this id
    play.grant()
    assert play.grant().verdict == "sold_out"
    assert play.campaign.tally.packets_granted == 3


def test_a_member_has_at_most_100_packets():
    play = Play(pool("gift", "locked", prize("g", stock=200), more='expires_after = "1h"'))
    assert {play.grant().verdict for _ in range(100)} == {"accepted"}
    assert play.grant().verdict == "limit_reached"
    assert play.grant(member="bob").verdict == "accepted"
    play.scan()
    assert play.grant().verdict == "accepted"


def test_limits_of_a_locked_pool_count_unlocking():
    play = Play(
        pool("gift", "locked", prize("g", stock=9), more='expires_after = "1h"\nlimits = { per_day = 1 }')
    )
    assert [play.grant().verdict for _ in range(2)] == ["accepted"] * 2
    assert [len(play.scan().unlocked) for _ in range(2)] == [1, 0]


def test_a_locked_chance_is_given_when_it_is_unlocked():
    play = Play(
        pool("gift", "locked", prize("t", "chance", pool='"wheel"', stock=2), more='expires_after = "1h"'),
        WHEEL,
    )
    play.grant()
    assert b"c2" not in play.wallet()
    play.scan()
    assert play.wallet() == {b"c2": b"1"}


# Shared packets.


def test_a_shared_packet_is_opened_by_friends_once_each_and_never_by_its_giver():
    play = Play(POINTS, FRIENDS)
    scan = play.scan()
    assert (scan.shared, scan.record.shared, prizes_of(scan)) == ("friends", 2, ["p"])
    assert play.pool("friends").left == {"f": 9}  # nothing is taken yet
    assert play.friend(scan.id, "ann").verdict == "own_share"
    bob = play.friend(scan.id, "bob")
    assert (bob.verdict, bob.slot, prizes_of(bob)) == ("accepted", 1, ["f"])
    again = play.friend(scan.id, "bob")
    assert (again.verdict, again.slot, again.at_ms) == ("replayed", 1, START)
    assert [play.friend(scan.id, name).slot for name in ("cyd", "dan")] == [2, 3]
    assert play.friend(scan.id, "eve").verdict == "share_used_up"
    assert play.friend(scan.id, "ann").verdict == "own_share"  # asked before the slots
    play.now += DAY
    assert play.friend(scan.id, "eve").verdict == "share_over"
    assert play.friend(scan.id, "bob").verdict == "replayed"
    assert play.friend("0" * 16, "bob").verdict == "unknown_share"


def test_a_shared_packet_is_open_until_just_before_its_time_and_the_campaigns_end():
    play = Play(FRIENDS)
    scan = play.scan()
    play.now = START + DAY - 1
    assert play.friend(scan.id, "bob").verdict == "accepted"
    play.now = END
    scan = play.scan()
    assert play.friend(scan.id, "bob").verdict == "accepted"
    play.now = END + 1
    assert play.friend(scan.id, "cyd").verdict == "share_over"
    play.model.pause("spring")
    assert play.friend(scan.id, "cyd").verdict == "not_active"


@pytest.mark.parametrize(("turn", "slot"), [("first", 1), ("last", 3)])
def test_the_givers_turn_comes_after_the_friends_draw(turn, slot):
    deck = (prize("a", stock=1), prize("b", stock=1), prize("c", stock=9))
    play = Play(pool("friends", "shared", *deck, more=f'slots = 3\nopen_for = "1h"\ngiver = "{turn}"'))
    scan = play.scan()
    results = [play.friend(scan.id, name) for name in ("bob", "cyd", "dan")]
    assert [result.slot for result in results if result.giver] == [slot]
    result = results[slot - 1]
    assert [json.loads(award)["beneficiary"] for award in result.giver.awards] == ["giver"]
    assert result.record.givers == tuple(result.giver.won)
    order = [
        name
        for one in results
        for name in prizes_of(one)
        + [json.loads(award)["prize"] for award in (one.giver.awards if one.giver else [])]
    ]
    assert order == ["a", "b", "c", "c"]


def test_limits_of_a_shared_pool_count_friends_but_neither_giver_nor_scan():
    play = Play(
        pool(
            "friends",
            "shared",
            prize("f", stock=9),
            more='slots = 9\nopen_for = "1h"\ngiver = "first"\nlimits = { total = 1 }',
        )
    )
    shares = [play.scan().id for _ in range(3)]
    assert [play.friend(share, "bob").verdict for share in shares[:2]] == ["accepted", "limit_reached"]
    assert [play.friend(share, "cyd").verdict for share in shares[1:]] == ["accepted", "limit_reached"]
    assert play.campaign.counts.keys() == {member_digest("bob"), member_digest("cyd")}


def test_a_friend_may_find_nothing_and_takes_a_slot_all_the_same():
    play = Play(pool("friends", "shared", prize("f", stock=1), more='slots = 2\nopen_for = "1h"'))
    share = play.scan().id
    assert [prizes_of(play.friend(share, name)) for name in ("bob", "cyd")] == [["f"], []]
    assert play.friend(share, "dan").verdict == "share_used_up"


# Draws.


def test_a_draw_uses_a_chance_whether_or_not_it_wins():
    play = Play(TICKET, pool("wheel", "odds", prize("w", odds='"0.5"'), more='entered_by = "draw"'))
    assert play.draw().verdict == "no_chance"
    play.scan()
    play.roll(0, 2**47)
    assert [prizes_of(play.draw()) for _ in range(2)] == [["w"], []]
    assert play.draw().verdict == "no_chance"
    assert play.wallet() == {}
    tally = play.campaign.tally
    assert (tally.chances_given, tally.chances_used, tally.draws) == (2, 2, 2)


def test_a_draw_that_is_paid_uses_no_chance():
    play = Play(TICKET, WHEEL)
    play.scan()
    assert play.draw(paid='{"points":100}', by="shop").verdict == "accepted"
    assert play.draw(paid='{"points":99}', by="shop").verdict == "malformed"
    assert play.wallet() == {b"c2": b"2"}


def test_the_order_of_a_draws_checks():
    wheel = pool(
        "wheel",
        "deck",
        prize("w", stock=5),
        more='entered_by = "draw"\nentry = { roles = ["painter"] }\nlimits = { per_day = 1 }',
    )
    play = Play(TICKET, wheel)
    assert play.draw("ticket").verdict == play.draw("none").verdict == "unknown_pool"
    play.now = END + 1
    play.model.pause("spring")
    assert play.draw().verdict == "not_active"
    play.model.resume("spring")
    assert play.draw().verdict == "campaign_over"
    play.now = START
    assert play.draw().verdict == "no_entry"
    assert play.draw(role="painter").verdict == "no_chance"
    play.scan()
    assert play.draw(role="painter", request="one").verdict == "accepted"
    refused = play.draw(role="painter")
    assert (refused.verdict, refused.until_ms) == ("limit_reached", START + DAY)
    play.now = END + 1
    assert play.draw(request="one").verdict == "replayed"


def test_a_request_id_belongs_to_who_sent_it_and_to_one_thing():
    play = Play(TICKET, WHEEL, PACKETS)
    play.scan()
    first = play.draw(request="one")
    assert first.id == public_id(digest("draw", "ann", "one"))
    again = play.draw(request="one", channel="other")
    assert (again.verdict, again.prizes, again.id) == ("replayed", first.prizes, first.id)
    assert play.draw(request="one", member="bob").verdict == "request_reused"
    assert play.draw(request="one", paid='{"points":100}').verdict == "request_reused"
    assert play.draw(request="one", by="shop", paid='{"points":100}').verdict == "accepted"
    assert play.grant(request="one").verdict == "accepted"  # grants have ids of their own
    assert play.grant(request="one").verdict == "replayed"
    assert play.grant(request="one", member="bob").verdict == "request_reused"
