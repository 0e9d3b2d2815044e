"""Days and daily windows of a time zone, against a walk along its clocks, and where clocks do odd things."""

from datetime import datetime, time, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.campaigns import day_at, days
from scanner.campaigns.days import daily_window, day_before
from tests.campaigns.clocks import HOUR, MINUTE, shown, utc, walked_day, walked_starts, zones_and_moments


@settings(max_examples=100, deadline=None)
@given(zones_and_moments)
@example(("America/St_Johns", utc(2010, 11, 7, 3)))
@example(("Pacific/Apia", utc(2011, 12, 30, 10)))
def test_a_day_is_the_one_that_a_walk_along_the_clocks_finds(zone_and_moment):
    zone, at_ms = zone_and_moment
    assert day_at(zone, at_ms) == walked_day(zone, at_ms)


@settings(max_examples=100, deadline=None)
@given(zones_and_moments)
def test_days_follow_each_other_without_a_gap(zone_and_moment):
    zone, at_ms = zone_and_moment
    day = day_at(zone, at_ms)
    assert day.from_ms <= at_ms < day.until_ms
    assert {day_at(zone, at) for at in (day.from_ms, day.until_ms - 1)} == {day}
    before, after = day_at(zone, day.from_ms - 1), day_at(zone, day.until_ms)
    assert before == day_before(zone, day)
    assert (before.until_ms, after.from_ms) == (day.from_ms, day.until_ms)
    assert before.number < day.number < after.number
    # To the millisecond: the first moment that shows the date.
    assert f"{shown(zone, day.from_ms):%Y%m%d}" == str(day.number)
    assert f"{shown(zone, day.from_ms - 1):%Y%m%d}" == str(before.number)


@settings(max_examples=100, deadline=None)
@given(
    zones_and_moments,
    st.sampled_from([0, -1, 1, 900, 1800, 5400]) | st.integers(-43_200, 43_200),
    st.integers(1000, 22 * HOUR),
)
def test_a_daily_window_begins_where_a_walk_along_the_clocks_finds(zone_and_moment, later, lasts_ms):
    zone, at_ms = zone_and_moment
    day = day_at(zone, at_ms)
    now = shown(zone, at_ms)  # mostly near a change of the clocks, but never a time that they jump over
    second = (now.hour * 3600 + now.minute * 60 + now.second + later) % 86_400
    begins, ends = daily_window(zone, day.number, second, lasts_ms)
    assert ends - begins == lasts_ms
    local = datetime.strptime(f"{day.number}", "%Y%m%d") + timedelta(seconds=second)  # noqa: DTZ007
    whole_minute = local.replace(second=0).time()
    assert any(start <= begins < start + MINUTE for start in walked_starts(zone, whole_minute, at_ms))
    # To the millisecond: the first moment that shows this time of the day, or one behind it.
    assert shown(zone, begins - 1) < local <= shown(zone, begins)
    assert day.from_ms <= begins <= day.until_ms


@pytest.mark.parametrize(
    ("zone", "at_ms", "number", "from_ms", "until_ms"),
    [
        ("UTC", utc(2027, 3, 1, 12), 20270301, utc(2027, 3, 1), utc(2027, 3, 2)),
        ("Asia/Shanghai", utc(2027, 3, 1, 16), 20270302, utc(2027, 3, 1, 16), utc(2027, 3, 2, 16)),
        ("Asia/Shanghai", utc(2027, 3, 1, 16) - 1, 20270301, utc(2027, 2, 28, 16), utc(2027, 3, 1, 16)),
        # 23 hours, 25 hours
        ("Europe/Berlin", utc(2027, 3, 28, 12), 20270328, utc(2027, 3, 27, 23), utc(2027, 3, 28, 22)),
        ("Europe/Berlin", utc(2027, 10, 31, 12), 20271031, utc(2027, 10, 30, 22), utc(2027, 10, 31, 23)),
        # 23.5 hours
        ("Australia/Lord_Howe", utc(2026, 10, 4), 20261004, utc(2026, 10, 3, 13, 30), utc(2026, 10, 4, 13)),
        # no midnight: from one o'clock
        ("America/Sao_Paulo", utc(2018, 11, 4, 12), 20181104, utc(2018, 11, 4, 3), utc(2018, 11, 5, 2)),
        # back from midnight to eleven: the hour before midnight comes twice
        ("America/Sao_Paulo", utc(2018, 2, 18, 2, 30), 20180217, utc(2018, 2, 17, 2), utc(2018, 2, 18, 3)),
        # back from one to midnight: midnight comes twice
        ("America/Havana", utc(2026, 11, 1, 5, 30), 20261101, utc(2026, 11, 1, 4), utc(2026, 11, 2, 5)),
        # back from a minute past midnight: the date before is shown once more, and is over
        (
            "America/St_Johns",
            utc(2010, 11, 7, 2, 29),
            20101106,
            utc(2010, 11, 6, 2, 30),
            utc(2010, 11, 7, 2, 30),
        ),
        ("America/St_Johns", utc(2010, 11, 7, 3), 20101107, utc(2010, 11, 7, 2, 30), utc(2010, 11, 8, 3, 30)),
        # a date that never was
        ("Pacific/Apia", utc(2011, 12, 30, 9), 20111229, utc(2011, 12, 29, 10), utc(2011, 12, 30, 10)),
        ("Pacific/Apia", utc(2011, 12, 30, 10), 20111231, utc(2011, 12, 30, 10), utc(2011, 12, 31, 10)),
    ],
)
def test_odd_days(zone, at_ms, number, from_ms, until_ms):
    assert day_at(zone, at_ms) == (number, from_ms, until_ms)


