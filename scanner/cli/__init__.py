"""The ``scanner`` command: one module a noun."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from scanner import __version__
from scanner.cli import (
    audit,
    campaign,
    code,
    demo,
    keys,
    ledger,
    lot,
    queue,
    run,
    serve,
    store,
    stream,
    token,
)
from scanner.cli import bridge as bridge  # adds `queue bridge nats`, `kafka`, `webhook` and `secret`
from scanner.cli import disclose as disclose  # adds `campaign disclose`
from scanner.cli import keep as keep  # adds `queue keep`, `query` and `verify`
from scanner.cli import letters as letters  # adds `queue dead`, `retry`, `drop` and `forget`
from scanner.cli import operations as operations  # adds what is done to campaigns and lots while they run
from scanner.cli import queue_status as queue_status  # adds `queue status`
from scanner.cli import schema as schema  # adds `queue schema`
from scanner.cli import sheets as sheets  # adds `lot print`
from scanner.errors import ScannerError

app = typer.Typer(
    name="scanner",
    help="Verifies signed product codes and awards each one once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scanner {__version__}")
        raise typer.Exit


@app.callback()
def top(
    context: typer.Context,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Directory of the embedded store and the key files. [SCANNER_DATA_DIR]"),
    ] = None,
    brand: Annotated[str | None, typer.Option(help="Whose codes these are. [SCANNER_BRAND]")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = {"data_dir": data_dir, "brand": brand}


app.command()(run.run)
app.command()(serve.serve)
app.command()(demo.demo)
app.command()(audit.audit)
for noun in (keys, token, campaign, lot, code, stream, queue, store, ledger):
    app.add_typer(noun.app)


def main() -> None:
    """Runs a command. Exit code 0: done, 1: refused or failed, 2: wrong usage, 130: interrupted, 141: nobody
    reads its output any more."""
    # SIGTERM ends a command as Ctrl-C does: what it began is undone, a store it started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except ScannerError as error:
        typer.echo(f"scanner: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # which Typer has made a 1 of
            sys.exit(141)
        raise
