"""The replay without a store: entries as docs/prizes.md has them, written here from what the model predicted.

Whatever is played, the replay of its entries finds no difference, with keys and without, and comes to the
same state; nothing is created or lost on the way; and an entry that is changed is named.
"""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import canonical, parse
from scanner.codes import KeyTable, derive
from scanner.ledger.audit.replay import Replay
from scanner.ledger.keys import Keys
from scanner.ledger.model.facts import DrawFacts, FriendFacts, GrantFacts, ScanFacts
from scanner.ledger.records import digest, member_digest
from tests.ledger.playing import DAY, HEAD, HOUR, PRODUCT, SECOND, START, Play, pool, prize

TABLE = KeyTable({1: derive(bytes(range(32)))})
KEYS = Keys("main")


def lucky(stock, total):
    return {"amount": f'{{ min = "0.10", max = "5.00", total = "{total}" }}', "stock": stock}


def campaign(more=0):
    """A file with every rule in it; `more` is what later versions of it add."""
    return (
        'budget = "60.00"\n' if more < 2 else "",
        "[limits]\nper_day = 6\ntotal = 20\n",
        pool(
            "deck",
            "deck",
            prize("cash", "cash", **lucky(12, "18.00")),
            prize("thing", "physical", value='"4.00"', stock=4 + more),
            prize("no", "none", stock=8),
            more=f'budget = "{20 + more}.00"\nlimits = {{ per_day = 3 }}',
        ),
        pool("first", "every", prize("one", stock=5 + more), prize("two", "cash", **lucky(9, "9.00"))),
        pool(
            "odds",
            "odds",
            prize("turn", "chance", pool='"wheel"', amount=2, odds='"0.4"'),
            prize("coupon", "coupon", coupon='"C"', odds='"0.2"', stock=3 + more),
            more='entry = { channels = ["app"] }',
        ),
        pool("shop", "every", prize("s", "cash"), more='beneficiary = "seller"'),
        pool(
            "gift",
            "locked",
            prize("g", "cash", **lucky(6, "12.00")),
            prize("t", "chance", pool='"wheel"', stock=4 + more),
            more='expires_after = "2h"\nlimits = { total = 4 }\nbudget = "9.00"',
        ),
        pool(
            "friends",
            "shared",
            prize("f", "cash", **lucky(15, "20.00")),
            prize("none", "none", stock=5),
            more='slots = 2\nopen_for = "3h"\ngiver = "last"\nlimits = { per_day = 4 }',
        ),
        pool(
            "wheel",
            "deck",
            prize("w", stock=9 + more),
            prize("again", "chance", pool='"wheel"', stock=3),
            more='entered_by = "draw"\nprice = { points = 100 }\nlimits = { per_day = 5 }',
        ),
    )


