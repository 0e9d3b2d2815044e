"""Lays a lot's labels out on A4 sheets, as SVG or PNG; a sheet is returned as bytes.

Both forms share one geometry, in dots of 1/300 inch. A module of a QR code is a whole number of dots, so no
edge of it is ever blurred. The libraries that draw are imported on first use: only who prints pays for them.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

Form = Literal["svg", "png"]
ErrorLevel = Literal["L", "M", "Q", "H"]

COLUMNS, ROWS = 4, 6
PER_SHEET = COLUMNS * ROWS

DPI = 300
WIDTH, HEIGHT = 2480, 3508  # 210 mm × 297 mm, rounded
QUIET_MODULES = 4

_CELL_WIDTH, _CELL_HEIGHT = 560, 545
_LEFT = (WIDTH - COLUMNS * _CELL_WIDTH) // 2
_TOP = (HEIGHT - ROWS * _CELL_HEIGHT) // 2
_HEADING_BASELINE = _TOP - 24
# In a cell, from its top: the square for the QR code and its quiet zone, then the lines of text.
_QR_TOP, _QR_SIDE = 14, 440
_CODE_BASELINE, _PIN_BASELINE = 488, 528
# A line of text is no wider than its length asks for, at this much a character, whatever the font.
_PITCH = 18
_TEXT_SIZE = 30
# 0.34 mm: a finer module is lost to a cheap camera or an office printer.
_MODULE_DOTS_MIN = 4
_CUT_DOTS = 2
_CUT_GREY = 0xC0
_FONTS = "'DejaVu Sans Mono', Menlo, Consolas, monospace"
_GROUP_CHARS = 4


class Label(NamedTuple):
    """What one label shows: the QR code's content, the code for people, and a PIN if the lot has them."""

    content: str
    code: str
    pin: str | None


class _Placed(NamedTuple):
    """A label on its sheet: the dark and light modules, where the first one stands, how many dots it has."""

    modules: Sequence[bytearray]
    left: int
    top: int
    dots: int
    lines: tuple[tuple[int, int, str], ...]  # middle, baseline, text


def draw(labels: Sequence[Label], heading: str, *, form: Form, error: ErrorLevel) -> bytes:
    """One sheet of at most PER_SHEET labels, row by row. `error` is the least error correction.

    `heading` stands in the margin, in ASCII. ValueError for a content that `check_fits` refuses.
    """
    if len(labels) > PER_SHEET:
        raise ValueError(f"a sheet has room for {PER_SHEET} labels, not {len(labels)}")
    placed = [_place(label, at, error) for at, label in enumerate(labels)]
    return _svg(placed, heading) if form == "svg" else _png(placed, heading)


def check_fits(content: str, error: ErrorLevel) -> None:
    """ValueError if the modules of the content's QR code would be too fine to scan from a label."""
    _qr(content, error)


def grouped(code: str) -> str:
    """A code in groups of 4, as people read it out; scanning and typing take the hyphens."""
    return "-".join(code[start : start + _GROUP_CHARS] for start in range(0, len(code), _GROUP_CHARS))


def _qr(content: str, error: ErrorLevel) -> tuple[Sequence[bytearray], int]:
    """The modules of a QR code without its quiet zone, and how many dots a module has."""
    import segno

    try:
        # Where the size allows more error correction for nothing, segno gives it.
        modules = segno.make_qr(content, error=error).matrix
    except segno.DataOverflowError:
        modules = ()
    dots = _QR_SIDE // (len(modules) + 2 * QUIET_MODULES) if modules else 0
    if dots < _MODULE_DOTS_MIN:
        raise ValueError(
            f"{len(content)} characters at error correction {error} are too fine for a label: "
            "shorten the prefix or lower the level"
        )
    return modules, dots


