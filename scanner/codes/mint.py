"""Mints a lot's codes as a stream of bytes, a chunk at a time; nothing else is held in memory.

The same key, lot and size give the same bytes, so a lot can be minted again, and no list need be kept.
"""

import csv
import io
from collections.abc import Iterator
from typing import Literal

import orjson

from scanner.codes.carriers import url_for, valid_gtin14
from scanner.codes.engine import KeyTable
from scanner.codes.format import BATCH_MAX, SERIAL_MAX, to_gs1, to_pin

Form = Literal["text", "csv", "jsonl"]
Record = dict[str, str | int]


def lines(
    table: KeyTable,
    kid: int,
    lot: int,
    size: int,
    *,
    form: Form,
    product: str,
    pin: bool,
    url: str | None,
    chunk: int = 65_536,
) -> Iterator[tuple[int, bytes]]:
    """Yields (codes so far, bytes of whole lines), `chunk` codes at a time, for serials 0 to size - 1.

    - text: the code, or with `url` the URL that carries it (see `url_for`), one a line.
    - csv: a header, then code, url (if asked for), gs1, lot, serial, pin (if asked for).
    - jsonl: an object a line with the same members; lot and serial are numbers, the rest strings.

    `gs1` is the value of AI (21), of 20 characters; `pin` has 6 digits. `product` is the lot's GTIN-14: it is
    not written, but a wrong one must not get as far as the printer.

    ValueError, before the first chunk, for a size of 0 or more than 2^26, a pin in text, a prefix that a
    code cannot be read back from, a GTIN that does not check, a kid that is unknown or revoked.
    """
    if not 1 <= size <= SERIAL_MAX + 1:
        raise ValueError(f"size must be 1 to {SERIAL_MAX + 1}, not {size}")
    if not 1 <= chunk <= BATCH_MAX:
        raise ValueError(f"chunk must be 1 to {BATCH_MAX}, not {chunk}")
    if form not in ("text", "csv", "jsonl"):
        raise ValueError(f"form must be text, csv or jsonl, not {form!r}")
    if form == "text" and pin:
        raise ValueError("text has one carrier a line and no room for a PIN: use csv or jsonl")
    if not valid_gtin14(product):
        raise ValueError(f"product must be a GTIN of 14 digits with its check digit, not {product!r}")
    # Minting one first is what finds an unknown or revoked key.
    first = table.mint(kid, lot, 0, 1).decode("ascii").rstrip()
    head = None if url is None else url_for(url, first).removesuffix(first)
    return _chunks(_Writer(table, kid, lot, form, pin, head), size, chunk)


def _chunks(writer: "_Writer", size: int, chunk: int) -> Iterator[tuple[int, bytes]]:
    for start in range(0, size, chunk):
        done = min(start + chunk, size)
        yield done, writer.write(start, done)


class _Writer:
    """Writes serials start to end - 1 in one of the forms; `head` is what comes before a code in a URL."""

    def __init__(self, table: KeyTable, kid: int, lot: int, form: Form, pin: bool, head: str | None) -> None:
        self._table, self._kid, self._lot = table, kid, lot
        self._pin, self._head = pin, head
        self.write = {"text": self._text, "csv": self._csv, "jsonl": self._jsonl}[form]

    def _text(self, start: int, end: int) -> bytes:
        codes = self._table.mint(self._kid, self._lot, start, end - start)
        if self._head is None:
            return codes
        head = self._head.encode("ascii")
        return b"".join(head + code for code in codes.splitlines(keepends=True))

    def _csv(self, start: int, end: int) -> bytes:
        into = io.StringIO()
        writer = csv.writer(into, lineterminator="\n")
        if start == 0:
            writer.writerow(next(self._records(0, 1)).keys())
        writer.writerows(record.values() for record in self._records(start, end))
        return into.getvalue().encode("ascii")

    def _jsonl(self, start: int, end: int) -> bytes:
        line = orjson.OPT_APPEND_NEWLINE
        return b"".join(orjson.dumps(record, option=line) for record in self._records(start, end))

    def _records(self, start: int, end: int) -> Iterator[Record]:
        table, kid, lot = self._table, self._kid, self._lot
        texts = table.mint(kid, lot, start, end - start).decode("ascii").split()
        for serial, text in enumerate(texts, start):
            record: Record = {"code": text}
            if self._head is not None:
                record["url"] = self._head + text
            record["gs1"] = to_gs1(table.seal(kid, lot, serial))
            record["lot"] = lot
            record["serial"] = serial
            if self._pin:
                record["pin"] = to_pin(table.pin(kid, lot, serial))
            yield record
