"""What the lines of a file must be to each other: each rule is broken once, and told with its path."""

import json

import pytest

from scanner.campaigns import CampaignFileError, canonical, from_canonical

CHANCE = {"id": "turn", "kind": "chance", "pool": "wheel"}
THANKS = {"id": "thanks", "kind": "none", "stock": 1}
SHARED = {"draw": "shared", "slots": 6, "open_for": "24h"}
LOCKED = {"draw": "locked", "expires_after": "7d"}
GTIN, OTHER_GTIN = "06901234567892", "09506000134352"
MOST = "10000000000000.00"


@pytest.fixture
def base(base):
    """The base, with its wheel entered by draws and its deck without blanks, so that it can be any pool."""
    base["pool"][2] |= {"entered_by": "draw", "price": {"points": 100}}
    base["pool"][1]["prize"].pop()
    return base


def problems(read, document):
    try:
        file = read(document)
    except CampaignFileError as error:
        return list(error.problems)
    assert from_canonical(canonical(file)) == file
    return []


def at(pool, *change, **values):
    """A change to a pool: keys that go, and keys that are set."""

    def apply(document):
        for key in change:
            document["pool"][pool].pop(key)
        document["pool"][pool] |= values

    return apply


def prize(pool, place, **values):
    return lambda document: document["pool"][pool]["prize"][place].update(values)


def won(pool, values, **more):
    """A prize in front of those of a pool."""
    return lambda document: document["pool"][pool]["prize"].insert(0, values | more)


def products(*gtins):
    return lambda document: document.update(product=[{"gtin": gtin, "title": "White"} for gtin in gtins])


def budget(document):
    document["campaign"]["budget"] = "1.00"


