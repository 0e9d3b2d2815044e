"""docs/security.md names tests: each of them exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`")
TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")


def missing(text: str) -> list[str]:
    """What is named, and is not there."""
    return [
        f"{path}::{name}" if name else path
        for path, name in NAMED.findall(text)
        if not (ROOT / path).exists() or (name and f"def {name}(" not in (ROOT / path).read_text("utf-8"))
    ]


def test_each_test_that_is_named_exists() -> None:
    assert len(NAMED.findall(TEXT)) > 50
    assert missing(TEXT) == []


@pytest.mark.parametrize(
    "text",
    ["`tests/nowhere.py`", "`tests/test_security.py::test_nothing`", "`tests/nowhere.py::test_nothing`"],
)
def test_control_one_that_does_not_is_named(text: str) -> None:
    assert missing(text) == [text.strip("`")]
