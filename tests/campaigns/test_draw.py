"""The reference draws: edges of thresholds and decks, exhaustion, and how often each prize comes."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import PlanPool, PlanPrize
from scanner.campaigns.draw import draw

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
