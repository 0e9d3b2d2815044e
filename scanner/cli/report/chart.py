"""The pictures of a report, as shapes for its template: what is given by day, and what is left in each pool.

Shapes are paths in pixels; colours stand beside them, so that a picture needs no style sheet. Colours of
prizes have a contrast of at least 3 to 1 with white, and neighbours differ in lightness, for print without
colour.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from scanner.cli.report.figures import Account, Pool

_WIDTH = 960
_TOP, _BOTTOM, _RIGHT = 44, 62, 42  # legend; dates and their title; half a date
_PLOT = 220
_LETTER = 7.2  # a digit of the axes' 12 px, rather too wide
_DAY_MAX = 48.0  # width of a day's bar
_BAR_LEAST = 200.0  # length of a pool's
_DATES_MAX = 9
_STEPS_MAX = 5

COLOURS = {
    "cash": "#08519c",
    "points": "#d95f02",
    "coupon": "#4a1486",
    "physical": "#1b8a5a",
    "chance": "#3f3f46",
}
_STATES = {"given": "#08519c", "locked": "#d95f02", "left": "#e5e7eb"}


class Mark(NamedTuple):
    """Text at a place: a value of an axis, or an entry of the legend."""

    at: float
    text: str


class Shape(NamedTuple):
    """All rectangles of one meaning. `at` is where its entry in the legend begins."""

    name: str
    colour: str
    path: str
    at: float


class DayChart(NamedTuple):
    """Bars by day. The plot is the rectangle between the four edges."""

    title: str
    described: str
    unit: str
    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    scale: list[Mark]
    dates: list[Mark]
    shapes: list[Shape]
    gap: float  # of white between what is stacked


class PoolRow(NamedTuple):
    """A pool's bar, and what it says in words."""

    pool: str
    y: float
    said: str
    bound: bool  # there are prizes that can run out


class PoolChart(NamedTuple):
    """Bars by pool, each of the length `bar`."""

    title: str
    described: str
    width: float
    height: int
    left: float
    bar: float
    rows: list[PoolRow]
    shapes: list[Shape]


