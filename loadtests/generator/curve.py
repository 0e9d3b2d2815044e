"""Arrival curves: how many requests came in each second of an evening, recorded and played again.

The file is CSV with the header ``second,requests``: whole numbers, seconds from 0, ascending; a second that
is missing had none. Within a second, arrivals are spread evenly.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import orjson

from loadtests.errors import LoadTestError

HEADER = "second,requests"
SECONDS_MAX = 7 * 86_400
REQUESTS_MAX = 100_000_000


def parse_curve(text: str) -> list[int]:
    """Requests by second.

    Raises:
        LoadTestError: it has another form; the message names the line.
    """
    first, *lines = text.lstrip("\ufeff").splitlines() or [""]
    if first.replace(" ", "") != HEADER:
        raise LoadTestError(f"line 1: expected the header {HEADER!r}, got {first[:60]!r}")
    counts: list[int] = []
    for no, line in enumerate(lines, 2):
        if not line.strip():
            continue
        second, requests = _numbers(no, line)
        if second < len(counts):
            raise LoadTestError(f"line {no}: second {second} comes after second {len(counts) - 1}")
        if second >= SECONDS_MAX:
            raise LoadTestError(f"line {no}: a curve has at most {SECONDS_MAX} seconds")
        counts += [0] * (second - len(counts))
        counts.append(requests)
    _require_some(sum(counts))
    return counts


def _numbers(no: int, line: str) -> tuple[int, int]:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 2 or not all(part.isascii() and part.isdecimal() and len(part) < 12 for part in parts):
        raise LoadTestError(f"line {no}: expected two whole numbers, such as 17,250; got {line[:60]!r}")
    return int(parts[0]), int(parts[1])


def _require_some(requests: int) -> None:
    if not 0 < requests <= REQUESTS_MAX:
        raise LoadTestError(f"a curve has 1 to {REQUESTS_MAX:,} requests; this one has {requests:,}")


def curve_text(counts: Sequence[int]) -> str:
    """The file of a curve; seconds without requests are left out."""
    rows = [f"{second},{requests}" for second, requests in enumerate(counts) if requests]
    return "\n".join([HEADER, *rows, ""])


def scaled(counts: Sequence[int], scale: float) -> list[int]:
    """The curve with ``scale`` times as many requests; what rounding takes from a second the next one gets.

    Raises:
        LoadTestError: nothing is left of it, or too much comes of it.
    """
    done, total, made = 0.0, 0, []
    for count in counts:
        done += count * scale
        made.append(round(done) - total)
        total = round(done)
    _require_some(total)
    return made


def due_times(counts: Sequence[int]) -> Iterator[float]:
    """When each request is due, in seconds from the start."""
    for second, count in enumerate(counts):
        for n in range(count):
            yield second + n / count


def curve_of_stream(lines: Iterable[str]) -> list[int]:
    """The curve of what ``scanner stream tail`` printed: its accepted scans, by the second of their ``at``.

    Raises:
        LoadTestError: a line is no entry, or no scan was accepted.
    """
    seconds: Counter[int] = Counter()
    for no, line in enumerate(lines, 1):
        try:
            entry = orjson.loads(line)
            if entry["type"] == "scan.accepted":
                seconds[entry["at"] // 1000] += 1
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise LoadTestError(
                f"line {no}: expected an entry as `scanner stream tail` prints it; got {line[:60]!r}"
            ) from None
    if not seconds:
        raise LoadTestError("no accepted scan is in it")
    first, last = min(seconds), max(seconds)
    if last - first >= SECONDS_MAX:
        raise LoadTestError("it spans more than a week: take the evening out of it with --from and head")
    return [seconds[second] for second in range(first, last + 1)]
