"""Who enters which pool and when, against nested ifs over the file and a walk along the clocks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.campaigns import Facts, compile_plan, day_at, may_draw, pools_entered, rules, standing
from scanner.campaigns.entry import Daily
from tests.campaigns.clocks import (
    EPOCH,
    HOUR,
    MINUTE,
    ms,
    shown,
    utc,
    walked_day,
    walked_starts,
    zones_and_moments,
)

ALWAYS = 2**48 - 1
CAMPAIGN = {
    "id": "c",
    "title": "t",
    "organiser": "o",
    "claim_rules": "r",
    "currency": "CNY",
    "starts": datetime(2001, 1, 1, tzinfo=UTC),
    "ends": datetime(2040, 1, 1, tzinfo=UTC),
}
ROLES, TIERS, CHANNELS = ["worker", "painter"], ["gold", "silver"], ["app", "web"]
PRODUCTS = ["06901234567892", "09506000134352"]
FACTS = st.builds(
    Facts,
    role=st.sampled_from(["", *ROLES, "boss"]),
    tier=st.sampled_from(["", *TIERS]),
    product=st.sampled_from(PRODUCTS),
    channel=st.sampled_from(["", *CHANNELS]),
    seller=st.sampled_from(["", "shop"]),
    inviter=st.sampled_from(["", "friend"]),
)


# The slow way: nested ifs over the file as it was read.


def lies_in(window, zone, at_ms):
    if isinstance(window, Daily):
        starts = walked_starts(zone, window.daily, at_ms)
        return any(start <= at_ms < start + window.lasts for start in starts)
    return ms(window.from_) <= at_ms < ms(window.until)


def holds(pool, zone, facts, at_ms):
    if pool.beneficiary == "seller" and facts.seller == "":
        return False
    if pool.beneficiary == "inviter" and facts.inviter == "":
        return False
    if pool.entry is not None:
        if pool.entry.roles is not None and facts.role not in pool.entry.roles:
            return False
        if pool.entry.tiers is not None and facts.tier not in pool.entry.tiers:
            return False
        if pool.entry.products is not None and facts.product not in pool.entry.products:
            return False
        if pool.entry.channels is not None and facts.channel not in pool.entry.channels:
            return False
        if pool.entry.windows is not None:
            return any(lies_in(window, zone, at_ms) for window in pool.entry.windows)
    return True


def entered(file, facts, at_ms):
    """The ids of the pools that a scan enters."""
    pools = [pool for pool in file.pool if pool.entered_by != "draw"]
    return [pool.id for pool in pools if holds(pool, file.campaign.timezone, facts, at_ms)]


# Campaigns with few values for many conditions, and with windows around a moment.


def some(values):
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


@st.composite
def windows(draw, zone, at_ms):
    minutes = draw(st.integers(-30 * 60, 30 * 60) | st.sampled_from([0, 1, -1]))
    begins = (at_ms // MINUTE + minutes) * MINUTE
    lasts = draw(st.sampled_from([1, 5, 60, 600, 22 * 60]))
    if draw(st.booleans()):
        later = timedelta(minutes=draw(st.sampled_from([0, 0, 30, -30])))  # a time that is jumped over, too
        return {"daily": f"{shown(zone, begins) + later:%H:%M}", "lasts": f"{lasts}m"}
    begins = EPOCH + timedelta(milliseconds=begins + draw(st.integers(-1, 1)))
    return {"from": begins, "until": begins + timedelta(minutes=lasts)}


@st.composite
def campaigns(draw):
    """A document, its time zone and a moment that its windows are around."""
    zone, at_ms = draw(zones_and_moments)
    pools = []
    for number in range(draw(st.integers(1, 4))):
        pool = {"id": f"p{number}", "draw": "every", "prize": [{"id": "p", "kind": "points", "amount": 1}]}
        entry = {
            "roles": some(ROLES),
            "tiers": some(TIERS),
            "products": some(PRODUCTS),
            "channels": some(CHANNELS),
            "windows": st.lists(windows(zone, at_ms), min_size=1, max_size=3),
        }
        match draw(st.sampled_from(["scan", "scan", "seller", "inviter", "draw", "locked", "shared"])):
            case "draw":
                pool["entered_by"] = "draw"
                del entry["products"]
            case "seller" | "inviter" as beneficiary:
                pool["beneficiary"] = beneficiary
            case "locked":
                pool |= {"draw": "locked", "expires_after": "7d"}
            case "shared" if all(pool["draw"] != "shared" for pool in pools):
                pool |= {"draw": "shared", "slots": 3, "open_for": "1d"}
        if pool["draw"] != "every":
            pool["prize"][0]["stock"] = 9
        if draw(st.booleans()):
            pool["entry"] = draw(st.fixed_dictionaries({}, optional=entry))
        pools.append(pool)
    document = {"campaign": CAMPAIGN | {"timezone": zone}, "pool": pools}
    if draw(st.booleans()):
        document["limits"] = {"per_day": 3}
    return document, zone, at_ms


def plan_of(file, no=1):
    return compile_plan(file, no=no, previous=None)


def edges_of(file, zone, at_ms):
    """The moments around one at which a window begins or ends."""
    found = []
    for pool in file.pool:
        for window in (pool.entry and pool.entry.windows) or ():
            if isinstance(window, Daily):
                starts = walked_starts(zone, window.daily, at_ms)
                found += [edge for start in starts for edge in (start, start + window.lasts)]
            else:
                found += [ms(window.from_), ms(window.until)]
    return found


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_pools_entered_are_those_of_the_file_whose_conditions_hold(read, data):
    document, zone, at_ms = data.draw(campaigns())
    file = read(document)
    plan = plan_of(file)
    near = [at_ms, *(edge + by for edge in edges_of(file, zone, at_ms) for by in (-1, 0))]
    for moment in data.draw(st.lists(st.sampled_from(near), min_size=1, max_size=6)):
        facts = data.draw(FACTS)
        assert [pool.id for pool in pools_entered(plan, facts, moment)] == entered(file, facts, moment)
        for pool in file.pool:
            is_open = may_draw(plan.by_id[pool.id], plan.timezone, facts, moment)
            assert is_open == holds(pool, zone, facts, moment)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_within_a_standing_nothing_changes(read, data):
    document, zone, at_ms = data.draw(campaigns())
    file = read(document)
    plan = plan_of(file)
    stood = standing(plan, at_ms)
    assert stood.from_ms <= at_ms < stood.until_ms
    if not plan.timed:
        assert stood == (0, ALWAYS, (0, 0, ALWAYS))
        return
    assert stood.day == walked_day(zone, at_ms)
    people = data.draw(st.lists(FACTS, min_size=1, max_size=3))
    within = st.integers(stood.from_ms, stood.until_ms - 1)
    moments = [stood.from_ms, stood.until_ms - 1, *data.draw(st.lists(within, max_size=4))]
    moments += [edge for edge in edges_of(file, zone, at_ms) if stood.from_ms <= edge < stood.until_ms]
    for moment in moments:
        assert stood.day.from_ms <= moment < stood.day.until_ms
        assert [entered(file, facts, moment) for facts in people] == [
            entered(file, facts, at_ms) for facts in people
        ]
        assert standing(plan, moment) == stood


def every(name, **values):
    prizes = [{"id": "p", "kind": "points", "amount": 1}]
    return {"id": name, "draw": "every", "prize": prizes} | values


@pytest.fixture
def plan(read):
    """Compiles pools: plan(pool, …, timezone=…)."""

    def compiled(*pools, timezone="Asia/Shanghai", **top):
        return plan_of(read({"campaign": CAMPAIGN | {"timezone": timezone}, "pool": list(pools)} | top))

    return compiled


def ids(plan, at_ms=0, **facts):
    return [pool.id for pool in pools_entered(plan, Facts(**facts), at_ms)]


def test_where_nothing_is_asked_every_scan_enters_every_pool(base, read):
    plan = plan_of(read(base))
    assert pools_entered(plan, Facts(), 0) is plan.pools
    assert standing(plan, utc(2027, 3, 1)) == (0, ALWAYS, (0, 0, ALWAYS))


@pytest.mark.parametrize(
    ("entry", "fact"),
    [
        ({"roles": ["worker", "painter"]}, {"role": "painter"}),
        ({"tiers": ["gold"]}, {"tier": "gold"}),
        ({"products": ["06901234567892"]}, {"product": "06901234567892"}),
        ({"channels": ["app"]}, {"channel": "app"}),
    ],
)
def test_each_condition(plan, entry, fact):
    some = plan(every("all"), every("some", entry=entry), every("also"))
    (name,) = fact
    assert ids(some, **fact) == ["all", "some", "also"]
    assert ids(some, **{name: "another"}) == ["all", "also"]
    assert ids(some) == ["all", "also"]
    assert may_draw(some.pools[1], "UTC", Facts(**fact), 0)
    assert not may_draw(some.pools[1], "UTC", Facts(), 0)


def test_all_conditions_must_hold(plan):
    some = plan(every("some", entry={"roles": ["worker"], "tiers": ["gold", "silver"]}))
    assert ids(some, role="worker", tier="silver") == ["some"]
    assert ids(some, role="worker") == ids(some, tier="gold") == ids(some, role="boss", tier="gold") == []


def test_there_must_be_a_seller_or_an_inviter(plan):
    some = plan(every("m"), every("s", beneficiary="seller"), every("i", beneficiary="inviter"))
    assert ids(some) == ["m"]
    assert ids(some, seller="shop") == ["m", "s"]
    assert ids(some, inviter="friend") == ["m", "i"]
    assert ids(some, seller="shop", inviter="friend") == ["m", "s", "i"]


def test_draws_and_packets(plan):
    stock = [{"id": "p", "kind": "points", "amount": 1, "stock": 1}]
    some = plan(
        every("wheel", entered_by="draw", entry={"tiers": ["gold"]}),
        every("packets", draw="locked", expires_after="1d", prize=stock, entry={"tiers": ["gold"]}),
        every("friends", draw="shared", slots=1, open_for="1d", prize=stock),
    )
    assert ids(some) == ["friends"]
    assert ids(some, tier="gold") == ["packets", "friends"]  # nobody scans into the wheel
    assert ids(plan(every("wheel", entered_by="draw"))) == []
    assert may_draw(some.pools[0], "UTC", Facts(tier="gold"), 0)
    assert not may_draw(some.pools[0], "UTC", Facts(tier="silver"), 0)


RAIN = {"windows": [{"daily": "20:00", "lasts": "5m"}]}


def test_red_packets_rain_at_eight_in_shanghai(plan):
    rain = plan(every("all"), every("rain", entry=RAIN))
    eight = utc(2027, 3, 1, 12)
    for moment, pools in [
        (eight - 1, ["all"]),
        (eight, ["all", "rain"]),
        (eight + 5 * MINUTE - 1, ["all", "rain"]),
        (eight + 5 * MINUTE, ["all"]),
        (eight + 24 * HOUR, ["all", "rain"]),
    ]:
        assert ids(rain, moment) == pools
        assert may_draw(rain.pools[1], rain.timezone, Facts(), moment) == ("rain" in pools)
    today = (20270301, utc(2027, 2, 28, 16), utc(2027, 3, 1, 16))
    assert standing(rain, eight - 1) == (today[1], eight, today)
    assert standing(rain, eight) == (eight, eight + 5 * MINUTE, today)
    assert standing(rain, eight + 5 * MINUTE) == (eight + 5 * MINUTE, today[2], today)


@pytest.mark.parametrize(
    ("date", "hour"),
    [
        (datetime(2027, 3, 27), 19),  # noqa: DTZ001
        (datetime(2027, 3, 28), 18),  # noqa: DTZ001  (summer time since the morning)
        (datetime(2027, 3, 29), 18),  # noqa: DTZ001
        (datetime(2027, 10, 30), 18),  # noqa: DTZ001
        (datetime(2027, 10, 31), 19),  # noqa: DTZ001  (until this morning)
        (datetime(2027, 11, 1), 19),  # noqa: DTZ001
    ],
)
def test_red_packets_rain_at_eight_in_berlin(plan, date, hour):
    rain = plan(every("rain", entry=RAIN), timezone="Europe/Berlin")
    eight = ms(date.replace(hour=hour, tzinfo=UTC))
    assert (EPOCH + timedelta(milliseconds=eight)).astimezone(ZoneInfo("Europe/Berlin")).hour == 20
    assert ids(rain, eight - 1) == ids(rain, eight + 5 * MINUTE) == []
    assert ids(rain, eight) == ids(rain, eight + 5 * MINUTE - 1) == ["rain"]
    assert standing(rain, eight)[:2] == (eight, eight + 5 * MINUTE)


def test_in_berlin_half_past_two_is_jumped_over_and_shown_twice(plan):
    rain = plan(
        every("rain", entry={"windows": [{"daily": "02:30", "lasts": "5m"}]}), timezone="Europe/Berlin"
    )
    jump = utc(2027, 3, 28, 1)
    assert ids(rain, jump - 1) == ids(rain, jump + 5 * MINUTE) == []
    assert ids(rain, jump) == ["rain"]
    assert standing(rain, jump)[:2] == (jump, jump + 5 * MINUTE)
    first, second = utc(2027, 10, 31, 0, 30), utc(2027, 10, 31, 1, 30)
    assert ids(rain, first) == ["rain"]
    assert ids(rain, second) == []


def test_a_window_goes_on_after_midnight_and_is_as_long_as_it_says(plan):
    night = every("night", entry={"windows": [{"daily": "22:00", "lasts": "6h"}]})
    berlin = plan(night, timezone="Europe/Berlin")
    for begins, midnight in [
        (utc(2027, 3, 1, 21), utc(2027, 3, 1, 23)),
        (utc(2027, 3, 27, 21), utc(2027, 3, 27, 23)),  # until five by the clocks
        (utc(2027, 10, 30, 20), utc(2027, 10, 30, 22)),  # until three
    ]:
        ends = begins + 6 * HOUR
        assert [ids(berlin, at) for at in (begins - 1, begins, midnight, ends - 1, ends)] == [
            [], ["night"], ["night"], ["night"], [],
        ]  # fmt: skip
        assert standing(berlin, midnight - 1)[:2] == (begins, midnight)
        assert standing(berlin, midnight)[:2] == (midnight, ends)
        assert may_draw(berlin.pools[0], berlin.timezone, Facts(), ends - 1)


def test_windows_of_moments_do_not_ask_for_the_time_zone(plan):
    begins = datetime(2027, 3, 1, 12, tzinfo=UTC)
    window = {"from": begins, "until": begins + timedelta(days=3)}
    some = plan(every("some", entry={"windows": [window, {"daily": "23:00", "lasts": "1m"}]}), timezone="UTC")
    start, end = ms(begins), ms(begins) + 72 * HOUR
    assert [ids(some, at) for at in (start - 1, start, end - 1, end)] == [[], ["some"], ["some"], []]
    assert standing(some, start - 1)[:2] == (utc(2027, 3, 1), start)
    assert standing(some, start)[:2] == (start, utc(2027, 3, 1, 23))
    assert standing(some, utc(2027, 3, 2))[:2] == (utc(2027, 3, 2), utc(2027, 3, 2, 23))
    assert ids(some, utc(2027, 3, 9, 23)) == ["some"]


def test_limits_by_the_day_stand_for_the_day(plan):
    some = plan(every("all"), limits={"per_day": 3}, timezone="America/Havana")
    at_ms = utc(2026, 11, 1, 5, 30)  # midnight to one comes twice
    assert standing(some, at_ms).day == day_at("America/Havana", at_ms)
    assert standing(some, at_ms)[:2] == (utc(2026, 11, 1, 4), utc(2026, 11, 2, 5))
    assert pools_entered(some, Facts(), at_ms) is some.pools


def test_a_plan_is_judged_once_within_a_standing(plan, monkeypatch):
    monkeypatch.setattr(rules, "_last", {})
    judged = []
    monkeypatch.setattr(
        rules, "_standing", lambda plan, at_ms, of=rules._standing: judged.append(at_ms) or of(plan, at_ms)
    )
    rain = plan(every("rain", entry=RAIN))
    eight = utc(2027, 3, 1, 12)
    for at_ms in (eight, eight + 1, eight + 5 * MINUTE - 1):
        assert ids(rain, at_ms) == ["rain"]
        assert standing(rain, at_ms).from_ms == eight
    assert judged == [eight]
    assert ids(rain, eight - 1) == []
    assert judged == [eight, eight - 1]


def test_plans_of_one_version_are_told_apart(plan):
    rain, sun = plan(every("rain", entry=RAIN)), plan(every("sun", entry={"roles": ["worker"]}))
    sun = replace(sun, version=rain.version)
    eight = utc(2027, 3, 1, 12)
    for _ in range(2):
        assert ids(rain, eight, role="worker") == ["rain"]
        assert ids(sun, eight, role="worker") == ["sun"]


def test_not_every_plan_is_remembered_for_ever(plan, monkeypatch):
    monkeypatch.setattr(rules, "_last", {})
    rain = plan(every("rain", entry=RAIN))
    for number in range(3000):
        standing(replace(rain, version=str(number)), 0)
        assert len(rules._last) <= 1024