def day_chart(
    title: str,
    unit: str,
    series: Mapping[str, str],
    days: Mapping[str, Mapping[str, int]],
    written: Callable[[int], str],
) -> DayChart | None:
    """Stacked bars: `days` has values by ISO date and series, `series` their names in the order they stack.

    None where there is nothing to show. `written` writes a value.
    """
    totals = {day: sum(values.get(one, 0) for one in series) for day, values in days.items()}
    shown = sorted(day for day, total in totals.items() if total > 0)
    if not shown:
        return None
    first = date.fromisoformat(shown[0])
    count = (date.fromisoformat(shown[-1]) - first).days + 1
    step = _step(max(totals.values()))
    values = range(0, -(-max(totals.values()) // step) * step + 1, step)
    left = 30 + _LETTER * max(len(written(value)) for value in values)
    slot, bottom = (_WIDTH - _RIGHT - left) / count, float(_TOP + _PLOT)
    scale = _PLOT / values[-1]
    shapes, at, below = [], left, dict.fromkeys(shown, 0)
    for one, name in series.items():
        path = []
        for day in shown:
            if (value := days[day].get(one, 0)) > 0:
                place = left + slot * ((date.fromisoformat(day) - first).days + 0.5)
                path.append(_bar(place, _width(slot), bottom - below[day] * scale, value * scale))
                below[day] += value
        if path:
            shapes.append(Shape(name, COLOURS[one], "".join(path), at))
            at += 34 + _LETTER * len(name)
    return DayChart(
        title,
        _described(shown, totals, shapes, written),
        unit,
        _WIDTH,
        _TOP + _PLOT + _BOTTOM,
        round(left, 1),
        _WIDTH - _RIGHT,
        _TOP,
        bottom,
        [Mark(round(bottom - value * scale, 1), written(value)) for value in values],
        [Mark(round(left + slot * (n + 0.5), 1), str(first + timedelta(n))) for n in _dates(first, count)],
        shapes,
        0.6 if slot >= 3 else 0,
    )


def _width(slot: float) -> float:
    """Of a bar: with air between wide ones; thin ones touch, and are never too thin to see."""
    return min(slot * 0.8, _DAY_MAX) if slot >= 3 else max(slot, 1.0)


def _bar(middle: float, width: float, bottom: float, height: float) -> str:
    return f"M{middle - width / 2:.2f} {bottom:.2f}h{width:.2f}v{-height:.2f}h{-width:.2f}z"


def _described(
    shown: Sequence[str],
    totals: Mapping[str, int],
    shapes: Sequence[Shape],
    written: Callable[[int], str],
) -> str:
    best = max(shown, key=lambda day: totals[day])
    total = written(sum(totals[day] for day in shown))
    when = f"on {shown[0]}" if len(shown) == 1 else f"on {len(shown):,} days from {shown[0]} to {shown[-1]}"
    stacked = f", of {', '.join(shape.name for shape in shapes)}" if len(shapes) > 1 else ""
    return (
        f"{total} {when}{stacked}; most, {written(totals[best])}, on {best}. The table below has the figures."
    )


def _step(most: int) -> int:
    """A whole step, 1, 2 or 5 times a power of ten, of which few reach up to the most."""
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step * _STEPS_MAX >= most:
                return step
        power *= 10


def _dates(first: date, count: int) -> list[int]:
    """The days, counted from the first one, that are named below the axis: regular, and not too many."""
    for step in (1, 2, 7, 14):
        if count <= step * _DATES_MAX:
            return list(range(0, count, step))
    for months in (1, 2, 3, 6, 12, 24, 60, 120, 600, 1200):
        named = list(_months(first, count, months))
        if len(named) <= _DATES_MAX:
            break
    return named


def _months(first: date, count: int, step: int) -> Iterator[int]:
    """The first days of every so many months."""
    month = -(-(first.year * 12 + first.month - (first.day == 1)) // step) * step
    while month < 12 * 9999 and (n := (date(month // 12, month % 12 + 1, 1) - first).days) < count:
        yield n
        month += step


def pool_chart(title: str, pools: Sequence[Pool]) -> PoolChart:
    """A bar for each pool: of the pieces that can run out, how many are given, locked and left."""
    accounts = [_bound(pool) for pool in pools]
    said = [_said(*pair) for pair in zip(pools, accounts, strict=True)]
    left = 24 + _LETTER * max((len(pool.pool) for pool in pools), default=0)
    beside = 16 + _LETTER * max(map(len, said), default=0)
    bar = max(_WIDTH - left - beside, _BAR_LEAST)
    paths: dict[str, list[str]] = {"given": [], "locked": [], "left": []}
    rows = []
    for no, (pool, account) in enumerate(zip(pools, accounts, strict=True)):
        x, y = left, _TOP + 4 + 26 * no
        for name, share in _shares(account or Account()).items():
            if share > 0:
                paths[name].append(f"M{x:.2f} {y}h{bar * share:.2f}v16h{-bar * share:.2f}z")
                x += bar * share
        rows.append(PoolRow(pool.pool, y, said[no], account is not None))
    shapes, at = [], left
    for name, path in paths.items():
        if path:
            shapes.append(Shape(name, _STATES[name], "".join(path), at))
            at += 34 + _LETTER * len(name)
    described = "; ".join(f"{row.pool}: {row.said}" for row in rows)
    height = _TOP + 8 + 26 * len(pools)
    return PoolChart(title, described, round(left + bar + beside, 1), height, left, bar, rows, shapes)


def _bound(pool: Pool) -> Account | None:
    """The account of the prizes that can run out; None where there are none."""
    accounts = [prize.pieces for prize in pool.prizes if prize.pieces.put_in is not None]
    return sum(accounts, Account()) if accounts else None


def _shares(account: Account) -> dict[str, float]:
    parts = {"given": account.given, "locked": account.locked, "left": max(account.left or 0, 0)}
    return {name: part / (sum(parts.values()) or 1) for name, part in parts.items()}


def _said(pool: Pool, account: Account | None) -> str:
    """What a bar says in words, and what is given of prizes without a limit."""
    if account is None:
        return f"{pool.pieces.given:,} given, no limit"
    said = f"{account.given:,} of {account.put_in or 0:,} given"
    if account.locked:
        said += f", {account.locked:,} locked"
    endless = pool.pieces.given - account.given
    return f"{said}; no limit: {endless:,}" if endless else said
