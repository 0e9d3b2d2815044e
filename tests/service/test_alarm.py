"""The alarm about forgeries: when it rings, when it stops, and what it says."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.service.alarm import ForgeryAlarm

BEGINS = re.compile(
    r"forgeries: \d+ a second over 10 s; the alarm is set to 100 \(SCANNER_FORGERIES_ALARM_PER_S\)"
)
GOES_ON = re.compile(r"forgeries: \d+ a second still, \d+ in \d+ s so far")
ENDS = re.compile(r"forgeries: over, \d+ in \d+ s")


class Feeding:
    """An alarm set to 100 a second, fed each second, with what it said and when."""

    def __init__(self, total=0, now_s=1000.0):
        self.alarm = ForgeryAlarm(100)
        self.total, self.now_s = total, now_s
        self.said = []
        self.alarm.feed(total, now_s)

    def seconds(self, n, per_s, every_s=1.0):
        for _ in range(n):
            self.now_s += every_s
            self.total += per_s
            self.said += [(self.now_s, line) for line in self.alarm.feed(self.total, self.now_s)]
        return self

    @property
    def lines(self):
        return [line for _, line in self.said]


def test_nothing_is_said_of_a_few():
    fed = Feeding().seconds(3600, 99)
    assert (fed.lines, fed.alarm.ringing, fed.alarm.per_s) == ([], False, 99)


def test_what_was_counted_before_the_first_look_is_no_rate():
    fed = Feeding(total=10**9).seconds(60, 0)
    assert (fed.lines, fed.alarm.per_s) == ([], 0)


def test_it_rings_at_the_setting_over_ten_seconds():
    fed = Feeding().seconds(60, 0).seconds(9, 100)
    assert (fed.alarm.per_s, fed.alarm.ringing) == (90, False)
    fed.seconds(1, 100)
    assert (fed.alarm.per_s, fed.alarm.ringing) == (100, True)
    assert fed.lines == [
        "forgeries: 100 a second over 10 s; the alarm is set to 100 (SCANNER_FORGERIES_ALARM_PER_S)"
    ]


def test_a_storm_rings_before_the_window_is_full():
    assert Feeding().seconds(1, 1000).alarm.ringing


def test_it_stops_after_ten_seconds_below_half_and_says_how_many_there_were():
    fed = Feeding().seconds(20, 0).seconds(10, 100).seconds(100, 50)
    assert fed.alarm.ringing  # half is not below half
    fed.seconds(9, 49)
    assert fed.alarm.ringing
    fed.seconds(1, 49)
    assert not fed.alarm.ringing
    assert fed.lines[-1] == f"forgeries: over, {10 * 100 + 100 * 50 + 10 * 49} in 120 s"


def test_one_busy_moment_puts_the_end_off():
    fed = Feeding().seconds(20, 100).seconds(14, 0)
    assert fed.alarm.ringing
    fed.seconds(1, 900).seconds(10, 0)
    assert fed.alarm.ringing
    assert not fed.seconds(20, 0).alarm.ringing


def test_it_speaks_once_a_minute_in_between():
    fed = Feeding().seconds(600, 200)
    began_s = fed.said[0][0]
    assert BEGINS.fullmatch(fed.lines[0])
    assert [at_s - began_s for at_s, _ in fed.said[1:]] == list(range(60, 600 - 4, 60))
    assert all(GOES_ON.fullmatch(line) for line in fed.lines[1:])
    assert fed.lines[1] == "forgeries: 200 a second still, 13000 in 65 s so far"


def test_it_rings_again():
    fed = Feeding().seconds(20, 100).seconds(30, 0).seconds(20, 100)
    assert [bool(BEGINS.fullmatch(line)) for line in fed.lines] == [True, False, True]
    assert ENDS.fullmatch(fed.lines[1])


@pytest.mark.parametrize("every_s", [0.1, 0.9, 1.1, 3.0, 30.0])
def test_it_does_not_matter_how_often_it_is_fed(every_s):
    fed = Feeding().seconds(int(300 / every_s), int(150 * every_s), every_s)
    assert fed.alarm.ringing
    assert fed.alarm.per_s == pytest.approx(int(150 * every_s) / every_s, rel=0.15)
    assert len(fed.lines) <= 6


def test_a_look_that_comes_late_makes_no_storm():
    fed = Feeding().seconds(60, 90).seconds(1, 90 * 40, every_s=40.0)
    assert (fed.alarm.per_s, fed.lines) == (90, [])


def test_a_clock_that_steps_back_begins_anew():
    fed = Feeding().seconds(30, 60)
    fed.now_s -= 10_000
    fed.seconds(1, 60)
    assert (fed.alarm.per_s, fed.alarm.ringing) == (0, False)
    fed.seconds(30, 60)
    assert (fed.alarm.per_s, fed.lines) == (60, [])


def test_a_clock_that_steps_back_does_not_keep_it_ringing():
    fed = Feeding().seconds(30, 200)
    fed.now_s -= 10_000
    fed.seconds(30, 0)
    assert not fed.alarm.ringing
    assert ENDS.fullmatch(fed.lines[-1])


def test_a_count_that_goes_back_is_no_rate():
    fed = Feeding(total=10**6).seconds(20, 10)
    fed.total = 0
    fed.seconds(20, 10)
    assert (fed.alarm.per_s, fed.lines) == (10, [])


@given(st.lists(st.tuples(st.integers(-5, 2000), st.floats(-50, 50)), max_size=300))
def test_what_is_said_begins_goes_on_and_ends_in_this_order(steps):
    fed = Feeding()
    for more, later_s in steps:
        fed.seconds(1, more, later_s)
        assert fed.alarm.per_s >= 0
    ringing = False
    for _, line in fed.said:
        assert (BEGINS if not ringing else GOES_ON if "still" in line else ENDS).fullmatch(line)
        ringing = not ENDS.fullmatch(line)
    assert ringing == fed.alarm.ringing


@given(st.lists(st.integers(0, 400), max_size=400))
def test_there_is_no_more_than_a_line_a_minute_in_between(counts):
    fed = Feeding()
    for more in counts:
        fed.seconds(1, more)
    for (before_s, _), (at_s, line) in zip(fed.said, fed.said[1:], strict=False):
        assert at_s - before_s >= 60 or not GOES_ON.fullmatch(line)
