"""Sheets of labels, read back by a decoder that knows nothing of how they were drawn."""

import csv
import errno
import io
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from urllib.parse import quote

import pytest
import resvg_py
import zxingcpp
from PIL import Image, ImageChops, ImageDraw, ImageFont

from scanner.codes import CodeId, Keyring, check, read
from scanner.codes.sheets import Label, draw
from scanner.settings import read_key_file
from tests.brand import PRODUCT

FULL = 24
FORMATS = ["svg", "png"]
CARRIERS = {
    "text": (),
    "url": ("--url", "https://s.example/c"),
    "mini-program": ("--url", "https://s.example/mp?c="),
    "gs1": ("--carrier", "gs1", "--url", "https://id.example"),
}


def image_of(path):
    """A sheet as a printer sees it: in grey, at 300 dots an inch."""
    data = path.read_bytes()
    if path.suffix == ".svg":
        data = resvg_py.svg_to_bytes(svg_string=data.decode(), dpi=300, skip_system_fonts=True)
    return Image.open(io.BytesIO(data)).convert("L")


def corners(barcode):
    """Left, top, right and bottom of a QR code without its quiet zone."""
    place = barcode.position
    points = place.top_left, place.top_right, place.bottom_left, place.bottom_right
    xs, ys = [point.x for point in points], [point.y for point in points]
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def scanned(path):
    """The QR codes of a sheet, row by row."""
    # Not `QRCode`, which has Micro QR in it: one in 2,000 labels happens to hold a tiny one.
    found = zxingcpp.read_barcodes(image_of(path), zxingcpp.BarcodeFormat.QRCodeModel2)
    return sorted(found, key=lambda barcode: (round(corners(barcode)[1] / 100), corners(barcode)[0]))


@pytest.fixture
def ids(data_dir):
    """What a carrier says, which must be genuine."""
    table = Keyring.parse(read_key_file(data_dir / "keys.json")).table()
    return lambda text: CodeId.unpack(check(table, read(text)))


@pytest.fixture
def out(tmp_path):
    directory = tmp_path / "sheets"
    directory.mkdir()
    return directory


@pytest.fixture
def printed(scanner, out):
    """Prints sheets and returns their files, by the first serial on them."""

    def run(no, *options):
        before = set(out.iterdir())
        done = scanner("lot", "print", no, "--out", out, *options)
        assert (done.code, done.err) == (0, ""), done
        return sorted(set(out.iterdir()) - before, key=lambda path: int(path.name.split("-")[2]))

    return run


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_label_of_a_full_sheet_is_read_back(scanner, mint, printed, ids, form, carrier):
    no, _ = mint(count=FULL)
    [sheet] = printed(no, "--format", form, *CARRIERS[carrier])
    texts = [barcode.text for barcode in scanned(sheet)]
    kid = scanner("lot", "show", no, "--json").json["kid"]
    assert [ids(text) for text in texts] == [(kid, no, serial) for serial in range(FULL)]
    prefix = (*CARRIERS[carrier], "")[-2] if CARRIERS[carrier] else ""
    assert all(text.startswith(prefix) for text in texts)
    assert {(read(text).gs1, read(text).gtin) for text in texts} == {
        (True, PRODUCT) if carrier == "gs1" else (False, None)
    }


def test_the_forms_of_the_carriers(mint, printed):
    no, file = mint("--format", "csv", count=1)
    [row] = csv.DictReader(file.read_text().splitlines())
    expected = {
        "text": row["code"],
        "url": f"https://s.example/c/{row['code']}",
        "mini-program": f"https://s.example/mp?c={row['code']}",
        "gs1": f"https://id.example/01/{PRODUCT}/21/{row['gs1']}",
    }
    for carrier, options in CARRIERS.items():
        [sheet] = printed(no, "--format", "png", *options)
        assert [barcode.text for barcode in scanned(sheet)] == [expected[carrier]]
        sheet.unlink()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda url: quote(url, safe=""),
        lambda url: f"https://wx.example/open?scene=1011&q={quote(url, safe='')}",
    ],
    ids=["encoded", "in q"],
)
def test_a_scanned_url_is_read_as_a_mini_program_gets_it(mint, printed, ids, form, wrapped):
    no, _ = mint(count=3)
    [sheet] = printed(no, "--format", form, *CARRIERS["mini-program"])
    texts = [wrapped(barcode.text) for barcode in scanned(sheet)]
    assert "%3Fc%3D" in texts[0]
    assert [ids(text)[1:] for text in texts] == [(no, 0), (no, 1), (no, 2)]


