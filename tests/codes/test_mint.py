import csv
import io
import json
from types import GeneratorType

import pytest

from scanner.codes import CodeId, Keyring, check, read
from scanner.codes.carriers import Carrier
from scanner.codes.format import SERIAL_MAX
from scanner.codes.mint import lines

GTIN = "06901234567892"
LOT, SIZE = 7, 10


@pytest.fixture(scope="module")
def ring():
    return Keyring.new().rotate().rotate().revoke(1)


@pytest.fixture(scope="module")
def table(ring):
    return ring.table()


def minted(table, form, *, size=SIZE, chunk=4, pin=False, url=None, kid=3):
    return list(lines(table, kid, LOT, size, form=form, product=GTIN, pin=pin, url=url, chunk=chunk))


def whole(chunks):
    return b"".join(data for _, data in chunks).decode()


def records(form, text):
    if form == "csv":
        return list(csv.DictReader(io.StringIO(text)))
    return [json.loads(line) for line in text.splitlines()]


def test_text_is_one_code_a_line(table):
    chunks = minted(table, "text")
    assert [done for done, _ in chunks] == [4, 8, 10]
    codes = whole(chunks).splitlines()
    assert [check(table, read(code)) for code in codes] == [CodeId(3, LOT, n).pack() for n in range(SIZE)]


def test_text_with_a_url_is_one_carrier_a_line(table):
    urls = whole(minted(table, "text", url="https://x.cn/c")).splitlines()
    assert urls == [f"https://x.cn/c/{code}" for code in whole(minted(table, "text")).splitlines()]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("pin", [False, True])
@pytest.mark.parametrize("url", [None, "https://x.cn/s?a=1,2&c="])
def test_records_carry_the_code_in_every_form(table, form, pin, url):
    rows = records(form, whole(minted(table, form, pin=pin, url=url)))
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
    once = whole(minted(ring.table(), form, url="https://x.cn"))
    assert whole(minted(ring.table(), form, url="https://x.cn", chunk=1)) == once
    assert whole(minted(ring.table(), form, url="https://x.cn", chunk=SIZE)) == once
    assert once.endswith("\n")


def test_it_is_a_stream(table):
    stream = lines(table, 3, LOT, SERIAL_MAX + 1, form="text", product=GTIN, pin=False, url=None)
    assert isinstance(stream, GeneratorType)
    done, data = next(stream)
    assert (done, len(data)) == (65_536, 65_536 * 25)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "size must be 1 to 67108864, not 0"),
        ({"size": SERIAL_MAX + 2}, "size must be 1 to 67108864, not 67108865"),
        ({"chunk": 0}, "chunk must be 1 to 1048576, not 0"),
        ({"form": "xml"}, "form must be text, csv or jsonl, not 'xml'"),
        ({"pin": True}, "no room for a PIN"),
        ({"product": "06901234567893"}, "GTIN of 14 digits"),
        ({"url": "x.cn"}, "prefix must be an http or https URL"),
        ({"kid": 1}, "kid 1 is revoked"),
        ({"kid": 9}, "kid 9 is unknown"),
        ({"lot": 1 << 24}, "lot must be 0 to 16777215"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_chunk(table, wrong, message):
    arguments = {
        "kid": 3,
        "lot": LOT,
        "size": SIZE,
        "form": "text",
        "product": GTIN,
        "pin": False,
        "url": None,
    }
    with pytest.raises(ValueError, match=message):
        lines(table, **arguments | wrong)
