"""scanner lot print: sheets of QR labels."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from scanner.cli.console import keyring_of, progress_bar, settings_of, with_store
from scanner.cli.lot import LotArgument, app, known_lot
from scanner.codes import Keyring, KeyTable, digital_link, to_pin, to_text, url_for
from scanner.codes.sheets import PER_SHEET, ErrorLevel, Form, Label, check_fits, draw
from scanner.errors import ScannerError
from scanner.ledger.lots import Lot

CarrierKind = Literal["text", "url", "gs1"]

COUNT_MAX = 10_000

# As long as any code, and with letters of both cases as most serials of AI (21) have them: what fits with
# this one fits with all.
_SAMPLE = b"\x69\xb7\x1d" * 5


def content_of(kind: CarrierKind, prefix: str | None, product: str, raw: bytes) -> str:
    """What the QR code of a label carries. ValueError for a prefix that it could not be read back from."""
    if prefix is None:
        return to_text(raw)
    return url_for(prefix, to_text(raw)) if kind == "url" else digital_link(prefix, product, raw)


def carrier_kind(kind: CarrierKind | None, prefix: str | None, error: ErrorLevel) -> CarrierKind:
    """What to print, where a prefix alone means a URL. Wrong usage for what could not be scanned again."""
    kind = kind or ("text" if prefix is None else "url")
    if prefix is None and kind != "text":
        raise typer.BadParameter(f"--carrier {kind} needs --url PREFIX")
    if prefix is not None and kind == "text":
        raise typer.BadParameter("--url needs --carrier url or gs1: a bare code has no prefix")
    try:
        check_fits(content_of(kind, prefix, "0" * 14, _SAMPLE), error)
    except ValueError as reason:
        raise typer.BadParameter(f"--url: {reason}") from None
    return kind


def labels_of(table: KeyTable, lot: Lot, serials: range, kind: CarrierKind, url: str | None) -> list[Label]:
    """The labels of a sheet. ValueError for a key that is unknown or revoked."""
    labels = []
    codes = table.mint(lot.kid, lot.no, serials.start, len(serials)).decode("ascii").split()
    for serial, code in zip(serials, codes, strict=True):
        content = content_of(kind, url, lot.product, table.seal(lot.kid, lot.no, serial))
        pin = to_pin(table.pin(lot.kid, lot.no, serial)) if lot.pin else None
        labels.append(Label(content, code, pin))
    return labels


def table_for(keyring: Keyring, lot: Lot) -> KeyTable:
    if lot.kid not in {key.kid for key in keyring.keys}:
        raise ScannerError(
            f"kid {lot.kid} is not in the key file: use the one that lot {lot.no} was minted with"
        )
    return keyring.table()


def serials_of(lot: Lot, first: int, count: int | None) -> range:
    """The serials to print: one sheet of them, or what is left of the lot, unless a count is given."""
    serials = range(first, first + (min(PER_SHEET, lot.size - first) if count is None else count))
    if not serials or serials[-1] >= lot.size:
        raise ScannerError(
            f"lot {lot.no} has serials 0 to {lot.size - 1}: choose --first and --count in them"
        )
    return serials


def sheet_files(out: Path, lot: Lot, serials: range, form: Form) -> dict[Path, range]:
    """The serials of each sheet by its file. None of the files is there yet."""
    parts = [serials[start : start + PER_SHEET] for start in range(0, len(serials), PER_SHEET)]
    files = {out / f"lot-{lot.no}-{part[0]}-{part[-1]}.{form}": part for part in parts}
    for file in files:
        if file.exists():
            raise ScannerError(f"{file} exists already; move it away or name another directory")
    return files


def write_sheets(files: dict[Path, range], sheet: Callable[[range], bytes]) -> None:
    """Writes files that only their owner may read; each appears when it is whole. On failure none is left."""
    written: list[Path] = []
    try:
        with progress_bar() as bar:
            task = bar.add_task("printing", total=sum(map(len, files.values())))
            for file, serials in files.items():
                data = sheet(serials)
                written.append(file.with_name(f".{file.name}.part"))
                _write(written[-1], data)
                written[-1] = written[-1].replace(file)
                bar.advance(task, len(serials))
    except BaseException:
        for file in written:
            with suppress(OSError):
                file.unlink()
        raise


def _write(part: Path, data: bytes) -> None:
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@app.command("print")
def print_(
    context: typer.Context,
    no: LotArgument,
    out: Annotated[Path, typer.Option(help="The directory the sheets are written into.")],
    first: Annotated[int, typer.Option(min=0, help="First serial.")] = 0,
    count: Annotated[
        int | None, typer.Option(min=1, max=COUNT_MAX, help="How many codes; one sheet unless given.")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="svg or png.")] = "svg",
    carrier: Annotated[
        CarrierKind | None, typer.Option(help="What the QR codes carry: text, url or gs1 (Digital Link).")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Prefix of url and gs1; alone, it means url.")] = None,
    error: Annotated[ErrorLevel, typer.Option(help="Least error correction: L, M, Q or H.")] = "M",
) -> None:
    """Writes A4 sheets of QR labels, for a desk printer or a designer. Activates nothing.

    Example: scanner lot print 1 --first 0 --count 48 --url https://s.example/c/ --format png --out sheets
    """
    kind = carrier_kind(carrier, url, error)
    settings = settings_of(context)
    keyring = keyring_of(settings)
    if not out.is_dir():
        raise ScannerError(f"{out} is not a directory; make it first")
    lot = with_store(settings, lambda store: known_lot(store, no))
    serials = serials_of(lot, first, count)
    table = table_for(keyring, lot)

    def sheet(part: range) -> bytes:
        heading = f"lot {no}, serials {part[0]} to {part[-1]}"
        return draw(labels_of(table, lot, part, kind, url), heading, form=form, error=error)

    try:
        files = sheet_files(out, lot, serials, form)
        write_sheets(files, sheet)
    except ValueError as reason:
        raise ScannerError(f"lot {no} cannot be printed: {reason}") from None
    except OSError as reason:
        raise ScannerError(
            f"{out} cannot be written into ({reason.strerror}), and no sheet was kept: name another directory"
        ) from None
    names = [file.name for file in files]
    sheets = names[0] if len(names) == 1 else f"{len(names)} sheets ({names[0]} to {names[-1]})"
    codes = "1 code" if len(serials) == 1 else f"{len(serials):,} codes"
    typer.echo(f"lot {no}: {codes} on {sheets} in {out}")