def test_sheets_are_named_after_their_serials(scanner, mint, out, ids):
    no, _ = mint(count=60)
    done = scanner("lot", "print", no, "--first", 2, "--count", 50, "--format", "png", "--out", out)
    names = [f"lot-{no}-2-25.png", f"lot-{no}-26-49.png", f"lot-{no}-50-51.png"]
    assert done.out == f"lot {no}: 50 codes on 3 sheets ({names[0]} to {names[2]}) in {out}\n"
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    serials = [[ids(barcode.text).serial for barcode in scanned(out / name)] for name in names]
    assert serials == [[*range(2, 26)], [*range(26, 50)], [50, 51]]
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}


def test_one_sheet_is_printed_unless_a_count_is_given(scanner, mint, out, printed):
    no, _ = mint(count=30)
    assert [path.name for path in printed(no)] == [f"lot-{no}-0-23.svg"]
    assert [path.name for path in printed(no, "--first", 24)] == [f"lot-{no}-24-29.svg"]
    done = scanner("lot", "print", no, "--first", 29, "--count", 1, "--out", out)
    assert done.out == f"lot {no}: 1 code on lot-{no}-29-29.svg in {out}\n"


def test_printing_changes_nothing_in_the_store(scanner, mint, printed):
    no, _ = mint()
    before = scanner("stream", "tail").out
    printed(no)
    assert scanner("stream", "tail").out == before


