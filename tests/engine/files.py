"""Campaign files that bring collisions about: small stocks, small budgets, low limits, tight bounds."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.engine.actions import PRODUCTS

File = dict[str, Any]

# Evenings before the clocks are moved: at night, at midnight, by half an hour; and where they never are.
ZONES = (
    ("Asia/Shanghai", datetime(2090, 6, 1, 12, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2090, 3, 25, 17, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2090, 10, 28, 17, tzinfo=UTC)),
    ("America/Santiago", datetime(2090, 9, 2, 22, tzinfo=UTC)),
    ("America/Santiago", datetime(2090, 4, 1, 22, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2090, 9, 30, 9, tzinfo=UTC)),
)
BUDGETS = (None, None, None, None, None, None, "0.11", "1.20", "6.00")
LIMITS = (
    None,
    None,
    None,
    None,
    {"per_day": 1},
    {"per_day": 2},
    {"total": 1},
    {"total": 3},
    {"per_day": 1, "total": 2},
)
SCAN_LIMITS = (
    None,
    None,
    None,
    None,
    {"per_day": 2},
    {"per_day": 4},
    {"total": 6},
    {"per_day": 3, "total": 7},
)
PRIZES = (
    {"kind": "cash", "amount": "0.05"},
    {"kind": "cash", "amount": "1.00"},
    {"kind": "points", "amount": 5},
    {"kind": "coupon", "coupon": "TEN", "value": "0.50", "amount": 2},
    {"kind": "coupon", "coupon": "FREE"},
    {"kind": "physical", "value": "2.00"},
)
LUCKY = tuple(
    {
        "kind": "cash",
        "stock": n,
        "amount": {"min": f"0.0{low}", "max": f"0.0{high}", "total": f"0.{total:02}"},
    }
    for n in (1, 2, 3, 5)
    for low, high in ((1, 2), (1, 3), (1, 9), (2, 4))
    for total in range(n * low + (n > 1), n * high + (n == 1))
)
_ALL = ("wheel", "gift", "friends")
EXTRAS = ((), _ALL, _ALL, _ALL, ("wheel", "gift"), ("wheel", "friends"), ("gift", "friends"))
CHANCES = ({"kind": "chance", "pool": "wheel"}, {"kind": "chance", "pool": "wheel", "amount": 2})
BLANK = {"kind": "none"}
DECKS = ("deck", "locked", "shared")
_RARE = ("less", "pool", "prize", "lift", "unlimited", "end", "same")
CHANGES = ("more", "more", "budget", "budget", "limits", "limits", *_RARE)
"""Of a file; all but "less" only add."""


def _moment(start: datetime, hours: float) -> str:
    return (start + timedelta(hours=hours)).isoformat()


def _entries(start: datetime) -> tuple[Any, ...]:
    windows = [{"from": _moment(start, 1), "until": _moment(start, 30)}]
    return (
        *[None] * 10,
        {"roles": ["worker"]},
        {"tiers": ["gold", "silver"], "channels": ["app", "web"]},
        {"products": [PRODUCTS[0]]},
        {"windows": windows},
        {"windows": [{"daily": "20:00", "lasts": "5m"}, {"daily": "00:00", "lasts": "2h"}]},
        {"windows": [{"daily": "02:30", "lasts": "20h"}], "roles": ["worker", "customer"]},
    )


@st.composite
def _prizes(draw: st.DrawFn, how: str, has_wheel: bool, can_chance: bool) -> list[File]:
    """One to three; what never runs out is the last."""
    some = [*PRIZES, *draw(st.lists(st.sampled_from(LUCKY), max_size=2))]
    some += CHANCES if has_wheel and can_chance else ()
    some += [BLANK, BLANK] if how not in ("every", "locked") else []
    prizes = []
    count = draw(st.integers(1, 3))
    for place in range(count):
        prize = {"id": "abc"[place], "stock": 1, **draw(st.sampled_from(some))}
        if "min" not in str(prize.get("amount")):
            prize["stock"] = draw(st.integers(1, 6))
            if how in ("odds", "every") and place == count - 1 and draw(st.booleans()):
                del prize["stock"]
        if how == "odds":
            prize["odds"] = draw(st.sampled_from(("0.33", "0.3", "0.1")))
        prizes.append(prize)
    return prizes


@st.composite
def _pools(draw: st.DrawFn, start: datetime) -> list[File]:
    how = draw(st.lists(st.sampled_from(("every", "deck", "odds", "deck")), min_size=1, max_size=3))
    extra = draw(st.sampled_from(EXTRAS))
    entries, pools = _entries(start), []
    for name in [*(f"p{place}" for place in range(len(how))), *extra]:
        pool: File = {"id": name, "draw": how[int(name[1:])] if name[1:].isdigit() else "deck"}
        entry = draw(st.sampled_from(entries))
        if name == "wheel":  # entered by draws
            pool |= {"draw": draw(st.sampled_from(("odds", "deck", "every"))), "entered_by": "draw"}
            pool |= draw(st.sampled_from(({"price": {"points": 100}}, {"price": {"points": 100}}, {})))
            entry = None if entry and "products" in entry else entry
        elif name == "gift":
            pool |= {"draw": "locked", "expires_after": draw(st.sampled_from(("10m", "3h", "26h", "60d")))}
        elif name == "friends":
            pool |= {"draw": "shared", "open_for": draw(st.sampled_from(("30s", "26h", "60d", "60d")))}
            pool |= {"slots": draw(st.sampled_from((1, 2, 2, 3)))}
            pool |= draw(st.sampled_from(({}, {"giver": "first"}, {"giver": "last"})))
        else:
            pool["beneficiary"] = draw(st.sampled_from(("member", "member", "member", "seller", "inviter")))
        values = {
            "entry": entry,
            "limits": draw(st.sampled_from(LIMITS)),
            "budget": draw(st.sampled_from(BUDGETS)),
        }
        pool |= {key: value for key, value in values.items() if value}
        is_own = pool.get("beneficiary", "member") == "member" and name != "friends"
        pool["prize"] = draw(_prizes(pool["draw"], "wheel" in extra, is_own))
        pools.append(pool)
    # The order matters: it is the one in which a scan draws.
    return draw(st.permutations(pools)) if extra else pools


@st.composite
def files(draw: st.DrawFn, id: str, zone: str, start: datetime) -> File:
    begins = draw(st.sampled_from((*[-48] * 7, -1, 3, 3)))
    campaign = {
        "id": id,
        "title": "A test",
        "organiser": "Example Paints Co., Ltd.",
        "claim_rules": "None.",
        "currency": "CNY",
        "timezone": zone,
        "starts": _moment(start, begins),
        "ends": _moment(start, draw(st.sampled_from((300, 2000)))),
    }
    budget = draw(st.sampled_from((*BUDGETS, "2.20", "9.00")))
    limits = draw(st.sampled_from(SCAN_LIMITS))
    campaign |= {"budget": budget} if budget else {}
    file: File = {"campaign": campaign, "pool": draw(_pools(start))}
    return file | ({"limits": limits} if limits else {})


def changed(file: File, how: str, where: int) -> File:
    """The file with a change; `where` is the place of a pool, and of a prize in it."""
    file = deepcopy(file)
    campaign, pools = file["campaign"], file["pool"]
    pool = pools[where % len(pools)]
    prize = pool["prize"][where % len(pool["prize"])]
    is_lucky = isinstance(prize.get("amount"), dict)
    match how:
        case "more":
            prizes = [one for one in pool["prize"] if "stock" in one and one["kind"] != "none"]
            for one in prizes:
                one["stock"] += 0 if isinstance(one.get("amount"), dict) else 2
        case "less" if prize.get("stock", 1) > 1 and not is_lucky:
            prize["stock"] -= 1
        case "pool":
            prizes = [{"id": "a", **PRIZES[0], "stock": 2}, {"id": "b", **LUCKY[where % len(LUCKY)]}]
            pools.append({"id": f"n{len(pools)}", "draw": "deck", "budget": "0.30", "prize": prizes})
            pools[-1] |= {"limits": {"total": 3}} if where % 2 else {}
        case "prize" if pool["draw"] in DECKS:
            new = ({**PRIZES[where % len(PRIZES)], "stock": 2}, LUCKY[where % len(LUCKY)])[where % 2]
            pool["prize"].append({"id": f"n{len(pool['prize'])}", **new})
        case "budget" | "lift":
            for one in (campaign, pool):
                if "budget" in one:
                    one["budget"] = f"{float(one['budget']) + 0.06:.2f}"
                    if how == "lift":
                        del one["budget"]
        case "limits":
            for one in (file, pool):
                one |= (
                    {"limits": {name: n + 1 for name, n in one["limits"].items()}} if "limits" in one else {}
                )
        case "unlimited":
            pool.pop("limits", None)
        case "end":
            campaign["ends"] = _moment(datetime.fromisoformat(campaign["ends"]), 480)
    return file
