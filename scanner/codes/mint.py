"""A lot's codes as they stand in a file: any stretch of it, and how many bytes come before a serial.

The same key, lot and size give the same bytes, so a lot can be minted again, and no list need be kept.
"""

import csv
import io
from collections.abc import Iterable
from typing import Literal

import orjson

from scanner.codes.carriers import url_for, valid_gtin14
from scanner.codes.engine import KeyTable
from scanner.codes.format import CODE_FIELD, GS1_FIELD, PIN_FIELD, SERIAL_FIELD, SERIAL_MAX

_POWERS = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)  # from each on, a serial has a digit more

Form = Literal["text", "csv", "jsonl"]


class CodeList:
    """The file of a lot's codes, serials 0 to size - 1, a line each. It holds none of them.

    - text: the code, or with `url` the URL that carries it (see `url_for`), one a line.
    - csv: a header, then code, url (if asked for), gs1, lot, serial, pin (if asked for).
    - jsonl: an object a line with the same members; lot and serial are numbers, the rest strings.

    `gs1` is the value of AI (21), of 20 characters; `pin` has 6 digits. `product` is the lot's GTIN-14: it is
    not written, but a wrong one must not get as far as the printer. May be used from several threads at once.
    """

    def __init__(
        self,
        table: KeyTable,
        kid: int,
        lot: int,
        size: int,
        *,
        form: Form,
        product: str,
        pin: bool,
        url: str | None,
    ) -> None:
        """ValueError for a size of 0 or more than 2^26, a pin in text, a prefix that a code cannot be read
        back from, a GTIN that does not check, a kid that is unknown or revoked."""
        if not 1 <= size <= SERIAL_MAX + 1:
            raise ValueError(f"size must be 1 to {SERIAL_MAX + 1}, not {size}")
        if form not in ("text", "csv", "jsonl"):
            raise ValueError(f"form must be text, csv or jsonl, not {form!r}")
        if form == "text" and pin:
            raise ValueError("text has one carrier a line and no room for a PIN: use csv or jsonl")
        if not valid_gtin14(product):
            raise ValueError(f"product must be a GTIN of 14 digits with its check digit, not {product!r}")
        self.size = size
        self._table, self._kid, self._lot = table, kid, lot
        # Minting one first is what finds an unknown or revoked key.
        first = table.mint(kid, lot, 0, 1, CODE_FIELD).decode("ascii")
        head = None if url is None else url_for(url, first).removesuffix(first)
        self._header, self._line = _pattern(form, lot, head, pin)

    def stretch(self, start: int, end: int) -> bytes:
        """The lines of serials start to end - 1, with the header before serial 0; at most 2^20 of them."""
        lines = self._table.mint(self._kid, self._lot, start, end - start, self._line)
        return lines if start else self._header + lines

    def offset(self, serial: int) -> int:
        """How many bytes stand before the line of a serial; before that of `size`, which is none, all."""
        if serial == 0:
            return 0
        ones = self._table.mint(self._kid, self._lot, 0, 1, self._line)
        more_digits = sum(max(0, serial - power) for power in _POWERS)
        return len(self._header) + serial * len(ones) + self._line.count(SERIAL_FIELD) * more_digits


def _pattern(form: Form, lot: int, head: str | None, pin: bool) -> tuple[bytes, bytes]:
    """The header, and the pattern of a line, as `KeyTable.mint` takes it; `head` is a URL before its code."""
    code, gs1, serial, digits = (
        field.decode("ascii") for field in (CODE_FIELD, GS1_FIELD, SERIAL_FIELD, PIN_FIELD)
    )
    if form == "text":
        return b"", f"{head or ''}{code}\n".encode("ascii")
    record: dict[str, str | int] = {"code": code}
    if head is not None:
        record["url"] = head + code
    record |= {"gs1": gs1, "lot": lot, "serial": serial}
    if pin:
        record["pin"] = digits
    if form == "csv":
        return _row(record.keys()), _row(record.values())
    line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    # A prefix has no backslash in it, so an escape can only be a field's; the serial is a number.
    line = line.replace(rb'"\u0003"', SERIAL_FIELD)
    return b"", line.replace(rb"\u0001", CODE_FIELD).replace(rb"\u0002", GS1_FIELD).replace(
        rb"\u0004", PIN_FIELD
    )


def _row(values: Iterable[str | int]) -> bytes:
    into = io.StringIO()
    csv.writer(into, lineterminator="\n").writerow(values)
    return into.getvalue().encode("ascii")
