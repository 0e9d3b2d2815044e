"""How a disclosure says things in a language: its words, numbers, odds, money and times.

The words are in `<language>.toml`. Nothing is rounded in silence: where a decimal does not end,
or is too long to read, the exact fraction stands beside it and the decimal says "about".
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from scanner.campaigns.fields import duration_text
from scanner.campaigns.money import exponent, money_text

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

_PLACES_MAX: Final = 6
"""More decimals than this are no help to a reader who has the fraction."""
_UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


@cache
def words_of(language: Language) -> dict[str, Any]:
    """The words of a language: `table.key` → a sentence, or its singular and its plural."""
    text = files(__package__).joinpath(f"{language}.toml").read_text("utf-8")
    words: dict[str, Any] = {}
    for key, value in tomllib.loads(text).items():
        if isinstance(value, dict):
            words |= {f"{key}.{name}": word for name, word in value.items()}
        else:
            words[key] = value
    return words


@dataclass(frozen=True, slots=True)
class Wording:
    """A language, for a campaign with this currency and time zone."""

    language: Language
    currency: str
    timezone: str

    def __call__(self, key: str, **values: object) -> str:
        word: str = words_of(self.language)[key]
        return word.format(**values) if values else word

    def count(self, key: str, n: int, **values: object) -> str:
        """A number of things: "1 day", "2 days"."""
        one, more = words_of(self.language)[key]
        form: str = one if n == 1 else more
        return form.format(n=self.number(n), **values)

    def game(self, name: str) -> str:
        """A game of the trade by its name here, a brand's own as it is."""
        return str(words_of(self.language).get(f"game.{name}", name))

    def listed(self, parts: Iterable[str]) -> str:
        return self("list").join(parts)

    def sentences(self, parts: Iterable[str]) -> str:
        return self("sentences").join(parts)

    def number(self, n: int) -> str:
        return f"{n:,}"

    def money(self, minor: int) -> str:
        """7,999.00 with its currency: ¥ in Chinese, the code of ISO 4217 in English."""
        whole, point, rest = money_text(minor, exponent(self.currency)).partition(".")
        amount = f"{int(whole):,}{point}{rest}"
        if self.language == "zh" and self.currency == "CNY":
            return self("number.yuan", amount=amount)
        return self("number.money", currency=self.currency, amount=amount)

    def moment(self, moment: datetime) -> str:
        """A moment in the campaign's time zone, with its offset."""
        local = moment.astimezone(ZoneInfo(self.timezone))
        return self(
            "number.moment",
            year=local.year,
            month=self("number.months").split()[local.month - 1],
            day=local.day,
            clock=self.clock(local.time()),
            offset=local.isoformat()[-6:],
        )

    def clock(self, clock: time) -> str:
        return clock.isoformat("milliseconds" if clock.microsecond else "seconds")

    def duration(self, duration_ms: int) -> str:
        text = duration_text(duration_ms)
        return self.count(f"number.{_UNITS[text[-1]]}", int(text[:-1]))

    def decimal_odds(self, odds: Fraction) -> str:
        """Odds that the file gives as a decimal: "0.05 (5%)"."""
        exact, percent = _decimal(odds), _decimal(odds * 100)
        assert exact, "the file's odds are decimals"
        assert percent
        return self("number.exactly", exact=exact, percent=percent)

    def pieces_odds(self, pieces: int, total: int) -> str:
        """Odds of a piece among others: "3/100,000 (0.003%)"."""
        exact = f"{self.number(pieces)}/{self.number(total)}"
        percent = Fraction(100 * pieces, total)
        if (short := _decimal(percent, _PLACES_MAX)) is not None:
            return self("number.exactly", exact=exact, percent=short)
        return self("number.about", exact=exact, percent=_about(percent, ROUND_DOWN))

    def one_in(self, odds: Fraction) -> str:
        """How many draws there are to one win; where it has no end, rounded so that it promises no more."""
        n = 1 / odds
        if (short := _decimal(n, 2)) is not None:
            return self("number.one_in", n=f"{Decimal(short):,f}")
        return self("number.about_one_in", n=_about(n, ROUND_UP))


def _decimal(value: Fraction, places_max: int | None = None) -> str | None:
    """A fraction as an exact decimal; None where it has no end, or more places than these."""
    places, scaled = 0, value
    while scaled.denominator % 2 == 0 or scaled.denominator % 5 == 0:
        places, scaled = places + 1, scaled * 10
    if scaled.denominator != 1 or (places_max is not None and places > places_max):
        return None
    return money_text(scaled.numerator, places)


def _about(value: Fraction, rounding: str) -> str:
    """Two decimals, or four digits of what is below 1."""
    digits = max(len(str(int(value))) + 2, 4) if value >= 1 else 4
    number = Context(prec=digits, rounding=rounding).divide(value.numerator, value.denominator)
    return f"{number:,f}"
