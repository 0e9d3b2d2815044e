"""Asks the key table whether what was carried is genuine. No I/O, nothing looked up."""

from hmac import compare_digest

from scanner.codes.carriers import Carrier
from scanner.codes.engine import KeyTable
from scanner.codes.format import CodeId, to_pin


def check(table: KeyTable, carrier: Carrier) -> int:
    """The packed number of a genuine code (see CodeId.unpack), else FORGED or MALFORMED.

    A genuine code still counts only if its lot is known and its serial below the lot's size; and the GTIN
    of a Digital Link must be the lot's.
    """
    return table.verify_gs1(carrier.code) if carrier.gs1 else table.verify(carrier.code)


def pin_matches(table: KeyTable, code: CodeId, pin: str) -> bool:
    """Whether this is the code's PIN, 6 digits; takes the same time whichever digit is wrong."""
    return pin.isascii() and compare_digest(to_pin(table.pin(*code)), pin)
