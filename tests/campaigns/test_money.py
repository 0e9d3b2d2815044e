"""Money is exact: what is written in decimals is what is kept in minor units, to the last one."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import CampaignFileError, canonical
from scanner.campaigns.file import plain
from scanner.campaigns.money import AMOUNT_MAX, exponent, money_text


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("CNY", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("CLF", 4), ("XYZ", 2)],
)
def test_digits_follow_iso_4217(currency, digits):
    assert exponent(currency) == digits


@settings(deadline=None)
@given(st.integers(0, AMOUNT_MAX), st.sampled_from([0, 2, 3, 4]))
def test_text_is_the_exact_decimal(minor, digits):
    text = money_text(minor, digits)
    assert Decimal(text) == Decimal(minor).scaleb(-digits)
    assert len(text.partition(".")[2]) == digits


@settings(deadline=None)
@given(st.data(), st.sampled_from([("JPY", 0), ("CNY", 2), ("KWD", 3), ("CLF", 4)]))
def test_amounts_are_read_exactly(read, data, money):
    currency, digits = money
    minor = data.draw(st.integers(1, AMOUNT_MAX))
    file = read(one_prize(currency, money_text(minor, digits)))
    assert file.pool[0].prize[0].amount == minor
    assert plain(file)["pool"][0]["prize"][0]["amount"] == money_text(minor, digits)


@pytest.mark.parametrize(
    ("written", "minor"),
    [("0.88", 88), ("5", 500), ("5.0", 500), ("7999.00", 799900), ("0.01", 1), ("0.29", 29)],
)
def test_fewer_decimals_are_the_same_amount(read, written, minor):
    file = read(one_prize("CNY", written))
    assert file.pool[0].prize[0].amount == minor
    assert canonical(file) == canonical(read(one_prize("CNY", money_text(minor, 2))))


QUOTES = 'expected an amount of money in quotes, such as "0.88", got '


@pytest.mark.parametrize(
    ("currency", "written", "problem"),
    [
        ("CNY", 0.88, QUOTES + "0.88"),
        ("CNY", 1, QUOTES + "1"),
        ("CNY", True, QUOTES + "true"),
        ("CNY", ["0.88"], QUOTES + "a list"),
        ("CNY", "", QUOTES + '""'),
        ("CNY", "-0.88", QUOTES + '"-0.88"'),
        ("CNY", "+0.88", QUOTES + '"+0.88"'),
        ("CNY", " 0.88", QUOTES + '" 0.88"'),
        ("CNY", "0.88\n", QUOTES + '"0.88\\n"'),
        ("CNY", "0088", QUOTES + '"0088"'),
        ("CNY", "1e3", QUOTES + '"1e3"'),
        ("CNY", "1_000", QUOTES + '"1_000"'),
        ("CNY", ".5", QUOTES + '".5"'),
        ("CNY", "5.", QUOTES + '"5."'),
        ("CNY", "٣", QUOTES + '"٣"'),
        ("CNY", "¥1", QUOTES + '"¥1"'),
        ("CNY", "9" * 100, QUOTES + '"' + "9" * 59 + "…"),
        ("CNY", "0.888", 'expected at most 2 decimals for CNY, got "0.888"'),
        ("JPY", "0.8", 'expected at most 0 decimals for JPY, got "0.8"'),
        ("KWD", "0.8888", 'expected at most 3 decimals for KWD, got "0.8888"'),
        ("CNY", "0", 'expected more than 0 and at most 10000000000000.00, got "0"'),
        ("CNY", "0.00", 'expected more than 0 and at most 10000000000000.00, got "0.00"'),
        (
            "CNY",
            "10000000000000.01",
            'expected more than 0 and at most 10000000000000.00, got "10000000000000.01"',
        ),
        (
            "JPY",
            "1000000000000001",
            'expected more than 0 and at most 1000000000000000, got "1000000000000001"',
        ),
    ],
)
def test_what_is_not_money_is_refused(read, currency, written, problem):
    with pytest.raises(CampaignFileError) as caught:
        read(one_prize(currency, written))
    assert caught.value.problems == (f"pool[0].prize[0].amount: {problem}",)


def one_prize(currency, amount):
    return {
        "campaign": {
            "id": "c",
            "title": "t",
            "organiser": "o",
            "claim_rules": "r",
            "currency": currency,
            "timezone": "UTC",
            "starts": datetime(2027, 1, 1, tzinfo=UTC),
            "ends": datetime(2028, 1, 1, tzinfo=UTC),
        },
        "pool": [{"id": "p", "draw": "every", "prize": [{"id": "cash", "kind": "cash", "amount": amount}]}],
    }
