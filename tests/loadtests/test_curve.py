"""Arrival curves: read, written, scaled, played, and made of a stream."""

import orjson
import pytest

from loadtests.errors import LoadTestError
from loadtests.generator.curve import (
    HEADER,
    curve_of_stream,
    curve_text,
    due_times,
    parse_curve,
    scaled,
)


def test_a_curve_is_read_and_written_back() -> None:
    counts = parse_curve(f"{HEADER}\r\n0,3\r\n\r\n 2 , 1\r\n")
    assert counts == [3, 0, 1]
    assert curve_text(counts) == "second,requests\n0,3\n2,1\n"
    assert parse_curve(curve_text(counts)) == counts
    assert parse_curve("\ufeffsecond, requests\n1,5") == [0, 5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected the header"),
        ("0,3\n1,4\n", "line 1: expected the header"),
        (f"{HEADER}\n", "1 to 100,000,000 requests; this one has 0"),
        (f"{HEADER}\n0,0\n7,0\n", "this one has 0"),
        (f"{HEADER}\n0,3\n1,-4\n", "line 3: expected two whole numbers"),
        (f"{HEADER}\n0,3.5\n", "line 2: expected two whole numbers"),
        (f"{HEADER}\n0,3,9\n", "line 2: expected two whole numbers"),
        (f"{HEADER}\n0\n", "line 2: expected two whole numbers"),
        (f"{HEADER}\n0,٣\n", "line 2: expected two whole numbers"),
        (f"{HEADER}\n0,{'9' * 5000}\n", "line 2: expected two whole numbers"),
        (f"{HEADER}\n4,1\n4,1\n", "line 3: second 4 comes after second 4"),
        (f"{HEADER}\n4,1\n2,1\n", "line 3: second 2 comes after second 4"),
        (f"{HEADER}\n604800,1\n", "line 2: a curve has at most 604800 seconds"),
        (f"{HEADER}\n0,99999999999\n", "this one has 99,999,999,999"),
    ],
)
def test_a_bad_file_is_refused_by_its_line(text: str, said: str) -> None:
    with pytest.raises(LoadTestError, match=said):
        parse_curve(text)


def test_scaling_keeps_the_total_and_the_form() -> None:
    assert scaled([1, 1, 1, 1], 0.5) == [0, 1, 1, 0]
    assert scaled([10, 20, 30], 2.0) == [20, 40, 60]
    counts = [7, 0, 3, 11, 5] * 40
    thirds = scaled(counts, 1 / 3)
    assert sum(thirds) == round(sum(counts) / 3)
    assert all(abs(some - count / 3) <= 1 for some, count in zip(thirds, counts, strict=True))
    with pytest.raises(LoadTestError, match="this one has 0"):
        scaled([1], 0.1)
    with pytest.raises(LoadTestError, match="this one has 1,000,000,000"):
        scaled([1_000_000], 1000)


def test_arrivals_are_spread_over_their_second() -> None:
    assert list(due_times([2, 0, 4])) == [0.0, 0.5, 2.0, 2.25, 2.5, 2.75]


def test_a_stream_makes_a_curve() -> None:
    entries = [
        {"type": "campaign.applied", "at": 1_000_000, "entry": "1-0"},
        {"type": "scan.accepted", "at": 5_000_100},
        {"type": "scan.accepted", "at": 5_000_999},
        {"type": "scan.accepted", "at": 5_003_000},
        {"type": "scan.accepted", "at": 5_002_000},
    ]
    lines = [orjson.dumps(entry).decode() for entry in entries]
    assert curve_of_stream(lines) == [2, 0, 1, 1]
    for bad, said in (
        (["{"], "line 1: expected an entry"),
        ([lines[1], "[]"], "line 2: expected an entry"),
        (['{"type": "scan.accepted"}'], "line 1: expected an entry"),
        (['{"type": "scan.accepted", "at": "soon"}'], "line 1: expected an entry"),
        (lines[:1], "no accepted scan"),
        ([], "no accepted scan"),
        ([lines[1], '{"type": "scan.accepted", "at": 0}'.replace("0", "10000000000")], "more than a week"),
    ):
        with pytest.raises(LoadTestError, match=said):
            curve_of_stream(bad)
