"""scanner lot: lots of codes, from the printer to the shop."""

import shlex
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from scanner.cli.console import (
    AsJson,
    actor,
    keyring_of,
    print_fields,
    print_json,
    print_rows,
    settings_of,
    with_store,
)
from scanner.cli.minting import Part, finish, part_of
from scanner.codes import Keyring, url_for, valid_gtin14
from scanner.codes.format import TEXT_CHARS
from scanner.codes.mint import Form
from scanner.errors import ScannerError, StoreRefusedError
from scanner.ledger import lots
from scanner.ledger.connection import Store

app = typer.Typer(name="lot", help="Lots of codes.", no_args_is_help=True)

LotArgument = Annotated[int, typer.Argument(metavar="LOT", min=1, help="The lot's number.")]
REQUEST_CHARS_MAX = 64


def request_id(value: str | None) -> str | None:
    if value is not None and not (1 <= len(value) <= REQUEST_CHARS_MAX and value.isprintable()):
        raise typer.BadParameter(f"expected 1 to {REQUEST_CHARS_MAX} printable characters")
    return value


RequestId = Annotated[
    str | None,
    typer.Option("--request-id", callback=request_id, help="Under this id it is done once, however often."),
]


async def known_lot(store: Store, no: int) -> lots.Lot:
    lot = await lots.read(store, no)
    if lot is None:
        raise StoreRefusedError(f"there is no lot {no}; `scanner lot list` names those there are")
    return lot


class NewLot(NamedTuple):
    """What a lot that is not registered yet is to be, by the names that a registered one has them under."""

    campaign: str
    product: str
    size: int
    pin: bool


def new_lot(campaign: str | None, product: str | None, count: int | None, pin: bool, form: Form) -> NewLot:
    """Wrong usage for what is missing, or could not be written."""
    if campaign is None or product is None or count is None:
        raise typer.BadParameter("--campaign, --product and --count are needed (or --again LOT)")
    if not valid_gtin14(product):
        raise typer.BadParameter(f"--product: {product!r} is not a GTIN-14 with a right check digit")
    if pin and form == "text":
        raise typer.BadParameter("--pin needs --format csv or jsonl, which have a column for it")
    return NewLot(campaign, product, count, pin)


async def registered(store: Store, part: Part, keyring: Keyring, new: NewLot) -> lots.Lot:
    """The new lot; or the one that was registered when this very mint was begun, and interrupted."""
    begun = part.code(keyring.table())
    if begun is None:
        if not part.is_empty():
            raise ScannerError(f"{part.path} holds no codes of these keys: remove it, or name another file")
        no = await lots.register(store, by=actor(), kid=keyring.minting_kid, **new._asdict())
        return await known_lot(store, no)
    lot = await lots.read(store, begun.lot)
    if lot is None or (lot.kid, lot.campaign, lot.product, lot.size, lot.pin) != (begun.kid, *new):
        raise ScannerError(
            f"{part.path} holds codes of lot {begun.lot}, whose mint was interrupted: go on with "
            f"`scanner lot mint --again {begun.lot} --out {part.out}`, or remove it, or name another file"
        )
    return lot


def way_on(no: int, out: Path, form: Form, url: str | None) -> str:
    command = ["scanner", "lot", "mint", "--again", str(no), "--out", str(out)]
    command += [] if form == "text" else ["--format", form]
    command += [] if url is None else ["--url", url]
    return f"lot {no} is registered: go on with `{shlex.join(command)}`"


