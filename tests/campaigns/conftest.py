"""Campaign files to begin from, a writer for TOML, and a strategy for whole files."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

import scanner.campaigns
from scanner.campaigns import CampaignFile, parse

Document = dict[str, Any]

CHINA = timezone(timedelta(hours=8))

BASE: Document = {
    "campaign": {
        "id": "spring",
        "title": "Spring",
        "organiser": "Example Paints Co., Ltd.",
        "claim_rules": "Within 24 hours.",
        "currency": "CNY",
        "timezone": "Asia/Shanghai",
        "starts": datetime(2027, 3, 1, tzinfo=CHINA),
        "ends": datetime(2027, 5, 31, 23, 59, 59, tzinfo=CHINA),
    },
    "pool": [
        {
            "id": "points",
            "draw": "every",
            "prize": [
                {"id": "cash", "kind": "cash", "amount": "0.20", "stock": 100},
                {"id": "p50", "kind": "points", "amount": 50},
            ],
        },
        {
            "id": "lucky",
            "draw": "deck",
            "game": "scratch-card",
            "prize": [
                {"id": "phone", "kind": "physical", "value": "7999.00", "stock": 3},
                {"id": "small", "kind": "cash", "amount": "0.88", "stock": 200},
                {"id": "thanks", "kind": "none", "stock": 797},
            ],
        },
        {
            "id": "wheel",
            "draw": "odds",
            "prize": [
                {"id": "coupon", "kind": "coupon", "coupon": "SPRING10", "odds": "0.05", "stock": 50},
                {"id": "points", "kind": "points", "amount": 5, "odds": "0.25"},
            ],
        },
    ],
}


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
        case int() | float():
            return repr(value)
    return str(value.isoformat())


@pytest.fixture(scope="session")
def write() -> Callable[[Document], str]:
    """A document as TOML text."""
    return lambda document: "\n".join(f"{key} = {_toml(value)}" for key, value in document.items())


@pytest.fixture(scope="session")
def read(write) -> Callable[[Document], CampaignFile]:
    """A document as a checked file."""
    return lambda document: parse(write(document))


@pytest.fixture
def base() -> Document:
    """A small campaign with all three draws and every kind of prize, free to be changed."""
    return copy.deepcopy(BASE)


@pytest.fixture(scope="session")
def demo() -> str:
    return (Path(scanner.campaigns.__file__).parent / "demo.toml").read_text("utf-8")


@pytest.fixture(scope="session")
def paint() -> str:
    return (Path(__file__).parents[2] / "examples" / "paint.toml").read_text("utf-8")


NAMES = st.text("abcxyz019-", min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
MONEY = st.integers(1, 10**15).map(lambda fen: f"{fen // 100}.{fen % 100:02}")
MOMENTS = st.builds(
    lambda ms, zone: datetime(2001, 1, 1, tzinfo=zone) + timedelta(milliseconds=ms),
    st.integers(0, 30 * 10**12),
    st.sampled_from([UTC, CHINA]),
)
STOCKS = st.integers(1, 10**12)


@st.composite
def prizes(draw: st.DrawFn, pool_draw: str, count: int) -> list[Document]:
    ids = draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    kinds = ["cash", "points", "coupon", "physical", *(["none"] if pool_draw != "every" else [])]
    made = []
    for at, name in enumerate(ids):
        kind = draw(st.sampled_from(kinds))
        prize: Document = {"id": name, "kind": kind}
        match kind:
            case "cash":
                prize["amount"] = draw(MONEY)
            case "points":
                prize["amount"] = draw(st.integers(1, 10**15))
            case "coupon":
                prize["coupon"] = draw(TEXTS)
            case "physical":
                prize["value"] = draw(MONEY)
        endless_would_hide_others = pool_draw == "every" and at < count - 1
        if pool_draw == "deck" or endless_would_hide_others or draw(st.booleans()):
            prize["stock"] = draw(STOCKS)
        if pool_draw == "odds":
            # at least 1 in 2^48, and together at most 1
            prize["odds"] = f"0.{draw(st.integers(4, 999_999_999_999_999 // count)):015}"
        made.append(prize)
    return made


@st.composite
def documents(draw: st.DrawFn) -> Document:
    starts = draw(MOMENTS)
    document: Document = {
        "campaign": BASE["campaign"]
        | {
            "title": draw(TEXTS),
            "claim_rules": draw(TEXTS) + "\n" + draw(TEXTS),
            "starts": starts,
            "ends": starts + timedelta(milliseconds=draw(st.integers(1, 10**10))),
        },
        "pool": [],
    }
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        pool: Document = {"id": name, "draw": draw(st.sampled_from(["every", "deck", "odds"]))}
        if draw(st.booleans()):
            pool["game"] = draw(NAMES)
        pool["prize"] = draw(prizes(pool["draw"], draw(st.integers(1, 5))))
        document["pool"].append(pool)
    return document


@pytest.fixture(scope="session")
def any_document() -> st.SearchStrategy[Document]:
    """Documents that the check accepts and this version draws."""
    return documents()
