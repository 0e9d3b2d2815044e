"""The calendar of a time zone, in ms since 1970, exact where clocks are put forward and back.

A moment is *reached* by the clocks of a zone when they show it or a later one for the first time: where they
jump over it, at the jump; where they show it twice, the first time. Days begin so, and so do daily windows.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from scanner.campaigns.fields import to_ms

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZONES_MAX: Final = 64
_ONE_DAY: Final = timedelta(days=1)


class Day(NamedTuple):
    """A calendar day: `number` is its local date as yyyymmdd, and it lasts [from_ms, until_ms)."""

    number: int
    from_ms: int
    until_ms: int


_last: dict[str, Day] = {}  # by zone: nearly every scan asks for the day of the scan before


def day_at(timezone: str, at_ms: int) -> Day:
    """The calendar day of an IANA zone that a moment, ms since 1970, belongs to.

    A day begins at the first moment whose local date is that date. Where clocks are put back over midnight,
    the date before comes up once more; what it shows then belongs to the day that has begun.
    """
    day = _last.get(timezone)
    if day is None or not day.from_ms <= at_ms < day.until_ms:
        if len(_last) >= _ZONES_MAX:
            _last.clear()
        day = _last[timezone] = _day_at(ZoneInfo(timezone), at_ms)
    return day


@lru_cache(maxsize=256)
def day_before(timezone: str, day: Day) -> Day:
    """The day that ends where this one begins. A date that the zone skips is no day."""
    return _day_at(ZoneInfo(timezone), day.from_ms - 1)


def _day_at(zone: ZoneInfo, at_ms: int) -> Day:
    shown = _local(zone, at_ms).date()
    begins, ends = _midnight(zone, shown), _midnight(zone, shown + _ONE_DAY)
    while ends <= at_ms:
        shown += _ONE_DAY
        begins, ends = ends, _midnight(zone, shown + _ONE_DAY)
    return Day(shown.year * 10_000 + shown.month * 100 + shown.day, begins, ends)


@lru_cache(maxsize=1024)
def daily_window(timezone: str, day: int, second: int, lasts_ms: int) -> tuple[int, int]:
    """The window, [from, until) in ms, that begins when the clocks reach that second of the day.

    `day` is a local date that the zone has, as yyyymmdd; `second` is 0 to 86399 by what the clocks show.
    """
    midnight = datetime.combine(date(day // 10_000, day // 100 % 100, day % 100), time())
    begins = _reached(ZoneInfo(timezone), midnight + timedelta(seconds=second))
    return begins, begins + lasts_ms


def _midnight(zone: ZoneInfo, day: date) -> int:
    return _reached(zone, datetime.combine(day, time()))


def _local(zone: ZoneInfo, at_ms: int) -> datetime:
    """What the clocks show, as a datetime without a zone."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).replace(tzinfo=None)


def _reached(zone: ZoneInfo, local: datetime) -> int:
    # PEP 495: of a time shown twice, fold 0 is the first. Of one jumped over, fold 0 reckons with the offset
    # before the jump and so gives a moment after it; fold 1 gives one before it.
    first, second = (to_ms(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first <= second:
        return first
    before, after = second, first
    while after - before > 1:
        middle = (before + after) // 2
        if _local(zone, middle) < local:
            before = middle
        else:
            after = middle
    return after
