"""Money: written as decimals in quotes, kept as whole minor units.

A TOML float is binary, and `0.29` read through one can come out a fen short; so it is refused, not rounded.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, ValidationInfo

from scanner.campaigns.expected import expected, reading

AMOUNT_MAX: Final = 10**15
"""Largest amount, in minor units or in units: exact in a double, and so in JSON, JavaScript and Lua."""

# ISO 4217, list one: the currencies by their digits behind the point, where those are not two.
_CODES_BY_EXPONENT: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,8}))?", re.ASCII)


def exponent(currency: str) -> int:
    """Digits behind the point of an ISO 4217 code; 2 unless the standard says otherwise."""
    return next((digits for digits, codes in _CODES_BY_EXPONENT.items() if currency in codes.split()), 2)


def money_text(minor: int, digits: int) -> str:
    """Minor units as a decimal with exactly `digits` digits behind the point: (88, 2) → "0.88"."""
    whole, rest = divmod(minor, 10**digits)
    return f"{whole}.{rest:0{digits}}" if digits else str(whole)


def _read(value: Any, info: ValidationInfo) -> int:
    match = _DECIMAL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise expected('an amount of money in quotes, such as "0.88"')
    whole, rest = match[1], match[2] or ""
    digits = reading(info).exponent
    if len(rest) > digits:
        raise expected(f"at most {digits} decimals for {reading(info).currency or 'any currency'}")
    minor = int(whole + rest.ljust(digits, "0"))
    if not 0 < minor <= AMOUNT_MAX:
        raise expected(f"more than 0 and at most {money_text(AMOUNT_MAX, digits)}")
    return minor


def _write(minor: int, info: SerializationInfo) -> str:
    if not isinstance(info.context, int):
        raise TypeError("a campaign file is written by scanner.campaigns.canonical")
    return money_text(minor, info.context)


Money = Annotated[int, BeforeValidator(_read), PlainSerializer(_write)]
"""Minor units, 1 to AMOUNT_MAX. To be written it needs the currency's digits as serialization context."""