class Recorded(Play):
    """A play that writes the entry of all that was accepted."""

    def __init__(self):
        self.entries, self.grants, self.shares = [], [], []
        budget, limits, *pools = campaign()
        self.version = 0
        super().__init__(*pools, campaign=budget, top=limits, table=TABLE, lot_size=200)
        lot = {"at": START - DAY, "by": "test", "lot": 1}
        self.write("lot.registered", **lot, kid=1, size=200, product=PRODUCT, campaign="spring", pin=0)
        self.write("lot.activated", **lot, **{"from": 0, "to": 199})

    def write(self, type, **fields):
        self.entries.append(
            {"type": type} | {name: _text(value) for name, value in fields.items() if value != ""}
        )

    def apply(self, *pools, campaign="", top="", at=None):
        super().apply(*pools, campaign=campaign, top=top, at=at)
        state = self.campaign
        self.write(
            "campaign.applied",
            at=self.now if at is None else at,
            by="test",
            campaign="spring",
            no=1,
            rules=state.plan.version,
            file=canonical(parse(HEAD + campaign + top + "".join(pools))).decode(),
        )

    def apply_more(self):
        self.version += 1
        budget, limits, *pools = campaign(self.version)
        self.apply(*pools, campaign=budget, top=limits)

    def claim(self, type, result, facts, **fields):
        if result.verdict != "accepted":
            return
        rules = self.campaign.plan.version
        said = _prizes(result.prizes) | (_prizes(result.giver, "giver_") if result.giver else {})
        fields = facts._asdict() | {"at": result.at_ms, "id": result.id, "rules": rules} | fields | said
        fields.pop("must_wait", None)
        self.write(type, **fields)

    def scans(self, member, channel, seller):
        result = self.scan(member, channel=channel, seller=seller)
        seller = seller or self.model.lots[1].seller  # an entry names whoever sold it
        facts = ScanFacts(1, self.serial, member, channel=channel, seller=seller)
        share = result.shared
        self.claim(
            "scan.accepted",
            result,
            facts,
            campaign="spring",
            product=PRODUCT,
            share=share,
            unlocked=json.dumps(result.unlocked) if result.unlocked else "",
        )
        self.shares += [result.id] if share else []

    def draws(self, member, paid):
        paid = '{"points":100}' if paid else ""
        result = self.draw(member=member, by=member, paid=paid)
        request = f"r{self.requests}"
        self.claim("draw.made", result, DrawFacts("spring", "wheel", member, member, request, 1, paid=paid))

    def grants_one(self, member):
        result = self.grant(member=member)
        facts = GrantFacts("spring", "gift", member, "shop", f"r{self.requests}", 1)
        self.claim("grant.made", result, facts, expires=result.expires_ms)
        if result.verdict == "accepted":
            self.grants.append((result.id, member))

    def opens(self, place, member):
        if not self.shares:
            return
        share = self.shares[place % len(self.shares)]
        result, opened = self.friend(share, member), self.model.shares[share]
        self.claim(
            "share.claimed",
            result,
            FriendFacts(share, member),
            campaign="spring",
            pool="friends",
            lot=1,
            serial=opened.serial,
            kid=1,
            giver=opened.giver,
            slot=result.slot,
        )

    def sweeps(self):
        for grant, member in self.grants:
            result = self.expire(grant, member)
            if result.verdict == "expired":
                won = result.prizes.won[0]
                name = self.campaign.plan.prizes[won.pool, won.prize].id
                self.write(
                    "grant.expired",
                    at=self.now,
                    id=grant,
                    campaign="spring",
                    pool="gift",
                    member=member,
                    prize=name,
                    amount=won.amount or "",
                )

    def tops_up(self):
        at = {"at": self.now, "by": "test", "campaign": "spring"}
        self.model.top_up("spring", "deck", "thing", 3)
        self.write("pool.topped_up", **at, pool="deck", prize="thing", n=3)
        for name in ("deck", ""):
            if (name or "*") in self.campaign.budgets:
                self.model.top_up_budget("spring", name, 500)
                self.write("budget.topped_up", **at, pool=name, amount=500)

    def pauses(self):
        paused = self.campaign.paused
        (self.model.resume if paused else self.model.pause)("spring")
        self.write("campaign.resumed" if paused else "campaign.paused", at=self.now, campaign="spring")

    def assigns(self, seller):
        self.model.assign(1, seller)
        self.write("lot.assigned", at=self.now, by="test", lot=1, seller=seller)


def _text(value):
    return value if isinstance(value, str) else str(value)


def _prizes(prizes, prefix=""):
    fields = {"awards": "[" + ",".join(prizes.awards) + "]"}
    fields |= {name: json.dumps(getattr(prizes, name)) for name in ("blanks", "withheld")}
    return {prefix + name: value for name, value in fields.items() if value != "[]" or name == "awards"}


def replayed(entries, table=TABLE):
    replay = Replay(KEYS, table)
    left = [one for n, fields in enumerate(entries) for one in replay.fold(f"{n}-0", fields)]
    return replay, left


