"""Text to file and back: TOML with its errors, and the canonical form."""

import json
import random
from datetime import UTC, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticSerializationError

from scanner.campaigns import CampaignFileError, canonical, from_canonical, parse
from scanner.campaigns.file import FILE_BYTES_MAX
from scanner.errors import CampaignError


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_canonical_form_says_all_that_the_file_says(any_document, read, data):
    file = read(data.draw(any_document))
    form = canonical(file)
    assert from_canonical(form) == file
    assert canonical(from_canonical(form)) == form


def test_the_whole_contract_goes_through_the_canonical_form(paint):
    file = parse(paint)
    assert from_canonical(canonical(file)) == file


def test_windows_keep_their_moments_and_offsets(base, read):
    starts = base["campaign"]["starts"].replace(microsecond=123_000)
    base["pool"][1]["entry"] = {"windows": [{"from": starts, "until": starts.astimezone(UTC) + timedelta(1)}]}
    form = canonical(read(base))
    assert json.loads(form)["pool"][1]["entry"] == {
        "windows": [{"from": "2027-03-01T00:00:00.123000+08:00", "until": "2027-03-01T16:00:00.123000+00:00"}]
    }
    assert canonical(from_canonical(form)) == form


def test_what_is_new_in_a_file_is_written_as_it_is_read(base, read):
    base["campaign"] |= {"contact": "400-820-0000", "budget": "5"}
    base["limits"] = {"per_day": 5}
    base["product"] = [{"gtin": "06901234567892", "title": "White"}]
    base["pool"][0] |= {"entered_by": "draw", "price": {"points": 9}, "limits": {"total": 3}}
    base["pool"][0]["entry"] = {"windows": [{"daily": "20:00", "lasts": "120s"}]}
    base["pool"][1] |= {"draw": "shared", "slots": 6, "open_for": "48h", "giver": "last"}
    base["pool"][2]["prize"][0] |= {"value": "10", "amount": 2}
    base["pool"][2]["prize"][1] = {"id": "turn", "kind": "chance", "pool": "points", "odds": "0.5"}
    file = read(base)
    stored = json.loads(canonical(file))
    assert (stored["campaign"]["contact"], stored["campaign"]["budget"]) == ("400-820-0000", "5.00")
    assert (stored["limits"], stored["product"]) == ({"per_day": 5}, base["product"])
    points, lucky, wheel = stored["pool"]
    assert (points["entered_by"], points["price"], points["limits"]) == ("draw", {"points": 9}, {"total": 3})
    assert points["entry"] == {"windows": [{"daily": "20:00:00", "lasts": "2m"}]}
    assert (lucky["slots"], lucky["open_for"], lucky["giver"]) == (6, "2d", "last")
    assert (wheel["prize"][0]["value"], wheel["prize"][0]["amount"]) == ("10.00", 2)
    assert (wheel["prize"][1]["pool"], wheel["prize"][1]["amount"]) == ("points", 1)
    assert from_canonical(canonical(file)) == file


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_plain_file_is_written_without_a_word_of_what_it_does_not_use(plain_document, read, data):
    stored = json.loads(canonical(read(data.draw(plain_document))))
    assert set(stored) == {"campaign", "pool"}
    assert set(stored["campaign"]) == {
        *("id", "title", "organiser", "claim_rules", "currency", "timezone", "starts", "ends"),
    }
    assert all(set(pool) <= {"id", "draw", "game", "beneficiary", "prize"} for pool in stored["pool"])
    known = {"id", "kind", "stock", "odds", "amount", "value", "coupon"}
    assert all(set(prize) <= known for pool in stored["pool"] for prize in pool["prize"])


