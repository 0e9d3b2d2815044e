"""scanner stream: the ledger, as other services read it."""

import os
from pathlib import Path
from typing import Annotated

import orjson
import typer

from scanner.cli.console import progress_bar, settings_of, with_store
from scanner.errors import ScannerError
from scanner.ledger.connection import Store
from scanner.ledger.restore import Exported
from scanner.ledger.restore import export as export_stream
from scanner.ledger.watermark import WentBackError, entry_id, look, read_mark
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

    with_store(settings_of(context), work, only_reads=True)


@app.command()
def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    start: Annotated[
        str, typer.Option("--from", metavar="ID", help="After this entry: what an earlier export ended with.")
    ] = "0-0",
    end: Annotated[
        str, typer.Option("--to", metavar="ID", help="Up to this entry, with it. Default: the last one now.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists already.")] = False,
) -> None:
    """Writes every entry of the stream into a file, from which `scanner ledger restore` rebuilds the brand.

    The file says who won what: it has mode 0600. What comes after an export is exported with --from, and
    restored together with it.

    Example: scanner stream export --out ledger.jsonl
    """
    for option, id in (("--from", start), ("--to", end or "0-0")):
        try:
            entry_id(id)
        except ValueError:
            raise typer.BadParameter(
                f"{option}: expected an entry's id such as 1767225600000-0, got {id!r}"
            ) from None
    is_there = os.path.lexists(out)
    if is_there and not force:
        raise ScannerError(f"{out} exists already; replace it with --force, or name another file")

    settings = settings_of(context)

    async def work(store: Store) -> Exported:
        try:
            await look(store, read_mark(settings))
        except WentBackError as error:
            if is_there:
                raise ScannerError(f"{out} is kept, because {error.found}: name another file") from None
            typer.echo(f"this is not all: {error.found}", err=True)
        with progress_bar() as bar:
            task = bar.add_task("exporting")
            return await export_stream(
                store,
                out,
                after=start,
                to=end,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )

    done = with_store(settings, work, only_reads=True)
    typer.echo(f"{done.entries:,} entries in {out}; the next export: --from {done.last}")