MEMBERS = st.sampled_from(["ann", "bob", "cyd"])
STEPS = st.one_of(
    st.tuples(st.just("scans"), MEMBERS, st.sampled_from(["", "app"]), st.sampled_from(["", "shop-1"])),
    st.tuples(st.just("scans"), MEMBERS, st.just("app"), st.just("")),
    st.tuples(st.just("draws"), MEMBERS, st.booleans()),
    st.tuples(st.just("grants_one"), MEMBERS),
    st.tuples(st.just("opens"), st.integers(0, 9), MEMBERS),
    st.tuples(st.just("opens"), st.integers(0, 9), st.sampled_from(["dan", "eve"])),
    st.tuples(st.just("sweeps")),
    st.tuples(st.just("tops_up")),
    st.tuples(st.just("apply_more")),
    st.tuples(st.just("assigns"), st.sampled_from(["", "shop-2"])),
    st.tuples(st.just("passes"), st.sampled_from([SECOND, HOUR, 9 * HOUR])),
    st.tuples(st.just("pauses")),
)


def play_of(steps):
    play = Recorded()
    for name, *args in steps:
        if name == "passes":
            play.now += args[0]
        else:
            getattr(play, name)(*args)
            if name == "pauses" and len(play.entries) % 3:
                play.pauses()  # mostly for a moment only
    return play


def nothing_is_lost(state):
    spent = dict.fromkeys(["*", *state.pools], 0)
    for row in state.sheet():
        pool_state = state.pools[row.pool]
        if row.put_in is not None:
            assert row.put_in == row.given + row.locked + row.left
            assert row.left >= 0
        if row.money_put_in is not None:
            assert row.money_put_in == row.money_given + row.money_locked + row.money_left
        one = state.prizes[row.pool, row.prize]
        pieces = pool_state.given[row.prize] + pool_state.locked[row.prize]
        money = row.money_given + row.money_locked if one.max else pieces * one.worth
        spent[row.pool] += money
        spent["*"] += money
        if one.max:
            assert row.left * one.min <= row.money_left <= row.left * one.max
    for name, budget in state.budgets.items():
        assert budget.spent == spent[name]
        assert budget.left >= 0
    packets = sum(wallet.packet_count for wallet in state.wallets.values())
    assert packets == sum(sum(one.locked.values()) for one in state.pools.values())
    tally = state.tally
    assert packets == tally.packets_granted - tally.packets_unlocked - tally.packets_expired
    chances = sum(sum(wallet.chances.values()) for wallet in state.wallets.values())
    assert chances == tally.chances_given - tally.chances_used
    given = sum(row.pieces for row in state.given_rows())
    assert given == sum(sum(one.given.values()) for one in state.pools.values())


@settings(deadline=None, max_examples=40)
@given(st.lists(STEPS, max_size=120))
def test_whatever_is_played_is_replayed_to_the_same_state(steps):
    play = play_of(steps)
    nothing_is_lost(play.campaign)
    for table in (TABLE, None):
        replay, left = replayed(play.entries, table)
        assert replay.differences == []
        model = replay.model
        assert (model.lots, model.campaigns) == (play.model.lots, play.model.campaigns)
        assert (model.shares, model.requests) == (play.model.shares, play.model.requests)
        results = play.model._results or {}
        assert {one.value for one in left if not isinstance(one.value, bytes)} == {
            result.record for result in results.values()
        }


def test_a_long_play_comes_to_everything_there_is():
    """What makes the property above worth something: each rule is met in it."""
    source = random.Random(11)
    wanders = [
        lambda: ("scans", source.choice("abcdef"), source.choice(["app", ""]), source.choice(["", "shop"])),
        lambda: ("scans", source.choice("abcdef"), "app", ""),
        lambda: ("draws", source.choice("abcdef"), source.random() < 0.3),
        lambda: ("grants_one", source.choice("abcdef")),
        lambda: ("opens", source.randrange(50), source.choice("abcdefgh")),
        lambda: ("passes", source.choice([SECOND, HOUR])),
        lambda: ("sweeps",),
    ]
    steps = [source.choice(wanders)() for _ in range(600)]
    play = play_of([*steps[:400], ("tops_up",), ("apply_more",), *steps[400:]])
    nothing_is_lost(play.campaign)
    assert [replayed(play.entries, table)[0].differences for table in (TABLE, None)] == [[], []]
    tally = play.campaign.tally
    assert all(getattr(tally, name) for name in tally.__slots__), tally
    assert any(any(state.withheld.values()) for state in play.campaign.pools.values())
    assert any(0 in state.left.values() for state in play.campaign.pools.values())