@pytest.mark.parametrize(
    ("zone", "day", "clock", "begins"),
    [
        ("Asia/Shanghai", 20270301, time(20), utc(2027, 3, 1, 12)),
        ("Asia/Shanghai", 20270301, time(23, 59, 59), utc(2027, 3, 1, 15, 59, 59)),
        ("Europe/Berlin", 20270327, time(20), utc(2027, 3, 27, 19)),
        ("Europe/Berlin", 20270328, time(20), utc(2027, 3, 28, 18)),
        # jumped over, from two to three; shown twice, from two to three
        ("Europe/Berlin", 20270328, time(1, 59, 59), utc(2027, 3, 28, 0, 59, 59)),
        ("Europe/Berlin", 20270328, time(2), utc(2027, 3, 28, 1)),
        ("Europe/Berlin", 20270328, time(2, 59, 59), utc(2027, 3, 28, 1)),
        ("Europe/Berlin", 20270328, time(3), utc(2027, 3, 28, 1)),
        ("Europe/Berlin", 20270328, time(3, 0, 1), utc(2027, 3, 28, 1, 0, 1)),
        ("Europe/Berlin", 20271031, time(2), utc(2027, 10, 31, 0)),
        ("Europe/Berlin", 20271031, time(2, 59), utc(2027, 10, 31, 0, 59)),
        ("Europe/Berlin", 20271031, time(3), utc(2027, 10, 31, 2)),
        ("Australia/Lord_Howe", 20261004, time(2, 15), utc(2026, 10, 3, 15, 30)),
        ("America/Sao_Paulo", 20181104, time(0, 30), utc(2018, 11, 4, 3)),
        # an hour before midnight to midnight: the window of the evening begins with the next day
        ("America/Scoresbysund", 20270327, time(23, 30), utc(2027, 3, 28, 1)),
        ("America/St_Johns", 20101106, time(23, 30), utc(2010, 11, 7, 2)),
        ("America/St_Johns", 20101107, time(0), utc(2010, 11, 7, 2, 30)),
        ("Pacific/Apia", 20111231, time(0), utc(2011, 12, 30, 10)),
    ],
)
def test_odd_windows(zone, day, clock, begins):
    second = (clock.hour * 60 + clock.minute) * 60 + clock.second
    assert daily_window(zone, day, second, 5 * MINUTE) == (begins, begins + 5 * MINUTE)


def test_a_day_is_reckoned_once(monkeypatch):
    monkeypatch.setattr(days, "_last", {})
    reckoned = []
    monkeypatch.setattr(
        days, "_day_at", lambda zone, at_ms, of=days._day_at: reckoned.append(at_ms) or of(zone, at_ms)
    )
    noon = utc(2027, 3, 1, 12)
    for at_ms in (noon, noon + HOUR, noon - 12 * HOUR, noon + 12 * HOUR - 1):
        day_at("UTC", at_ms)
        day_at("Asia/Tokyo", noon)
    assert reckoned == [noon, noon]
    day_at("UTC", noon + 12 * HOUR)
    assert reckoned == [noon, noon, noon + 12 * HOUR]


def test_few_zones_are_remembered(monkeypatch):
    monkeypatch.setattr(days, "_last", {})
    monkeypatch.setattr(days, "ZoneInfo", lambda name: datetime.strptime("+0000", "%z").tzinfo)
    for number in range(1000):
        assert day_at(f"Zone/{number}", 0).number == 19700101
        assert len(days._last) <= 64
