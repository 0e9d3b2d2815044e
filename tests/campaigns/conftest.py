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


def money(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"


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
MONEY = st.integers(1, 10**15).map(money)
MOMENTS = st.builds(
    lambda ms, zone: datetime(2001, 1, 1, tzinfo=zone) + timedelta(milliseconds=ms),
    st.integers(0, 30 * 10**12),
    st.sampled_from([UTC, CHINA]),
)
STOCKS = st.integers(1, 10**12)
DURATIONS = st.builds("{}{}".format, st.integers(1, 366), st.sampled_from("smhd"))
LIMITS = st.fixed_dictionaries(
    {}, optional={"per_day": st.integers(1, 10**9), "total": st.integers(1, 10**9)}
)
GTINS = ["06901234567892", "09506000134352", "04006381333931", "00012345678905"]


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


@st.composite
def windows(draw: st.DrawFn) -> Document:
    if draw(st.booleans()):
        clock = draw(st.times()).replace(microsecond=0).isoformat()
        lasts = draw(st.sampled_from(["1s", "90s", "5m", "300m", "22h"]))
        return {"daily": clock, "lasts": lasts}
    start = draw(MOMENTS)
    return {"from": start, "until": start + timedelta(milliseconds=draw(st.integers(1, 10**10)))}


ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "roles": some(TEXTS),
        "tiers": some(TEXTS),
        "products": some(st.sampled_from(GTINS)),
        "channels": some(NAMES),
        "windows": some(windows()),
    },
)
PRODUCTS = st.lists(
    st.fixed_dictionaries(
        {"gtin": st.sampled_from(GTINS), "title": TEXTS},
        optional={"url": st.just("https://example.com/paint?white=1")},
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda product: product["gtin"],
)


@st.composite
def lucky_amounts(draw: st.DrawFn) -> tuple[int, Document]:
    """A stock, and the amounts that share a total."""
    pieces, lowest, room = (
        draw(st.integers(1, 10**6)),
        draw(st.integers(1, 10**6)),
        draw(st.integers(1, 10**6)),
    )
    inner = 1 if pieces > 1 else 0  # so that not all are the lowest, nor the highest
    beyond = draw(st.integers(inner, pieces * room - inner))
    return pieces, {
        "min": money(lowest),
        "max": money(lowest + room),
        "total": money(pieces * lowest + beyond),
    }


@st.composite
def prizes(draw: st.DrawFn, pool: Document, count: int, rich: bool, drawn_into: list[str]) -> list[Document]:
    ids = draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    kinds = ["cash", "points", "coupon", "physical"]
    if pool["draw"] not in ("every", "locked"):
        kinds.append("none")
    if rich:
        kinds.append("lucky")
    if drawn_into and pool["draw"] != "shared" and pool.get("beneficiary", "member") == "member":
        kinds.append("chance")
    made = []
    for at, name in enumerate(ids):
        kind = draw(st.sampled_from(kinds))
        prize: Document = {"id": name, "kind": kind}
        match kind:
            case "cash":
                prize["amount"] = draw(MONEY)
            case "lucky":
                prize["kind"] = "cash"
                prize["stock"], prize["amount"] = draw(lucky_amounts())
            case "points":
                prize["amount"] = draw(st.integers(1, 10**15))
            case "coupon":
                prize["coupon"] = draw(TEXTS)
            case "physical":
                prize["value"] = draw(MONEY)
            case "chance":
                prize |= {"pool": draw(st.sampled_from(drawn_into)), "amount": draw(st.integers(1, 1000))}
        if rich and kind in ("coupon", "physical") and draw(st.booleans()):
            prize |= {"value": money(draw(st.integers(1, 10**9))), "amount": draw(st.integers(1, 10**6))}
        endless_would_hide_others = pool["draw"] == "every" and at < count - 1
        needed = pool["draw"] in ("deck", "locked", "shared") or endless_would_hide_others
        if "stock" not in prize and (needed or draw(st.booleans())):
            prize["stock"] = draw(STOCKS)
        if pool["draw"] == "odds":
            # at least 1 in 2^48, and together at most 1
            prize["odds"] = f"0.{draw(st.integers(4, 999_999_999_999_999 // count)):015}"
        made.append(prize)
    return made


@st.composite
def pools(draw: st.DrawFn, name: str, kind: str) -> Document:
    """A pool without its prizes, and with whatever a pool of its draw may have."""
    pool: Document = {"id": name, "draw": kind}
    if draw(st.booleans()):
        pool["limits"] = draw(LIMITS)
    if draw(st.booleans()):
        pool["budget"] = draw(MONEY)
    if draw(st.booleans()):
        pool["entry"] = draw(ENTRIES)
    match kind:
        case "locked":
            pool["expires_after"] = draw(DURATIONS)
        case "shared":
            pool |= {"slots": draw(st.integers(1, 100)), "open_for": draw(DURATIONS)}
            if draw(st.booleans()):
                pool["giver"] = draw(st.sampled_from(["first", "last"]))
        case _ if draw(st.booleans()):
            pool["entered_by"] = "draw"
            pool.get("entry", {}).pop("products", None)
            if draw(st.booleans()):
                pool["price"] = {"points": draw(st.integers(1, 10**15))}
        case _:
            pool["beneficiary"] = draw(st.sampled_from(["member", "seller", "inviter"]))
    return pool


@st.composite
def documents(draw: st.DrawFn, rich: bool) -> Document:
    starts = draw(MOMENTS)
    document: Document = {
        "campaign": BASE["campaign"]
        | {
            "title": draw(TEXTS),
            "claim_rules": draw(TEXTS) + "\n" + draw(TEXTS),
            "starts": starts,
            "ends": starts + timedelta(milliseconds=draw(st.integers(1, 10**10))),
        },
    }
    if rich:
        optional = {"contact": TEXTS, "budget": MONEY}
        document["campaign"] |= draw(st.fixed_dictionaries({}, optional=optional))
        document |= draw(st.fixed_dictionaries({}, optional={"limits": LIMITS, "product": PRODUCTS}))
    document["pool"] = made = []
    kinds = ["every", "deck", "odds"] + (["locked", "shared"] if rich else [])
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from(kinds))
        if kind == "shared":
            kinds.remove("shared")  # a campaign has one
        pool = draw(pools(name, kind)) if rich else {"id": name, "draw": kind}
        if draw(st.booleans()):
            pool["game"] = draw(NAMES)
        made.append(pool)
    drawn_into = [pool["id"] for pool in made if pool.get("entered_by") == "draw"]
    for pool in made:
        pool["prize"] = draw(prizes(pool, draw(st.integers(1, 5)), rich, drawn_into))
    return document


@pytest.fixture(scope="session")
def plain_document() -> st.SearchStrategy[Document]:
    """Documents with nothing but pools of the three plain draws, which everybody enters."""
    return documents(rich=False)


@pytest.fixture(scope="session")
def any_document() -> st.SearchStrategy[Document]:
    """Documents with anything that a campaign file can say."""
    return documents(rich=True)
