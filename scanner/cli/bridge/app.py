"""The group of commands that the targets add themselves to."""

import typer

from scanner.cli.queue import app as queue_app

app = typer.Typer(
    name="bridge", help="Copies events to where others read them already.", no_args_is_help=True
)
queue_app.add_typer(app)


@app.callback()
def bridges() -> None:
    """Copies events to where others read them already.

    A bridge runs until SIGTERM and finishes what it has begun. It acknowledges an event after its target has;
    so it may be killed at any moment, and nothing is lost. While the target is away it waits, and nothing is
    lost either. One process reads a group, or each its --share: only so a member's events keep their order.
    """