NOT_SCANNED = 'expected "scan" with draw = '
BELONGS = "expected none, because it belongs to draw = "


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # products
        ([products(GTIN, OTHER_GTIN)], []),
        (
            [products(GTIN, OTHER_GTIN, GTIN)],
            [f'product[2].gtin: expected a GTIN that no other product has, got "{GTIN}"'],
        ),
        # keys that belong to a draw
        ([at(1, **SHARED)], []),
        ([at(1, **SHARED, giver="first")], []),
        ([at(1, **LOCKED)], []),
        ([at(1, slots=6)], [f'pool[1].slots: {BELONGS}"shared", got 6']),
        ([at(1, open_for="90s")], [f'pool[1].open_for: {BELONGS}"shared", got "90s"']),
        ([at(0, giver="first")], [f'pool[0].giver: {BELONGS}"shared", got "first"']),
        ([at(2, expires_after="1h")], [f'pool[2].expires_after: {BELONGS}"locked", got "1h"']),
        (
            [at(1, **SHARED, expires_after="1h")],
            [f'pool[1].expires_after: {BELONGS}"locked", got "1h"'],
        ),
        ([at(1, **LOCKED, slots=6)], [f'pool[1].slots: {BELONGS}"shared", got 6']),
        (
            [at(1, draw="shared")],
            [
                f'pool[1].{key}: expected one, because the pool has draw = "shared", got nothing'
                for key in ("slots", "open_for")
            ],
        ),
        (
            [at(1, draw="locked")],
            ['pool[1].expires_after: expected one, because the pool has draw = "locked", got nothing'],
        ),
        # packets are a member's
        *(
            (
                [at(1, **packet, beneficiary=who)],
                [
                    f'pool[1].beneficiary: expected "member", because a {packet["draw"]} packet is a'
                    f' member\'s, got "{who}"'
                ],
            )
            for packet in (SHARED, LOCKED)
            for who in ("seller", "inviter")
        ),
        ([at(1, beneficiary="seller"), at(0, beneficiary="inviter")], []),
        # one shared pool
        (
            [at(1, **SHARED), lambda document: document["pool"].append(document["pool"][1] | {"id": "b"})],
            ["pool[3].draw: expected one shared pool in a campaign, got a second"],
        ),
        # nothing to lose in a locked packet
        (
            [at(1, **LOCKED), won(1, THANKS)],
            [
                "pool[1].prize[0].kind: expected a kind that gives something, because a packet is there to be"
                ' unlocked, got "none"'
            ],
        ),
        ([at(1, **SHARED), won(1, THANKS)], []),
        # who may draw
        ([at(0, entered_by="scan"), at(1, entered_by="draw")], []),
        ([at(2, "price")], []),
        (
            [at(0, price={"points": 5})],
            ['pool[0].price: expected none without entered_by = "draw", got a table'],
        ),
        (
            [at(0, price={"points": 5}, entered_by="scan")],
            ['pool[0].price: expected none without entered_by = "draw", got a table'],
        ),
        ([at(1, **SHARED, entered_by="draw")], [f'pool[1].entered_by: {NOT_SCANNED}"shared", got "draw"']),
        ([at(1, **LOCKED, entered_by="draw")], [f'pool[1].entered_by: {NOT_SCANNED}"locked", got "draw"']),
        ([at(1, **SHARED, entered_by="scan")], []),
        ([at(1, entry={"products": [GTIN]})], []),
        (
            [at(2, entry={"products": [GTIN], "roles": ["worker"]})],
            ["pool[2].entry.products: expected none, because a draw has no product, got a list"],
        ),
        ([at(2, entry={"roles": ["worker"]})], []),
        (
            [at(2, beneficiary="seller")],
            ['pool[2].beneficiary: expected "member", because a draw is a member\'s, got "seller"'],
        ),
        # chances
        ([won(0, CHANCE, stock=1)], []),
        ([won(1, CHANCE, stock=1), at(1, **LOCKED)], []),
        *(
            (
                [won(0, CHANCE | {"pool": name}, stock=1)],
                [f'pool[0].prize[0].pool: expected the id of a pool with entered_by = "draw", got "{name}"'],
            )
            for name in ("points", "lucky", "nowhere")
        ),
        *(
            (
                [won(1, CHANCE, stock=1), at(1, **values)],
                [
                    "pool[1].prize[0].kind: expected another kind, because a chance is won by the member who"
                    ' scans, got "chance"'
                ],
            )
            for values in (SHARED, {"beneficiary": "seller"}, {"beneficiary": "inviter"})
        ),
        # what is taken out of a budget
        ([prize(1, 0, value="1.00", amount=10**15)], []),
        ([budget, prize(1, 0, value="1.00", amount=10**13)], []),
        *(
            (
                [bound, prize(1, 0, value="1.00", amount=10**13 + 1)],
                [
                    f"pool[1].prize[0].amount: expected value times amount of at most {MOST}, because there"
                    " is a budget, got 10000000000001"
                ],
            )
            for bound in (budget, at(0, budget="1.00"), at(1, budget="1.00"))
        ),
        ([budget, prize(2, 0, amount=10**15)], []),
        (
            [budget, prize(2, 0, value="0.02", amount=10**15)],
            [
                f"pool[2].prize[0].amount: expected value times amount of at most {MOST}, because there is a"
                " budget, got 1000000000000000"
            ],
        ),
    ],
)
def test_each_rule(base, read, changes, expected):
    for change in changes:
        change(base)
    assert problems(read, base) == expected


def test_everything_that_does_not_fit_is_told_at_once(base, read):
    for change in [products(GTIN, GTIN), at(0, slots=1, price={"points": 1}), at(2, beneficiary="seller")]:
        change(base)
    assert [problem.partition(":")[0] for problem in problems(read, base)] == [
        "product[1].gtin",
        "pool[0].slots",
        "pool[0].price",
        "pool[2].beneficiary",
    ]


def test_the_canonical_form_is_held_to_the_same(base, read):
    stored = json.loads(canonical(read(base)))
    stored["pool"][0]["slots"] = 6
    with pytest.raises(CampaignFileError, match=r"^pool\[0\]\.slots: expected none, because it belongs to"):
        from_canonical(json.dumps(stored).encode())
