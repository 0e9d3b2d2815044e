"""The small types that a campaign file's lines are made of, each with its bounds and its words."""

import re
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, ValidationInfo

from scanner.campaigns.expected import Expected, expected
from scanner.campaigns.money import AMOUNT_MAX

ODDS_STEPS: Final = 2**48
"""A draw is a number below this, so these are the smallest odds that can be won at all: 1 in 2^48."""

STOCK_MAX: Final = 10**12
"""Pieces of one prize; 200 prizes of it add up to less than 2^53, exact in Lua."""

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9-]{1,32}$"),
    Expected("1 to 32 of a-z, 0-9 and hyphen, in quotes"),
]
"""Ids, games and channels."""

CurrencyCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{3}$"),
    Expected('an ISO 4217 code of three letters, such as "CNY"'),
]

Units = Annotated[
    int, Field(ge=1, le=AMOUNT_MAX), Expected(f"a whole number of units, 1 to {AMOUNT_MAX}, without quotes")
]
Stock = Annotated[int, Field(ge=1, le=STOCK_MAX), Expected(f"a whole number of pieces, 1 to {STOCK_MAX}")]
Scans = Annotated[int, Field(ge=1, le=10**9), Expected("a whole number of scans, 1 to 1000000000")]
Turns = Annotated[int, Field(ge=1, le=1000), Expected("a whole number of draws, 1 to 1000")]
Slots = Annotated[int, Field(ge=1, le=100), Expected("a whole number of slots, 1 to 100")]

# No control characters, and something to read. Claim rules may be set in lines and paragraphs.
_LINE = r"^\P{Cc}*[^\p{Cc}\s]\P{Cc}*$"
_TEXT = r"^[\P{Cc}\r\n\t]*[^\p{Cc}\s][\P{Cc}\r\n\t]*$"

Label = Annotated[
    str, StringConstraints(max_length=32, pattern=_LINE), Expected("1 to 32 characters of text in quotes")
]
"""A role or a tier, as the brand's backend writes it into member tokens."""

Title = Annotated[
    str,
    StringConstraints(max_length=200, pattern=_LINE),
    Expected("1 to 200 characters on one line, in quotes"),
]
ClaimRules = Annotated[
    str, StringConstraints(max_length=4000, pattern=_TEXT), Expected("1 to 4000 characters of text in quotes")
]
CouponCode = Annotated[
    str,
    StringConstraints(pattern=r"^[^\p{Cc}\s]{1,64}$"),
    Expected("a coupon code of 1 to 64 characters without spaces, in quotes"),
]


def _read_time(value: Any, info: ValidationInfo) -> datetime:
    # The canonical form is JSON, which has no times of its own.
    if info.mode == "json" and isinstance(value, str):
        value = datetime.fromisoformat(value)
    example = "such as 2027-03-01T00:00:00+08:00"
    if not isinstance(value, datetime):
        raise expected(f"a date and time with an offset, {example}, without quotes")
    if value.tzinfo is None:
        raise expected(f"a time with its offset from UTC, {example}, because a local time says no moment")
    if not 2000 <= value.year < 3000:
        raise expected("a year from 2000 to 2999")
    if value.microsecond % 1000:
        raise expected("a time in whole milliseconds")
    return value


Moment = Annotated[datetime, BeforeValidator(_read_time), PlainSerializer(datetime.isoformat)]
"""A moment with the offset it was written with; moments compare by what they are, not how written."""


_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
_DURATION_MAX_MS: Final = 366 * 86_400_000


def _read_duration(value: Any) -> int:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise expected('a duration in quotes, such as "5m", "24h" or "7d"')
    duration_ms = int(match[1]) * _UNITS_MS[match[2]]
    if duration_ms > _DURATION_MAX_MS:
        raise expected('at most "366d"')
    return duration_ms


def duration_text(duration_ms: int) -> str:
    """A duration in its largest whole unit: 86,400,000 → "1d". Whole seconds only."""
    unit = next(unit for unit, ms in _UNITS_MS.items() if duration_ms % ms == 0)
    return f"{duration_ms // _UNITS_MS[unit]}{unit}"


Duration = Annotated[int, BeforeValidator(_read_duration), PlainSerializer(duration_text)]
"""Milliseconds, whole seconds, at most 366 days."""

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)


def _read_clock(value: Any) -> time:
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise expected('a time of day in quotes, such as "20:00"')
    return time(int(match[1]), int(match[2]), int(match[3] or 0))


Clock = Annotated[time, BeforeValidator(_read_clock), PlainSerializer(time.isoformat)]
"""A time of day, in the campaign's time zone."""

Url = Annotated[
    str,
    StringConstraints(pattern=r"^https://[!-~]{1,500}$"),
    Expected("an https URL of at most 508 characters, in quotes"),
]


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC, exact (a float's timestamp() need not be)."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _read_zone(value: Any) -> str:
    phrase = 'a time zone of the IANA database, such as "Asia/Shanghai"'
    if not isinstance(value, str) or not value:
        raise expected(phrase)
    try:
        # The standard library looks the name up in the zone database: the one thing in this room that
        # reads a file, and only when a campaign file is checked. A folder's name ("Asia") is an OSError.
        ZoneInfo(value)
    except (ValueError, LookupError, OSError):
        raise expected(phrase) from None
    return value


Zone = Annotated[str, BeforeValidator(_read_zone)]

_ODDS = re.compile(r"[01](?:\.[0-9]{1,18})?", re.ASCII)


def _read_odds(value: Any) -> Decimal:
    if not isinstance(value, str) or not _ODDS.fullmatch(value):
        raise expected('odds in quotes, such as "0.05", above 0, at most 1 and with at most 18 decimals')
    odds = Decimal(value)
    if odds > 1:
        raise expected("odds of at most 1")
    if odds * ODDS_STEPS < 1:
        raise expected("odds of at least 1 in 2^48, the finest step of a draw")
    return odds


def _write_odds(odds: Decimal) -> str:
    text = f"{odds:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


Odds = Annotated[Decimal, BeforeValidator(_read_odds), PlainSerializer(_write_odds)]
"""An exact decimal, 2^-48 to 1."""


def _read_gtin(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{14}", value, re.ASCII):
        raise expected('a GTIN of 14 digits in quotes, such as "06901234567892"')
    # GS1 General Specifications, 7.9: weights 3 and 1 in turn; the sum with the check digit ends in 0.
    if sum(int(digit) * (3, 1)[at % 2] for at, digit in enumerate(value)) % 10:
        raise expected("a GTIN whose last digit is the check digit of the others")
    return value


Gtin = Annotated[str, BeforeValidator(_read_gtin)]
