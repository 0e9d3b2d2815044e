"""``python -m loadtests``: load tests, each against a service of its own or one that is named."""

import signal
import sys

import typer

from loadtests.generator import command
from loadtests.overload.command import overload
from loadtests.people.command import RUNS, command_for
from scanner.errors import ScannerError

app = typer.Typer(
    name="python -m loadtests",
    help="Load tests: people as they behave (Locust), and an open-loop generator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name in RUNS:
    app.command(name)(command_for(name))
app.command("open")(command.open_)
app.command()(command.curve)
app.command()(overload)


def main() -> None:
    """Exit code 0: all gates hold, 1: one fails or the run was refused, 2: wrong usage."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does: what was started is ended
    try:
        app()
    except ScannerError as error:
        typer.echo(f"loadtests: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
