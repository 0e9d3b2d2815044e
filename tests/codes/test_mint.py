import csv
import io
import json

import pytest

from scanner.codes import CodeId, Keyring, check, read, to_gs1, to_pin, to_text
from scanner.codes.carriers import Carrier
from scanner.codes.format import SERIAL_MAX
from scanner.codes.mint import CodeList

GTIN = "06901234567892"
LOT, SIZE = 7, 10
FORMS = [("text", False), ("csv", False), ("csv", True), ("jsonl", False), ("jsonl", True)]
URLS = [None, "https://x.cn/s?a=1,2&c=", "https://x.cn/c"]


@pytest.fixture(scope="module")
def ring():
    return Keyring.new().rotate().rotate().revoke(1)


@pytest.fixture(scope="module")
def table(ring):
    return ring.table()


def listed(table, form, *, size=SIZE, pin=False, url=None, kid=3, lot=LOT):
    return CodeList(table, kid, lot, size, form=form, product=GTIN, pin=pin, url=url)


def whole(codes, chunk=4):
    starts = range(0, codes.size, chunk)
    return b"".join(codes.stretch(start, min(start + chunk, codes.size)) for start in starts).decode()


def plain(table, form, serials, *, pin, url):
    """The same file, a record at a time."""
    into = io.StringIO()
    for serial in serials:
        raw = table.seal(3, LOT, serial)
        record = {"code": to_text(raw)}
        if url:
            record["url"] = url + ("" if url.endswith("=") else "/") + to_text(raw)
        record |= {"gs1": to_gs1(raw), "lot": LOT, "serial": serial}
        if pin:
            record["pin"] = to_pin(table.pin(3, LOT, serial))
        match form:
            case "text":
                into.write(record.get("url", record["code"]) + "\n")
            case "csv":
                if serial == 0:
                    csv.writer(into, lineterminator="\n").writerow(record.keys())
                csv.writer(into, lineterminator="\n").writerow(record.values())
            case "jsonl":
                into.write(json.dumps(record, separators=(",", ":")) + "\n")
    return into.getvalue()


def records(form, text):
    if form == "csv":
        return list(csv.DictReader(io.StringIO(text)))
    return [json.loads(line) for line in text.splitlines()]


def test_text_is_one_code_a_line(table):
    codes = whole(listed(table, "text")).splitlines()
    assert [check(table, read(code)) for code in codes] == [CodeId(3, LOT, n).pack() for n in range(SIZE)]


def test_text_with_a_url_is_one_carrier_a_line(table):
    urls = whole(listed(table, "text", url="https://x.cn/c")).splitlines()
    assert urls == [f"https://x.cn/c/{code}" for code in whole(listed(table, "text")).splitlines()]


@pytest.mark.parametrize(("form", "pin"), FORMS)
@pytest.mark.parametrize("url", URLS)
def test_every_byte_is_what_a_plain_writer_would_write(table, form, pin, url):
    codes = listed(table, form, size=1_001, pin=pin, url=url)
    assert whole(codes, chunk=77) == plain(table, form, range(1_001), pin=pin, url=url)


@pytest.mark.parametrize(("form", "pin"), FORMS)
def test_a_stretch_stands_where_its_offset_says(table, form, pin):
    codes = listed(table, form, size=1_001, pin=pin, url=URLS[1])
    text = whole(codes).encode()
    for start, end in [(0, 1), (0, 9), (9, 11), (10, 10), (99, 1_000), (1_000, 1_001)]:
        assert codes.stretch(start, end) == text[codes.offset(start) : codes.offset(end)]
    assert codes.offset(1_001) == len(text)


@pytest.mark.parametrize("serial", [9_999_999, 10_000_000, SERIAL_MAX])
def test_the_largest_lots_end_as_they_begin(table, serial):
    codes = listed(table, "csv", size=SERIAL_MAX + 1, pin=True)
    line = codes.stretch(serial, serial + 1)
    assert line.decode() == plain(table, "csv", [serial], pin=True, url=None)
    assert codes.offset(serial + 1) - codes.offset(serial) == len(line)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("pin", [False, True])
@pytest.mark.parametrize("url", [None, "https://x.cn/s?a=1,2&c="])
def test_records_carry_the_code_in_every_form(table, form, pin, url):
    rows = records(form, whole(listed(table, form, pin=pin, url=url)))
    names = ["code", *(["url"] if url else []), "gs1", "lot", "serial", *(["pin"] if pin else [])]
    for serial, row in enumerate(rows):
        code = CodeId(3, LOT, serial)
        assert list(row) == names
        assert (int(row["lot"]), int(row["serial"])) == (LOT, serial)
        assert check(table, read(row["code"])) == code.pack()
        assert check(table, Carrier(row["gs1"].encode(), True, None)) == code.pack()
        assert row.get("url") == (url + row["code"] if url else None)
        assert row.get("pin") == (f"{table.pin(*code):06}" if pin else None)
    assert len(rows) == SIZE


@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_minting_again_gives_the_same_bytes_whatever_the_chunk(ring, form):
    once = whole(listed(ring.table(), form, url="https://x.cn"))
    assert whole(listed(ring.table(), form, url="https://x.cn"), chunk=1) == once
    assert whole(listed(ring.table(), form, url="https://x.cn"), chunk=SIZE) == once
    assert once.endswith("\n")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "size must be 1 to 67108864, not 0"),
        ({"size": SERIAL_MAX + 2}, "size must be 1 to 67108864, not 67108865"),
        ({"form": "xml"}, "form must be text, csv or jsonl, not 'xml'"),
        ({"pin": True}, "no room for a PIN"),
        ({"url": "x.cn"}, "prefix must be an http or https URL"),
        ({"kid": 1}, "kid 1 is revoked"),
        ({"kid": 9}, "kid 9 is unknown"),
        ({"lot": 1 << 24}, "lot must be 0 to 16777215"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_code(table, wrong, message):
    with pytest.raises(ValueError, match=message):
        listed(table, **{"form": "text"} | wrong)


def test_a_wrong_product_does_not_get_as_far_as_the_printer(table):
    with pytest.raises(ValueError, match="GTIN of 14 digits"):
        CodeList(table, 3, LOT, SIZE, form="text", product="06901234567893", pin=False, url=None)
