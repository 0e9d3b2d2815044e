"""scanner queue: the stream's consumers, their dead letters, the archive and the bridges."""

import typer

app = typer.Typer(name="queue", help="Who reads the stream, and what becomes of it.", no_args_is_help=True)


@app.callback()
def queues() -> None:
    """Who reads the stream, and what becomes of it."""
