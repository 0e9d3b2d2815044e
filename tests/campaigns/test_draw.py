"""The reference draws: edges of thresholds and decks, exhaustion, and how often each prize comes."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import PlanPool, PlanPrize
from scanner.campaigns.draw import amount, bounds, draw

STEPS = 2**48


def pool(kind, *prizes) -> PlanPool:
    """A pool of (id, stock, below)."""
    return PlanPool(
        id="pool",
        no=1,
        draw=kind,
        prizes=tuple(
            PlanPrize(name, no, stock, below, award="{}") for no, (name, stock, below) in enumerate(prizes, 1)
        ),
    )


def stock_of(a_pool) -> dict[str, int | None]:
    return {prize.id: prize.stock for prize in a_pool.prizes}


def name_of(prize) -> str | None:
    return prize and prize.id


EVERY = pool("every", ("a", 2, None), ("b", 1, None), ("c", None, None))


@settings(deadline=None)
@given(st.integers(0, STEPS - 1))
def test_every_gives_the_first_that_is_left(u):
    assert name_of(draw(EVERY, {"a": 2, "b": 1, "c": None}, u)) == "a"
    assert name_of(draw(EVERY, {"a": 0, "b": 1, "c": None}, u)) == "b"
    assert name_of(draw(EVERY, {"a": 0, "b": 0, "c": None}, u)) == "c"
    assert draw(EVERY, {"a": 0, "b": 0, "c": 0}, u) is None


DECK = pool("deck", ("a", 2, None), ("b", 1, None), ("blank", 3, None))


@pytest.mark.parametrize(
    ("u", "won"),
    [
        (0, "a"),
        (1, "a"),
        (2, "b"),
        (3, "blank"),
        (5, "blank"),
        (6, "a"),
        (STEPS - 1, "blank"),  # 2^48 - 1 is 3 more than a multiple of 6
    ],
)
def test_a_deck_counts_its_pieces_in_the_files_order(u, won):
    assert name_of(draw(DECK, stock_of(DECK), u)) == won


def test_a_deck_skips_what_has_run_out():
    left = {"a": 0, "b": 1, "blank": 1}
    assert [name_of(draw(DECK, left, u)) for u in range(4)] == ["b", "blank", "b", "blank"]
    assert draw(DECK, {"a": 0, "b": 0, "blank": 0}, 5) is None


@settings(deadline=None)
@given(st.data(), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_a_deck_gives_each_prize_exactly_its_stock(data, stocks):
    deck = pool("deck", *((f"p{at}", stock, None) for at, stock in enumerate(stocks)))
    left = stock_of(deck)
    source = data.draw(st.randoms(use_true_random=False))
    drawn = Counter()
    for _ in range(sum(stocks)):
        prize = draw(deck, left, source.randrange(STEPS))
        left[prize.id] -= 1
        drawn[prize.id] += 1
    assert drawn == stock_of(deck)
    assert draw(deck, left, 0) is None


ODDS = pool("odds", ("a", 1, STEPS // 4), ("b", None, STEPS // 2))


@pytest.mark.parametrize(
    ("u", "won"),
    [
        (0, "a"),
        (STEPS // 4 - 1, "a"),
        (STEPS // 4, "b"),
        (STEPS // 2 - 1, "b"),
        (STEPS // 2, None),
        (STEPS - 1, None),
    ],
)
def test_odds_at_the_edges_of_their_thresholds(u, won):
    assert name_of(draw(ODDS, stock_of(ODDS), u)) == won


def test_odds_of_a_prize_out_of_stock_are_odds_of_nothing():
    left = {"a": 0, "b": None}
    assert draw(ODDS, left, 0) is None
    assert name_of(draw(ODDS, left, STEPS // 4)) == "b"


def test_odds_that_add_up_to_one_leave_no_draw_without_a_prize():
    whole = pool("odds", ("a", None, STEPS - 1), ("b", None, STEPS))
    assert name_of(draw(whole, stock_of(whole), STEPS - 2)) == "a"
    assert name_of(draw(whole, stock_of(whole), STEPS - 1)) == "b"


@pytest.mark.parametrize(
    ("kind", "thresholds"), [("odds", (STEPS // 20, STEPS // 4)), ("deck", (None, None))]
)
def test_prizes_come_as_often_as_published(kind, thresholds):
    prizes = pool(kind, ("rare", 1_000, thresholds[0]), ("common", 4_000, thresholds[1]))
    left = stock_of(prizes) | {}
    source = random.Random(1)
    drawn = Counter(name_of(draw(prizes, left, source.randrange(STEPS))) for _ in range(20_000))
    # One in twenty of 20,000 is 1,000, give or take four standard deviations of 31; of the deck, a fifth.
    expected, deviation = {"odds": (1_000, 31), "deck": (4_000, 57)}[kind]
    assert abs(drawn["rare"] - expected) < 4 * deviation
    assert sum(drawn.values()) == 20_000


def test_a_draw_takes_nothing_out_itself():
    left = stock_of(DECK)
    draw(DECK, left, 0)
    assert left == stock_of(DECK)


@pytest.mark.parametrize("u", [-1, STEPS])
def test_a_draw_has_48_bits(u):
    with pytest.raises(AssertionError):
        draw(DECK, stock_of(DECK), u)


# Lucky amounts.


@pytest.mark.parametrize(
    ("pieces", "money", "low", "high", "least", "most"),
    [
        (3, 300, 10, 1000, 10, 190),  # the nearer bound is 90 below the mean of 100
        (3, 2880, 10, 1000, 920, 1000),  # or 40 above the mean of 960
        (1, 77, 10, 1000, 77, 77),  # the last one is the rest
        (4, 40, 10, 1000, 10, 10),  # all of them at the lower bound
        (4, 4000, 10, 1000, 1000, 1000),  # at the upper one
        (3, 31, 10, 1000, 10, 10),  # 31/3 is cut to 10
        (3, 2999, 10, 1000, 1000, 1000),  # 2998/3 is rounded up to 1000
        (2, 195, 10, 100, 95, 100),  # the other one can hold 100 at most
        (2, 25, 10, 100, 10, 15),  # and must have 10
        (2, 20, 0, 10, 10, 10),
        (5, 0, 0, 10, 0, 0),
    ],
)
def test_bounds_of_lucky_amounts(pieces, money, low, high, least, most):
    assert bounds(pieces, money, low, high) == (least, most)
    assert amount(pieces, money, low, high, 0) == least
    assert amount(pieces, money, low, high, most - least) == most
    assert amount(pieces, money, low, high, most - least + 1) == least


@pytest.mark.parametrize(("pieces", "money"), [(0, 0), (3, 29), (3, 301)])
def test_amounts_that_cannot_add_up(pieces, money):
    with pytest.raises(ValueError, match="cannot add up"):
        bounds(pieces, money, 10, 100)


@settings(deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(0, 1000), st.integers(1, 1000))
def test_lucky_amounts_lie_between_their_bounds_and_add_up_exactly(data, pieces, low, room):
    high = low + room
    total = money = data.draw(st.integers(pieces * low, pieces * high))
    given_away = []
    for left in range(pieces, 0, -1):
        least, most = bounds(left, money, low, high)
        assert low <= least <= most <= high
        # As wide as the nearer bound lets it: one of the two is reached but for the rounding.
        mean = money / left
        reach = min(mean - low, high - mean)
        assert least >= mean - reach - 1
        assert most <= mean + reach + 1
        given_away.append(amount(left, money, low, high, data.draw(st.integers(0, STEPS - 1))))
        money -= given_away[-1]
    assert sum(given_away) == total
    assert all(low <= one <= high for one in given_away)


def test_lucky_amounts_have_the_mean_whoever_comes_first():
    source, pieces, rounds = random.Random(2), 10, 4_000
    sums = [0] * pieces
    for _ in range(rounds):
        money = 10_000
        for turn in range(pieces):
            one = amount(pieces - turn, money, 100, 5_000, source.randrange(STEPS))
            sums[turn] += one
            money -= one
    # Amounts of about 1,000 with a deviation below 1,500: the mean of 4,000 lies within 4 * 1,500 / 63.
    assert all(abs(one / rounds - 1_000) < 95 for one in sums)


def test_packets_are_drawn_as_from_a_deck():
    for kind in ("locked", "shared"):
        packets = pool(kind, ("a", 2, None), ("b", 1, None))
        assert [name_of(draw(packets, stock_of(packets), u)) for u in range(4)] == ["a", "a", "b", "a"]