def a_busy_play():
    steps = [("scans", "ann", "app", "")] * 6 + [("grants_one", "bob")] * 2 + [("draws", "cyd", True)]
    steps += [("opens", 0, "bob"), ("opens", 0, "cyd"), ("scans", "bob", "app", ""), ("passes", 2 * HOUR)]
    return play_of([*steps, ("sweeps",), ("scans", "cyd", "", "")])


def test_what_entries_leave_in_the_store():
    play = a_busy_play()
    _, left = replayed(play.entries)
    by_key = {(one.key.removeprefix(KEYS.prefix), one.field): one for one in left}
    first = TABLE.scan_id(1, 1, 0)
    assert by_key["claims:1:0", b"0"].name == "lot 1, serial 0"
    assert by_key[f"share:{first}", b"giver"].value == b"ann"
    assert by_key[f"share:{first}", b"at"].value == str(START).encode()
    friend = by_key[f"share:{first}", member_digest("cyd")]
    assert friend.value.givers
    request = digest("grant", "shop", "r1")
    assert by_key[f"requests:{request.hex()[:3]}", request[:16]].name.startswith("grant ")


def change(kind, nth=0, **fields):
    """Changes fields of the nth entry of a kind; None takes one out."""

    def changed(entries):
        places = [place for place, entry in enumerate(entries) if entry["type"] == kind]
        entry = entries[places[nth]]
        for name, value in fields.items():
            entry.pop(name, None)
            if value is not None:
                entry[name] = value(entry) if callable(value) else value

    return changed


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (change("scan.accepted", id="0" * 16), "scan_id"),
        (change("scan.accepted", share=None), "a packet was to be opened for friends in friends"),
        (change("scan.accepted", nth=2, channel=None), "pool odds: the scan did not enter it"),
        (change("scan.accepted", nth=1, serial="0"), "was accepted before"),
        (change("scan.accepted", nth=6, unlocked="[]"), "were to be unlocked"),
        (change("scan.accepted", at=str(START - 1)), "outside the campaign's time"),
        (change("scan.accepted", awards="[]", blanks=None), "the entry says nothing"),
        (change("scan.accepted", withheld='["deck/thing"]'), "two prizes were drawn from it"),
        (change("scan.accepted", blanks='["deck/thing"]'), "there is no blank deck/thing"),
        (change("draw.made", id="0" * 16), "its id is"),
        (change("draw.made", paid='{"points":1}'), "is not the price"),
        (change("draw.made", paid=None), "had no draw left"),
        (change("draw.made", pool="deck"), "no such pool deck"),
        (change("draw.made", rules="0"), "the rules in force"),
        (change("grant.made", expires="5"), "the packet expires at"),
        (change("grant.made", awards="[]"), "a packet of nothing was granted"),
        (change("grant.made", nth=1, request="r1"), "was used before"),
        (change("grant.expired", at=str(START)), "has not expired"),
        (change("grant.expired", id="0" * 16), "has no packet"),
        (change("grant.expired", prize="x"), "what goes back is"),
        (change("share.claimed", slot="3"), "the packet's slot is 1"),
        (change("share.claimed", giver="eve"), "the packet's giver is ann"),
        (change("share.claimed", member="ann"), "the giver's own"),
        (change("share.claimed", nth=1, member="bob"), "has opened this packet before"),
        (change("share.claimed", nth=1, giver_awards=None), "pool friends: the draw gives"),
        (change("share.claimed", share="0" * 16), "no packet of the scan"),
    ],
)
def test_an_entry_that_was_changed_is_named(changed, named):
    entries = a_busy_play().entries
    changed(entries)
    replay, _ = replayed(entries)
    assert any(named in found.text for found in replay.differences), replay.differences
