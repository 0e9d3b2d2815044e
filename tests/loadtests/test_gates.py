"""Gates: each one fails by itself, and a file of gates that is wrong is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.gates import DEFAULTS, NAMES, Gates, Reached, judge, read_gates
from loadtests.people.shapes import SHAPES

GATES = Gates(p99_ms=100, error_share=0.01, requests=1000)
GOOD = Reached(requests=1000, errors=10, p99_ms=100.0, wrong_count=0, ledger=[])


def failed(reached: Reached) -> list[str]:
    return [verdict.gate for verdict in judge(GATES, reached) if not verdict.holds]


def test_what_reaches_every_gate_passes() -> None:
    assert [verdict.gate for verdict in judge(GATES, GOOD)] == [
        "requests",
        "answers",
        "errors",
        "p99",
        "ledger",
    ]
    assert failed(GOOD) == []


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"requests": 999, "errors": 0}, "requests"),
        ({"missing": ["nobody of the kind “crowd”"]}, "requests"),
        ({"wrong_count": 1}, "answers"),
        ({"errors": 11}, "errors"),
        ({"p99_ms": 100.1}, "p99"),
        ({"ledger": ["a pool overspent"]}, "ledger"),
    ],
)
def test_each_gate_fails_by_itself(change: dict[str, object], gate: str) -> None:
    assert failed(replace(GOOD, **change)) == [gate]


def test_a_ledger_that_could_not_be_looked_at_is_no_gate() -> None:
    assert "ledger" not in [verdict.gate for verdict in judge(GATES, replace(GOOD, ledger=None))]


def test_every_run_has_gates_and_flags_override_them() -> None:
    for name in NAMES:
        assert read_gates(name).requests > 0
    assert set(SHAPES) | {"open"} == set(NAMES)
    assert GATES.but(p99_ms=5.0, error_share=None) == Gates(5.0, 0.01, 1000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[spike]\np99_ms = 1\nerror_share = 0\n", "must have error_share, p99_ms, requests"),
        ("[spike]\np99_ms = 1\nerror_share = 0\nrequests = 1\np999_ms = 1\n", "and nothing else"),
        ("[spike]\np99_ms = 'fast'\nerror_share = 0\nrequests = 1\n", "p99_ms in .* must be a number"),
        ("[spike]\np99_ms = -1\nerror_share = 0\nrequests = 1\n", "p99_ms in .* must be a number"),
        ("[spike]\np99_ms = true\nerror_share = 0\nrequests = 1\n", "p99_ms in .* must be a number"),
        ("spike = 3\n", "must have"),
        ("[steady]\n", r"no section \[spike\]"),
        ("[spike\n", "cannot be read"),
    ],
)
def test_a_bad_file_of_gates_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "gates.toml").write_text(text)
    with pytest.raises(LoadTestError, match=said):
        read_gates("spike", tmp_path / "gates.toml")


def test_gates_that_are_not_there_are_refused(tmp_path: Path) -> None:
    assert DEFAULTS.exists()
    with pytest.raises(LoadTestError, match="cannot be read"):
        read_gates("spike", tmp_path / "none.toml")