@app.command()
def mint(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    campaign: Annotated[str | None, typer.Option(help="The campaign the lot belongs to.")] = None,
    product: Annotated[str | None, typer.Option(help="GTIN-14 of the product.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many codes.")] = None,
    form: Annotated[Form, typer.Option("--format", help="text, csv or jsonl.")] = "text",
    pin: Annotated[bool, typer.Option("--pin", help="Each code asks for a PIN; needs csv or jsonl.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Prefix: each code is written as URL prefix + code.")
    ] = None,
    again: Annotated[
        int | None, typer.Option(metavar="LOT", help="Write a registered lot's codes again.")
    ] = None,
) -> None:
    """Registers a lot and writes its codes. None of them is active yet.

    Minting is deterministic: --again LOT writes the same codes of a registered lot. A mint that was
    interrupted goes on where it stopped, with the same command or with --again.

    Example: scanner lot mint --campaign spring-2027 --product 06901234567892 --count 100000 --out codes.txt
    """
    settings = settings_of(context)
    keyring = keyring_of(settings)
    if not out.absolute().parent.is_dir():
        raise ScannerError(f"{out.parent} is not a directory")
    if again is None:
        new = new_lot(campaign, product, count, pin, form)
    elif pin or (campaign, product, count) != (None, None, None):
        raise typer.BadParameter(
            "--again LOT writes it as it was registered: leave out --campaign, --product, --count and --pin"
        )
    if url is not None:
        try:
            url_for(url, "0" * TEXT_CHARS)
        except ValueError as error:
            raise typer.BadParameter(f"--url: {error}") from None

    async def work(store: Store) -> lots.Lot:
        return await (registered(store, part, keyring, new) if again is None else known_lot(store, again))

    with part_of(out) as part:
        if out.exists():
            raise ScannerError(f"{out} exists already; name another file")
        lot = with_store(settings, work)
        if lot.pin and form == "text":
            raise ScannerError(f"lot {lot.no} asks for PINs: write it with --format csv or jsonl")
        try:
            finish(part, keyring, lot, form, url)
        except OSError as error:
            raise ScannerError(
                f"{out} could not be written ({error.strerror}); {way_on(lot.no, out, form, url)}"
            ) from None
        except KeyboardInterrupt:
            typer.echo(f"scanner: interrupted; {way_on(lot.no, out, form, url)}", err=True)
            raise
    typer.echo(f"lot {lot.no}: {lot.size:,} codes in {out}; `scanner lot activate {lot.no}` makes them win")


@app.command()
def activate(
    context: typer.Context,
    no: LotArgument,
    first: Annotated[int, typer.Option("--from", min=0, help="First serial.")] = 0,
    last: Annotated[int | None, typer.Option("--to", min=0, help="Last serial, included.")] = None,
    request: RequestId = None,
) -> None:
    """Makes a lot's codes claimable, or a range of its serials.

    Example: scanner lot activate 1 --from 0 --to 9999
    """

    async def work(store: Store) -> None:
        to = last if last is not None else (await known_lot(store, no)).size - 1
        changed = await lots.activate(store, no, by=actor(), first=first, last=to, request=request or "")
        typer.echo(f"lot {no}: serials {first} to {to} {'are' if changed else 'were'} active")

    with_store(settings_of(context), work)


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """Lists the lots.

    Example: scanner lot list --json
    """

    async def work(store: Store) -> list[lots.Lot]:
        return await lots.read_all(store)

    rows = with_store(settings_of(context), work)
    if as_json:
        print_json([_data(lot) for lot in rows])
        return
    print_rows(
        ("lot", "campaign", "product", "size", "active", "state", "seller"),
        [
            (
                lot.no,
                lot.campaign,
                lot.product,
                f"{lot.size:,}",
                f"{lot.active_count:,}",
                lot.state,
                lot.seller,
            )
            for lot in rows
        ],
    )


@app.command()
def show(context: typer.Context, no: LotArgument, as_json: AsJson = False) -> None:
    """Shows a lot, and how many of its codes were claimed.

    Example: scanner lot show 1
    """

    async def work(store: Store) -> dict[str, Any]:
        lot = await known_lot(store, no)
        return {**_data(lot), "claimed": await lots.claimed_count(store, lot)}

    data = with_store(settings_of(context), work)
    if as_json:
        print_json(data)
    else:
        ranges = ", ".join(f"{first} to {last}" for first, last in data["active"]) or "none"
        texts = {
            "active": ranges,
            "pin": "yes" if data["pin"] else "no",
            "seller": data["seller"] or "nobody",
        }
        print_fields({**data, **texts})


def _data(lot: lots.Lot) -> dict[str, Any]:
    return {
        "lot": lot.no,
        "campaign": lot.campaign,
        "product": lot.product,
        "size": lot.size,
        "kid": lot.kid,
        "pin": lot.pin,
        "state": lot.state,
        "active": lot.active,
        "seller": lot.seller or None,
    }
