"""Time zones by looking at their clocks, minute after minute: slow, and plain to see. For comparing."""

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = 60_000
HOUR = 60 * MINUTE
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ZONES = [
    "UTC",
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # until 2019 at midnight
    "Asia/Beirut",
    "Africa/Cairo",
    "America/Havana",  # back from one to midnight
    "America/St_Johns",  # until 2011 at a minute past midnight: the date before comes up once more
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Antarctica/Casey",  # three, now and then
    "America/Scoresbysund",  # since 2024 an hour before midnight
    "Pacific/Apia",  # without 2011-12-30
    "Pacific/Kiritimati",  # furthest ahead
    "America/Adak",
    "Africa/Casablanca",  # four times a year
]


def shown(zone: str, at_ms: int) -> datetime:
    """What the clocks show at a moment."""
    return (EPOCH + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def utc(*parts: int) -> int:
    return ms(datetime(*parts, tzinfo=UTC))


@lru_cache
def changes(zone: str) -> list[int]:
    """The moments, ms, from 2001 to 2039 at which clocks are put forward or back."""
    info, found = ZoneInfo(zone), []
    moment, step = datetime(2001, 1, 1, tzinfo=UTC), timedelta(hours=12)
    offset = moment.astimezone(info).utcoffset()
    while moment.year < 2040:
        after = (moment + step).astimezone(info).utcoffset()
        if after != offset:
            minutes = (moment + timedelta(minutes=n) for n in range(721))
            found.append(ms(next(at for at in minutes if at.astimezone(info).utcoffset() != offset)))
        moment, offset = moment + step, after
    return found


@lru_cache(maxsize=64)
def _walk(zone: str, hour: int) -> list[tuple[int, datetime]]:
    """Minute after minute, from 28 hours before an hour since 1970 until 28 hours after it: the moment, and
    the latest that the clocks have shown so far."""
    info, walk = ZoneInfo(zone), []
    moment = EPOCH + timedelta(hours=hour - 32)
    latest = moment.astimezone(info).replace(tzinfo=None)
    for _ in range(60 * 60):
        latest = max(latest, moment.astimezone(info).replace(tzinfo=None))
        walk.append((ms(moment), latest))
        moment += timedelta(minutes=1)
    return walk[4 * 60 :]  # no clock is put back by more than four hours, so all before is forgotten


def walked_day(zone: str, at_ms: int) -> tuple[int, int, int]:
    """The day: the latest date shown so far, and from when until when it is the latest."""
    walk = _walk(zone, at_ms // HOUR)
    today = max(latest for at, latest in walk if at <= at_ms).date()
    of_it = [at for at, latest in walk if latest.date() == today]
    return int(f"{today:%Y%m%d}"), of_it[0], of_it[-1] + MINUTE


def walked_starts(zone: str, clock: time, near_ms: int) -> list[int]:
    """The whole minutes around a moment at which the clocks come to show a time of day, or jump over it."""
    walk = _walk(zone, near_ms // HOUR)
    starts = []
    for day in sorted({latest.date() for _, latest in walk}):
        local = datetime.combine(day, clock)
        reached = [at for at, latest in walk if latest >= local]
        if reached and reached[0] > walk[0][0]:
            starts.append(reached[0])
    return starts


def moments(zone: str) -> st.SearchStrategy[int]:
    """Moments, mostly near those at which the clocks are put forward or back."""
    anywhere = st.integers(utc(2001, 2, 1), utc(2039, 1, 1))
    if not changes(zone):
        return anywhere
    near = st.sampled_from([0, 1, -1, HOUR, -HOUR, HOUR - 1, -HOUR - 1]) | st.integers(-36 * HOUR, 36 * HOUR)
    near |= st.integers(-36 * 60, 36 * 60).map(lambda minutes: minutes * MINUTE)
    at_a_change = st.builds(int.__add__, st.sampled_from(changes(zone)), near)
    return at_a_change | at_a_change | at_a_change | anywhere


zones_and_moments = st.sampled_from(ZONES).flatmap(lambda zone: st.tuples(st.just(zone), moments(zone)))
