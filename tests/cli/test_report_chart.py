"""The pictures of the audit's page: their bars are as long as what they stand for, their axes can be read."""

import re
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.cli.report.chart import COLOURS, day_chart, pool_chart
from scanner.cli.report.figures import Account, Pool, Prize


def rectangles(path):
    """(left, bottom, width, height) of each rectangle of a path."""
    number = r"(-?[0-9.]+)"
    found = re.findall(rf"M{number} {number}h{number}v{number}h-{number}z", path)
    assert "".join("M{} {}h{}v{}h-{}z".format(*one) for one in found) == path
    return [(float(x), float(y), float(w), -float(h)) for x, y, w, h, _ in found]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.integers(0, 799), st.integers(1, 10**6), min_size=1, max_size=60),
    st.dictionaries(st.integers(0, 799), st.integers(1, 10**6), max_size=60),
)
def test_bars_are_as_high_as_what_was_given(cash, points):
    first = date(2027, 1, 20)
    days = {
        (first + timedelta(n)).isoformat(): {"cash": cash.get(n, 0), "points": points.get(n, 0)}
        for n in cash.keys() | points.keys()
    }
    chart = day_chart("T", "prizes", {"cash": "Cash", "points": "Points"}, days, str)
    low, high = chart.scale[0], chart.scale[-1]
    assert (low.text, low.at) == ("0", chart.bottom)
    each = (low.at - high.at) / int(high.text)
    assert 2 <= len(chart.scale) <= 6
    assert sum(cash.values()) + sum(points.values()) == int(chart.described.split()[0])
    tops = {}
    for shape, values in zip(chart.shapes, (cash, points), strict=False):
        bars = rectangles(shape.path)
        assert len(bars) == len(values)
        for (x, bottom, width, height), n in zip(bars, sorted(values), strict=True):
            assert height == pytest.approx(values[n] * each, abs=0.02)
            assert bottom == pytest.approx(tops.get(n, chart.bottom), abs=0.02)  # stacked
            assert chart.left - 1 <= x <= x + width <= chart.right + 1
            assert bottom - height >= chart.top - 0.02
            assert width >= 0.99
            tops[n] = bottom - height
    assert [mark.text for mark in chart.dates] == sorted(mark.text for mark in chart.dates)
    places = [mark.at for mark in chart.dates]
    assert all(after - before >= 72 for before, after in pairwise(places))  # 10 letters
    assert places[-1] + 36 <= chart.width


@pytest.mark.parametrize("count", [1, 2, 9, 10, 60, 200, 366, 730, 4000])
def test_days_are_named_below_the_axis_whatever_their_number(count):
    days = {(date(2027, 3, 1) + timedelta(n)).isoformat(): {"cash": 1 + n % 7} for n in range(count)}
    chart = day_chart("T", "prizes", {"cash": "Cash"}, days, str)
    assert (1 if count == 1 else 2) <= len(chart.dates) <= 9
    assert chart.dates[0].text in days
    assert len(rectangles(chart.shapes[0].path)) == count


def test_many_days_are_named_by_their_months():
    days = {day: {"cash": 1} for day in ("2027-03-01", "2027-09-20")}
    chart = day_chart("T", "prizes", {"cash": "Cash"}, days, str)
    assert [mark.text for mark in chart.dates] == [f"2027-0{month}-01" for month in range(3, 10)]
    days = {day: {"cash": 1} for day in ("2027-03-02", "2028-11-20")}
    chart = day_chart("T", "prizes", {"cash": "Cash"}, days, str)
    dates = ["2027-04-01", "2027-07-01", "2027-10-01", "2028-01-01", "2028-04-01", "2028-07-01", "2028-10-01"]
    assert [mark.text for mark in chart.dates] == dates


def test_days_without_prizes_have_no_picture():
    assert day_chart("T", "prizes", {"cash": "Cash"}, {}, str) is None
    assert day_chart("T", "prizes", {"cash": "Cash"}, {"2027-03-01": {"none": 9}}, str) is None


def test_a_pools_bar_is_shared_by_what_is_given_locked_and_left():
    def pool(id, *accounts):
        prizes = [Prize(str(n), "points", 1, one, None, 0, 0) for n, one in enumerate(accounts)]
        return Pool(id, "deck", prizes, sum(accounts, Account()), None, None, 0)

    limited, endless = Account(1000, 250, 50, 700), Account(None, 1234, 0, None)
    chart = pool_chart("T", [pool("a", limited), pool("b", endless), pool("c", limited, endless)])
    bars = [rectangles(shape.path) for shape in chart.shapes]
    assert [shape.name for shape in chart.shapes] == ["given", "locked", "left"]
    assert [[round(width / chart.bar, 2) for _, _, width, _ in one] for one in bars] == [
        [0.25, 0.25],
        [0.05, 0.05],
        [0.7, 0.7],
    ]
    assert [row.said for row in chart.rows] == [
        "250 of 1,000 given, 50 locked",
        "1,234 given, no limit",
        "250 of 1,000 given, 50 locked; no limit: 1,234",
    ]
    assert [row.bound for row in chart.rows] == [True, False, True]


def test_colours_can_be_told_apart():
    def light(colour):
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05

    lights = [light(colour) for colour in COLOURS.values()]
    assert all(1.05 / one >= 3 for one in lights)  # WCAG 2.2, 1.4.11
    assert all(max(pair) / min(pair) >= 1.5 for pair in pairwise(lights))
