"""scanner code: what a code says, without a store."""

from typing import Annotated

import typer

from scanner.cli.console import AsJson, keyring_of, print_fields, print_json, settings_of
from scanner.codes import CodeId, NoCodeError, check, read, to_gs1, to_text
from scanner.errors import ScannerError

app = typer.Typer(name="code", help="Codes.", no_args_is_help=True)


@app.callback()
def codes() -> None:
    """Codes."""


@app.command()
def inspect(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="A code, a URL with one, or a GS1 Digital Link.")],
    as_json: AsJson = False,
) -> None:
    """Says whether a code is genuine, and its key, lot and serial. Exit code 1 where it is not.

    Example: scanner code inspect https://s.example/c/2W4WWNA7XW7FAJKB9WWYZFR7
    """
    table = keyring_of(settings_of(context)).table()
    try:
        carrier = read(text)
    except NoCodeError as error:
        raise ScannerError(str(error)) from None
    number = check(table, carrier)
    if number < 0:
        if as_json:
            print_json({"genuine": False})
            raise typer.Exit(1)
        raise ScannerError("not genuine: no live key of this key file has signed this code")
    code = CodeId.unpack(number)
    raw = table.seal(*code)
    data = {
        "genuine": True,
        "kid": code.kid,
        "lot": code.lot,
        "serial": code.serial,
        "text": to_text(raw),
        "gs1": to_gs1(raw),
        "scan_id": table.scan_id(*code),
    }
    if as_json:
        print_json(data)
    else:
        print_fields({**data, "genuine": "yes"})