def test_the_canonical_form_is_compact_sorted_json(base, read):
    base["campaign"]["title"] = "春季"
    form = canonical(read(base)).decode()
    assert form == json.dumps(json.loads(form), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    stored = json.loads(form)
    assert stored["campaign"]["title"] == "春季"
    assert stored["campaign"]["starts"] == "2027-03-01T00:00:00+08:00"
    assert stored["pool"][1]["prize"][0] == {
        "id": "phone",
        "kind": "physical",
        "value": "7999.00",
        "amount": 1,
        "stock": 3,
    }
    assert stored["pool"][2]["prize"][1]["odds"] == "0.25"
    assert "null" not in form


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_keys_and_layout_do_not_matter(random_source):
    from_text = parse(DOCUMENT_TEXT)
    assert canonical(parse(shuffled(DOCUMENT_TEXT, random_source))) == canonical(from_text)


DOCUMENT_TEXT = """
[campaign]
id = "spring"
title = "Spring"
organiser = "Example Paints Co., Ltd."
claim_rules = "Within 24 hours."
currency = "CNY"
timezone = "Asia/Shanghai"
starts = 2027-03-01T00:00:00+08:00
ends = 2027-05-31T23:59:59+08:00

[[pool]]
id = "wheel"
draw = "odds"
game = "wheel"
[[pool.prize]]
id = "cash"
kind = "cash"
amount = "0.50"
odds = "0.050"
stock = 10
"""


def shuffled(text: str, source: random.Random) -> str:
    """The same tables with their lines in another order, and some comments."""
    tables: list[list[str]] = []
    for line in text.strip().splitlines():
        if line.startswith("["):
            tables.append([line])
        elif line:
            tables[-1].append(f"{line}  # a comment")
    for table in tables:
        lines = table[1:]
        source.shuffle(lines)
        table[1:] = lines
    return "\n\n".join("\n".join(table) for table in tables)


@pytest.mark.parametrize(("written", "kept"), [("0.050", "0.05"), ("1", "1"), ("1.000", "1"), ("0.5", "0.5")])
def test_odds_are_kept_without_idle_zeros(written, kept):
    form = json.loads(canonical(parse(DOCUMENT_TEXT.replace("0.050", written))))
    assert form["pool"][0]["prize"][0]["odds"] == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[campaign]\nid = \n", "expected TOML, got a syntax error: Invalid value (at line 2, column 6)"),
        ('[campaign]\nid = "a"\nid = "b"\n', "(at line 3,"),
        ("[campaign]\nstarts = 2027-02-30T00:00:00Z", "(at line 2,"),
        ("a = " + "[" * 100_000, "expected TOML, got brackets nested too deeply"),
        ("a = \ud800", "expected a campaign file in UTF-8"),
        ("#" * (FILE_BYTES_MAX + 1), "expected a campaign file of at most 1048576 bytes"),
        ("##" + "漆" * (FILE_BYTES_MAX // 3), "expected a campaign file of at most 1048576 bytes"),
    ],
)
def test_what_is_not_toml_is_refused_in_one_line(text, message):
    with pytest.raises(CampaignFileError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert message in problem
    assert str(caught.value) == problem


def test_a_file_of_the_largest_size_is_read():
    assert parse(DOCUMENT_TEXT + "#" * (FILE_BYTES_MAX - len(DOCUMENT_TEXT)))


def test_an_empty_file_says_what_is_missing():
    with pytest.raises(CampaignError) as caught:
        parse("")
    assert str(caught.value) == "campaign: expected a table, got nothing\npool: expected a list, got nothing"


def test_odd_keys_and_huge_values_stay_in_their_line():
    with pytest.raises(CampaignFileError) as caught:
        parse('"a\\nb.c" = 1\n' + f"{'k' * 100} = 1\n" + DOCUMENT_TEXT.replace("= 10", f"= 0x{'f' * 9000}"))
    assert caught.value.problems == (
        "pool[0].prize[0].stock: expected a whole number of pieces, 1 to 1000000000000,"
        " got a number beyond 64 bits",
        r'"a\nb.c": expected one of campaign, limits, product, pool, got an unknown key',
        f'"{"k" * 59}…: expected one of campaign, limits, product, pool, got an unknown key',
    )


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"campaign":{}}', b"\xff", b"{}x"])
def test_what_is_not_a_canonical_form_is_refused(data):
    with pytest.raises(CampaignFileError):
        from_canonical(data)


def test_a_canonical_form_with_a_broken_time_is_refused(base, read):
    form = canonical(read(base)).replace(b"2027-03-01T", b"2027-03-99T")
    with pytest.raises(CampaignFileError, match=r"^campaign\.starts: expected "):
        from_canonical(form)


@settings(deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_no_text_raises_anything_else(text):
    with pytest.raises(CampaignFileError):
        parse(text)


def test_money_is_not_written_without_its_currency(base, read):
    with pytest.raises(PydanticSerializationError, match=r"scanner\.campaigns\.canonical"):
        read(base).model_dump(mode="json")
