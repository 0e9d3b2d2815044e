"""The page of any audit: its sums are those of the state, wrong ones are marked, no text is markup."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.cli.report.page import page_of
from scanner.ledger.audit.replay import Difference
from scanner.ledger.model.state import Wallet
from tests.cli.report_pages import DIGITS, facts, is_a_page, says_the_state, tables
from tests.cli.report_states import played

MADE = datetime(2027, 3, 20, 12, 34, 56, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style></main></svg>",
    "<!-- ]]> &lt;b&gt; &#60;",
    "\" onload='alert(1)'",
    "{{ 7 * 7 }} {% raw %} {0}",
]


@settings(max_examples=25, deadline=None)
@given(st.integers(), st.integers(0, 150), st.sampled_from(sorted(DIGITS)), st.integers(1, 9))
def test_any_pages_sums_are_those_of_the_state(seed, actions, currency, days):
    report = played(seed, actions, currency=currency, days=days)
    page = is_a_page(page_of(report, "main", MADE))
    assert next(page.root.all("p")).text() == "✓ It adds up"
    assert facts(page.root)["Made"] == "20 March 2027, 12:34:56 (UTC+00:00)"
    says_the_state(page.campaigns()[0], report.campaigns["rich"])


def wrong(change):
    """The page after a change of the state: its verdict, and where it is marked."""
    report = played(7, 80)
    change(report.campaigns["rich"])
    page = is_a_page(page_of(report, "main", MADE))
    (section,) = page.campaigns()
    marked = {
        (caption, name)
        for caption, rows in tables(section).items()
        for name, row in rows.items()
        if any(text.startswith("✗") for text in row.values())
    }
    verdict = next(section.all("p")).text()
    assert next(page.root.all("p")).text() == verdict
    return verdict, marked


ONE = "✗ It does not add up: 1 wrong sum"
TWO = "✗ It does not add up: 2 wrong sums"


def test_a_wrong_account_is_marked_in_its_row_and_in_every_sum_of_it():
    def more_coins(state):
        state.pools["lucky"].put_in["coin"] += 3

    def less_money(state):
        state.pools["back"].money_left["gift"] -= 1

    def less_budget(state):
        state.budgets["lucky"].left = -1

    def too_many_phones(state):
        pool = state.pools["lucky"]
        pool.put_in["phone"], pool.left["phone"] = pool.given["phone"] - 1, -1

    pieces, money, total = "Pieces in pool lucky", "Money in pool lucky, CNY", ("Cash, CNY", "All pools")
    back = "Money in pool back, CNY"
    assert wrong(lambda state: None) == ("✓ It adds up", set())
    assert wrong(more_coins) == (
        TWO,
        {(pieces, "coin"), (pieces, "All prizes"), (money, "coin"), (money, "All cash")}
        | {("Cash, CNY", "lucky"), total},
    )
    assert wrong(less_money) == (ONE, {(back, "gift"), (back, "All cash"), ("Cash, CNY", "back"), total})
    assert wrong(less_budget) == (ONE, {("Budgets, CNY", "Pool lucky")})
    assert wrong(too_many_phones) == (
        TWO,
        {(pieces, "phone"), (money, "phone"), (money, "All value")}
        | {("Goods and coupons at their value, CNY", "lucky")},
    )


def test_what_happened_is_marked_where_the_pools_or_members_say_otherwise():
    def more_points_on_a_day(state):
        next(row for row in state.given.values() if row.kind == "points").units += 50

    def lost_chance(state):
        state.tally.chances_given += 1

    def lost_draw(state):
        state.tally.draws += 1

    def lost_packet(state):
        state.wallets[b"nobody!!"] = Wallet(packets={4: {"x": None}})

    def nobodys_packet(state):
        pool = state.pools["back"]
        pool.locked["bag"] += 1
        pool.left["bag"] -= 1

    assert wrong(more_points_on_a_day) == (ONE, {("Given by day and kind", "Check")})
    assert wrong(lost_chance) == (ONE, {("Chances", "Number")})
    assert wrong(lost_draw) == (ONE, {("Draws by request", "Number")})
    assert wrong(lost_packet) == (ONE, {("Locked packets", "Number")})
    assert wrong(nobodys_packet) == (ONE, {("Locked packets", "Number")})


def test_a_sum_that_is_off_says_by_how_much():
    report = played(7, 80)
    pool = report.campaigns["rich"].pools["lucky"]
    pool.put_in["coin"] += 1003
    pool.put_in["thanks"] -= 2
    rows = tables(is_a_page(page_of(report, "main", MADE)).campaigns()[0])
    assert rows["Pieces in pool lucky"]["coin"]["Check"] == "✗ 1,003 missing"
    assert rows["Money in pool lucky, CNY"]["coin"]["Check"] == "✗ 2,006.00 missing"
    assert rows["Pieces in pool lucky"]["thanks"]["Check"] == "✗ 2 too much"


def test_what_one_prize_gives():
    page = is_a_page(page_of(played(1, 0), "main", MADE))
    found = tables(page.campaigns()[0])
    assert {
        prize: row["One gives"]
        for pool in ("points", "lucky", "wheel")
        for prize, row in found[f"Pieces in pool {pool}"].items()
        if prize != "All prizes"
    } == {
        "p50": "50 points",
        "phone": "1 piece",
        "coin": "CNY 2.00",
        "drops": "an amount by chance",
        "turns": "2 draws",
        "thanks": "–",
        "ten": "3 coupons",
        "again": "1 draw",
    }


@pytest.mark.parametrize(
    ("made", "paused", "said"),
    [
        ("2025-12-31T15:59:59Z", False, "not started yet"),
        ("2025-12-31T16:00:00Z", False, "running"),
        ("2025-12-31T16:00:00Z", True, "running, but paused"),
        ("2100-01-01T00:00:00Z", False, "over"),
    ],
)
def test_whether_a_campaign_runs(made, paused, said):
    report = played(1, 0)
    report.campaigns["rich"].paused = paused
    page = is_a_page(page_of(report, "main", datetime.fromisoformat(made)))
    assert facts(page.campaigns()[0])["State"] == said


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text(text):
    report = played(3, 20)
    for id, state in {**report.campaigns, "other": played(4, 20).campaigns["rich"]}.items():
        head = state.file.campaign.model_copy(update={"id": id, "title": text, "organiser": text})
        state.file = state.file.model_copy(update={"campaign": head})
        report.campaigns[id] = state
    report.differences = [Difference(text, text, text)]
    page = is_a_page(page_of(report, text, MADE, text))
    assert next(page.root.all("h1")).text() == f"Audit of brand {text}"
    assert (facts(page.root)["Brand"], facts(page.root)["Campaigns"]) == (text, f"{text} only")
    assert list(page.differences()["1"].values()) == ["1", text, text, text]
    assert [one.text() for one in page.root.all("a")] == [text, text]
    for section, state in zip(page.campaigns(), report.campaigns.values(), strict=True):
        says_the_state(section, state)
