"""Every refusal is one outcome, with one status and one form."""

import orjson
import pytest

from scanner.service.problems import OUTCOMES, PROBLEM, problem


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_refusal_says_its_outcome_four_ways(outcome):
    status, title = OUTCOMES[outcome]
    answer = problem(outcome)
    assert (answer.outcome, answer.status, answer.content_type) == (outcome, status, PROBLEM)
    assert orjson.loads(answer.body) == {
        "type": f"urn:scanner:{outcome}",
        "title": title,
        "status": status,
        "outcome": outcome,
    }


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("malformed", 400),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("no_entry", 403),
        ("own_share", 403),
        ("pin_required", 403),
        ("pin_wrong", 403),
        ("unknown_code", 404),
        ("unknown_pool", 404),
        ("unknown_share", 404),
        ("claimed", 409),
        ("limit_reached", 409),
        ("no_chance", 409),
        ("request_reused", 409),
        ("sold_out", 409),
        ("not_active", 409),
        ("blocked", 410),
        ("campaign_over", 410),
        ("share_over", 410),
        ("share_used_up", 410),
        ("throttled", 429),
        ("overloaded", 503),
        ("unavailable", 503),
    ],
)
def test_the_contracts_outcomes_have_the_contracts_status(outcome, status):
    assert problem(outcome).status == status


def test_titles_tell_refusals_of_one_status_apart():
    titles = [title for _, title in OUTCOMES.values()]
    assert len(set(titles)) == len(titles)
    assert all(400 <= status <= 599 for status, _ in OUTCOMES.values())


def test_members_follow_the_four():
    answer = problem("claimed", first_scanned_at="2027-03-01T09:30:00.123Z")
    assert list(orjson.loads(answer.body).items())[-2:] == [
        ("outcome", "claimed"),
        ("first_scanned_at", "2027-03-01T09:30:00.123Z"),
    ]


def test_a_member_may_hold_any_text():
    detail = 'code: "quoted"\n\x00 李 \\'
    assert orjson.loads(problem("malformed", detail=detail).body)["detail"] == detail


def test_a_token_is_asked_for_and_retries_are_spaced():
    assert problem("unauthorized").headers == {"WWW-Authenticate": "Bearer"}
    for outcome in ("overloaded", "unavailable"):
        assert {problem(outcome).headers["Retry-After"] for _ in range(200)} == {"1", "2", "3", "4"}
    assert "Retry-After" not in problem("claimed").headers


def test_headers_add_to_those_of_the_outcome():
    answer = problem("unavailable", headers={"Connection": "close"})
    assert answer.headers.keys() == {"Retry-After", "Connection"}
    assert "Connection" not in problem("unavailable").headers  # the one that all share stays as it was


def test_an_outcome_that_does_not_exist_is_a_fault():
    with pytest.raises(KeyError):
        problem("perhaps")
    with pytest.raises(KeyError):
        problem("perhaps", detail="x")
