"""scanner stream: the ledger, as other services read it."""

from typing import Annotated

import orjson
import typer

from scanner.cli.console import settings_of, with_store
from scanner.ledger.connection import Store
from scanner.queue.events import tail as tail_events

app = typer.Typer(name="stream", help="The stream of accepted scans and changes.", no_args_is_help=True)


@app.callback()
def streams() -> None:
    """The stream of accepted scans and changes."""


@app.command()
def tail(
    context: typer.Context,
    campaign: Annotated[str | None, typer.Option(help="Only entries of this campaign.")] = None,
    start: Annotated[
        str, typer.Option("--from", help="An entry's id, or ms since 1970: after it. 0: all.")
    ] = "0",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new entries.")] = False,
) -> None:
    """Prints the stream's entries, one JSON object a line.

    Example: scanner stream tail --campaign spring-2027 --follow
    """

    async def work(store: Store) -> None:
        async for event in tail_events(store.client, store.keys.events, start=start, follow=follow):
            if campaign is None or event.campaign == campaign:
                typer.echo(orjson.dumps(event.data()).decode())

    with_store(settings_of(context), work)