@pytest.mark.parametrize("pin", [(), ("--pin",)], ids=["no pin", "pin"])
def test_below_each_code_stands_what_people_type(mint, printed, pin):
    no, file = mint("--format", "csv", *pin, count=FULL)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    [sheet] = printed(no)
    heading, *texts = [
        part.text for part in ElementTree.parse(sheet).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert heading == f"lot {no}, serials 0 to 23"
    per_label = [[texts.pop(0) for _ in range(1 + len(pin))] for _ in rows]
    assert not texts
    for row, (code, *lines) in zip(rows, per_label, strict=True):
        assert [len(group) for group in code.split("-")] == [4] * 6
        assert code.replace("-", "") == row["code"]
        assert lines == [f"PIN {row['pin']}" for _ in pin]


def ink(image):
    """The part of an image that is not white."""
    return image.crop(ImageChops.invert(image).getbbox())


def written(text):
    """A line of text as Pillow draws it, in the sizes a label may have."""
    for size in range(30, 15, -1):
        page = Image.new("L", (800, 80), 255)
        ImageDraw.Draw(page).text((400, 50), text, fill=0, font=ImageFont.load_default(size), anchor="ms")
        yield ink(page).tobytes()


@pytest.mark.parametrize("pin", [(), ("--pin",)], ids=["no pin", "pin"])
def test_a_png_label_shows_the_code_that_its_qr_code_carries(mint, printed, pin):
    no, file = mint("--format", "csv", *pin, count=6)
    rows = {row["code"]: row for row in csv.DictReader(file.read_text().splitlines())}
    [sheet] = printed(no, "--format", "png")
    image = image_of(sheet)
    for barcode in scanned(sheet):
        left, _, right, bottom = corners(barcode)
        code_line = image.crop((left - 110, bottom + 55, right + 110, bottom + 99))
        pin_line = image.crop((left - 110, bottom + 99, right + 110, bottom + 145))
        row = rows.pop(barcode.text)
        code = "-".join(row["code"][start : start + 4] for start in range(0, 24, 4))
        assert ink(code_line).tobytes() in written(code)
        if pin:
            assert ink(pin_line).tobytes() in written(f"PIN {row['pin']}")
        else:
            assert pin_line.getextrema() == (255, 255)
    assert not rows


def test_the_widest_code_stays_on_its_label():
    sheet = draw([Label("1", "W" * 24, None)], "wide", form="png", error="M")
    image = Image.open(io.BytesIO(sheet))
    line = image.crop((130, 574, 670, 618))  # the first label, 10 dots inside the lines to cut along
    left, _, right, _ = ImageChops.invert(line).getbbox()
    assert 0 < left < right < line.width
    assert abs(left - (line.width - right)) <= 2


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("carrier", ["text", "gs1"])
def test_four_modules_around_each_qr_code_are_white(mint, printed, form, carrier):
    no, _ = mint("--format", "csv", "--pin", count=FULL)
    [sheet] = printed(no, "--format", form, *CARRIERS[carrier])
    image = image_of(sheet)
    for barcode in scanned(sheet):
        left, top, right, bottom = corners(barcode)
        # A version-v code has 17 + 4v modules a side.
        quiet = 4 * (right - left) // (17 + 4 * int(barcode.extra["Version"]))
        slack = 3  # dots by which a decoder's corners may be off
        around = image.crop(
            (left - quiet + slack, top - quiet + slack, right + quiet - slack, bottom + quiet)
        )
        symbol = (quiet - 2 * slack, quiet - 2 * slack, quiet + right - left, quiet + bottom - top)
        around.paste(255, symbol)
        assert around.getextrema() == (255, 255)


def test_a_sheet_is_a4_and_keeps_off_its_edges(mint, printed):
    no, _ = mint(count=FULL)
    [svg], [png] = printed(no), printed(no, "--format", "png")
    root = ElementTree.parse(svg).getroot()
    assert (root.get("width"), root.get("height")) == ("210mm", "297mm")
    with Image.open(png) as image:
        dots = image.info["dpi"]
        millimetres = [25.4 * side / dpi for side, dpi in zip(image.size, dots, strict=True)]
    assert millimetres == pytest.approx([210, 297], abs=0.1)
    for sheet in svg, png:
        image = image_of(sheet)
        left, top, right, bottom = ImageChops.invert(image).getbbox()
        assert min(left, top, image.width - right, image.height - bottom) > 5 / 25.4 * 300


@pytest.mark.parametrize("level", "LMQH")
def test_the_error_correction_is_at_least_what_was_asked_for(mint, printed, level):
    no, _ = mint(count=2)
    # URLs of 50 characters: at no level is there room for the next better one in the same size.
    [sheet] = printed(no, "--format", "png", "--error", level, "--url", "https://s.example/aaaaaaa")
    assert [barcode.ec_level for barcode in scanned(sheet)] == [level] * 2


def test_m_is_the_error_correction_unless_told(mint, printed):
    no, _ = mint(count=1)
    [sheet] = printed(no, "--format", "png", "--url", "https://s.example/aaaaaaa")
    assert [barcode.ec_level for barcode in scanned(sheet)] == ["M"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_prefix_is_as_long_as_its_modules_can_still_be_scanned(scanner, mint, printed, out, ids, form):
    no, _ = mint(count=FULL)
    long = ("--format", form, "--url", f"https://s.example/{'a' * 440}")
    [sheet] = printed(no, "--error", "L", *long)
    assert [ids(barcode.text).serial for barcode in scanned(sheet)] == [*range(FULL)]
    sheet.unlink()
    done = scanner("lot", "print", no, "--error", "H", "--out", out, *long)
    assert done.misused("too fine for a label: shorten the prefix or lower the level")
    assert not any(out.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--first", -1), "--first"),
        (("--first", "one"), "--first"),
        (("--count", 0), "--count"),
        (("--count", 10_001), "--count"),
        (("--format", "pdf"), "--format"),
        (("--carrier", "qr"), "--carrier"),
        (("--error", "X"), "--error"),
        (("--carrier", "url"), "--carrier url needs --url"),
        (("--carrier", "gs1"), "--carrier gs1 needs --url"),
        (("--carrier", "text", "--url", "https://s.example"), "--url needs --carrier url or gs1"),
        (("--url", ""), "--url: a prefix must be"),
        (("--url", "ftp://s.example/"), "--url: a prefix must be"),
        (("--url", "https://s.example/#"), "--url: a prefix must be"),
        (("--url", "https://s.example/?d="), "choose another prefix"),
        (("--url", f"https://s.example/{'a' * 480}"), "choose another prefix"),
        (("--carrier", "gs1", "--url", "s.example"), "--url: a prefix must be"),
        (("--carrier", "gs1", "--url", "https://s.example/?c="), "choose another prefix"),
    ],
    ids=str,
)
def test_wrong_usage_writes_nothing(scanner, mint, out, options, words):
    no, _ = mint()
    assert scanner("lot", "print", no, "--out", out, *options).misused(words)
    assert not any(out.iterdir())


@pytest.mark.parametrize(
    "arguments", [(1,), (0, "--out", "."), ("one", "--out", "."), ("--out", ".")], ids=str
)
def test_a_lot_and_a_directory_are_needed(scanner, arguments):
    assert scanner("lot", "print", *arguments).misused()


def test_more_than_ten_thousand_codes_take_several_calls(scanner, mint, out):
    no, _ = mint(count=20)
    # The bound itself is no wrong usage: it is this lot that is smaller.
    assert scanner("lot", "print", no, "--count", 10_000, "--out", out).refused("serials 0 to 19")


@pytest.mark.parametrize("range_", [(20, None), (30, None), (20, 1), (0, 21), (19, 2)], ids=str)
def test_only_serials_of_the_lot_are_printed(scanner, mint, out, range_):
    no, _ = mint(count=20)
    first, count = range_
    options = ("--first", first, *(() if count is None else ("--count", count)))
    done = scanner("lot", "print", no, "--out", out, *options)
    assert done.refused(f"lot {no} has serials 0 to 19: choose --first and --count in them")
    assert not any(out.iterdir())


def test_an_unknown_lot_is_refused(scanner, out):
    assert scanner("lot", "print", 9999, "--out", out).refused("there is no lot 9999")
    assert not any(out.iterdir())


@pytest.mark.parametrize("where", ["nowhere", "file", "file/below"])
def test_the_directory_must_be_there(scanner, mint, tmp_path, where):
    no, _ = mint()
    (tmp_path / "file").write_text("mine")
    before = set(tmp_path.iterdir())
    assert scanner("lot", "print", no, "--out", tmp_path / where).refused("is not a directory")
    assert set(tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_overwritten(scanner, mint, out, form):
    no, _ = mint(count=60)
    mine = out / f"lot-{no}-24-47.{form}"
    mine.write_text("mine")
    done = scanner("lot", "print", no, "--count", 60, "--format", form, "--out", out)
    assert done.refused(f"{mine} exists already")
    assert [path.name for path in out.iterdir()] == [mine.name]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [(OSError(errno.ENOSPC, "No space left on device"), 1, "No space left"), (KeyboardInterrupt(), 130, "")],
    ids=["full", "interrupted"],
)
def test_after_a_failure_nothing_is_left(scanner, mint, out, monkeypatch, failure, code, words):
    no, _ = mint(count=60)
    (out / "mine").write_text("mine")
    seen = []

    def fail_at_the_second(_):
        seen.append(sorted(path.name for path in out.iterdir()))
        if len(seen) == 2:
            raise failure

    with monkeypatch.context() as patch:
        patch.setattr("scanner.cli.sheets.os.fsync", fail_at_the_second)
        done = scanner("lot", "print", no, "--count", 60, "--out", out)
    assert seen == [
        [f".lot-{no}-0-23.svg.part", "mine"],
        [f".lot-{no}-24-47.svg.part", f"lot-{no}-0-23.svg", "mine"],
    ]
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert done.err.count("\n") == (1 if words else 0)
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_what_a_killed_run_left_half_done_is_no_hindrance(mint, printed, out):
    no, _ = mint(count=2)
    part = out / f".lot-{no}-0-1.svg.part"
    part.write_text("half")
    part.chmod(0o644)
    [sheet] = printed(no)
    assert sheet.read_text().endswith("</svg>\n")
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    assert [path.name for path in out.iterdir()] == [sheet.name]


def test_codes_of_a_revoked_key_are_not_printed(scanner, mint, out, printed):
    no, _ = mint()
    leaked = scanner("lot", "show", no, "--json").json["kid"]
    scanner("keys", "rotate")
    [sheet] = printed(no)  # an older key still prints
    sheet.unlink()
    assert scanner("keys", "revoke", leaked).code == 0
    assert scanner("lot", "print", no, "--out", out).refused(f"lot {no} cannot be printed: kid {leaked} is")
    assert not any(out.iterdir())


def test_codes_whose_key_is_missing_are_not_printed(scanner, mint, out, tmp_path, monkeypatch):
    scanner("keys", "rotate")  # so that the lot's key is not the first one, which any fresh file has
    no, _ = mint()
    kid = scanner("lot", "show", no, "--json").json["kid"]
    other = tmp_path / "other.json"
    other.write_bytes(Keyring.new().dump())
    other.chmod(0o600)
    monkeypatch.setenv("SCANNER_KEYS_FILE", str(other))
    done = scanner("lot", "print", no, "--out", out)
    assert done.refused(f"kid {kid} is not in the key file", f"lot {no} was minted with")
    assert not any(out.iterdir())


def test_only_who_prints_loads_what_draws():
    program = (
        "import sys, scanner.cli; sys.exit(str([name for name in ('PIL', 'segno') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"