def _place(label: Label, at: int, error: ErrorLevel) -> _Placed:
    modules, dots = _qr(label.content, error)
    row, column = divmod(at, COLUMNS)
    cell_top = _TOP + row * _CELL_HEIGHT
    middle = _LEFT + column * _CELL_WIDTH + _CELL_WIDTH // 2
    side = len(modules) * dots
    lines = [(middle, cell_top + _CODE_BASELINE, grouped(label.code))]
    if label.pin is not None:
        lines.append((middle, cell_top + _PIN_BASELINE, f"PIN {label.pin}"))
    top = cell_top + _QR_TOP + (_QR_SIDE - side) // 2
    return _Placed(modules, middle - side // 2, top, dots, tuple(lines))


def _cuts() -> Iterator[tuple[int, int, int, int]]:
    """The lines to cut along: left, top, width, height."""
    for column in range(COLUMNS + 1):
        yield _LEFT + column * _CELL_WIDTH, _TOP, _CUT_DOTS, ROWS * _CELL_HEIGHT + _CUT_DOTS
    for row in range(ROWS + 1):
        yield _LEFT, _TOP + row * _CELL_HEIGHT, COLUMNS * _CELL_WIDTH + _CUT_DOTS, _CUT_DOTS


def _svg(placed: Sequence[_Placed], heading: str) -> bytes:
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<svg xmlns="http://www.w3.org/2000/svg" width="210mm" height="297mm" '
        f'viewBox="0 0 {210 / 25.4 * DPI:.2f} {297 / 25.4 * DPI:.2f}" '
        f'font-family="{_FONTS}" font-size="{_TEXT_SIZE}">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="{_HEADING_BASELINE}">{heading}</text>',
        f'<g fill="#{bytes([_CUT_GREY] * 3).hex()}">',
        *(f'<rect x="{x}" y="{y}" width="{width}" height="{height}"/>' for x, y, width, height in _cuts()),
        "</g>",
    ]
    for qr in placed:
        parts.append(
            f'<path transform="translate({qr.left} {qr.top}) scale({qr.dots})" shape-rendering="crispEdges" '
            f'd="{_outline(qr.modules)}"/>'
        )
        parts += (
            f'<text x="{middle}" y="{baseline}" text-anchor="middle" textLength="{len(text) * _PITCH}" '
            f'lengthAdjust="spacingAndGlyphs">{text}</text>'
            for middle, baseline, text in qr.lines
        )
    return "\n".join([*parts, "</svg>", ""]).encode("ascii")


def _outline(modules: Sequence[bytearray]) -> str:
    """An SVG path around each run of dark modules in a row, one unit a module."""
    steps = []
    for y, row in enumerate(modules):
        x = 0
        for dark, run in groupby(row):
            length = len(list(run))
            if dark:
                steps.append(f"M{x} {y}h{length}v1h-{length}z")
            x += length
    return "".join(steps)


def _png(placed: Sequence[_Placed], heading: str) -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("L", (WIDTH, HEIGHT), 0xFF)
    pen = ImageDraw.Draw(page)
    # Pillow's own font, so that a sheet looks alike wherever it is drawn.
    full = ImageFont.load_default(_TEXT_SIZE)
    pen.text((_LEFT, _HEADING_BASELINE), heading, fill=0, font=full, anchor="ls")
    for x, y, width, height in _cuts():
        pen.rectangle((x, y, x + width - 1, y + height - 1), fill=_CUT_GREY)
    for qr in placed:
        side = len(qr.modules)
        greys = bytes(0 if dark else 0xFF for row in qr.modules for dark in row)
        symbol = Image.frombytes("L", (side, side), greys)
        large = symbol.resize((side * qr.dots, side * qr.dots), Image.Resampling.NEAREST)
        page.paste(large, (qr.left, qr.top))
        for middle, baseline, text in qr.lines:
            # Unlike digits, letters differ in width: a code with many a W needs a smaller size.
            excess = full.getlength(text) / (len(text) * _PITCH)
            font = full if excess <= 1 else ImageFont.load_default(int(_TEXT_SIZE / excess))
            pen.text((middle, baseline), text, fill=0, font=font, anchor="ms")
    into = io.BytesIO()
    page.save(into, "PNG", dpi=(DPI, DPI))
    return into.getvalue()
