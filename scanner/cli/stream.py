"""scanner stream: the ledger, as other services read it."""

import os
from pathlib import Path
from typing import Annotated

import orjson
import typer

from scanner.cli.console import progress_bar, settings_of, with_store
from scanner.errors import ScannerError
from scanner.ledger.connection import Store
from scanner.ledger.restore import Exported, TrimmedError
from scanner.ledger.restore import export as export_stream
from scanner.ledger.watermark import WentBackError, entry_id, look, read_mark
from scanner.queue.archive import position
from scanner.queue.events import UnreadableError, read_event
from scanner.queue.tail import entries
from scanner.settings import Settings

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

    An entry that is not what its type promises is named, passed over, and makes the exit code 1.

    Example: scanner stream tail --campaign spring-2027 --follow
    """

    async def work(store: Store) -> int:
        unreadable = 0
        async for id, raw in entries(store.client, store.keys.events, start=start, follow=follow):
            try:
                event = read_event(id, raw)
            except UnreadableError as error:
                unreadable += 1
                typer.echo(str(error), err=True)
                continue
            if campaign is None or getattr(event, "campaign", "") == campaign:
                typer.echo(orjson.dumps(event.data()).decode())
        return unreadable

    unreadable = with_store(settings_of(context), work, only_reads=True)
    if unreadable:
        raise ScannerError(f"passed over as unreadable: {unreadable:,}; `scanner audit` says what is wrong")


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
            try:
                return await export_stream(
                    store,
                    out,
                    after=start,
                    to=end,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
            except TrimmedError as error:
                raise ScannerError(_advice(settings, error)) from None

    done = with_store(settings, work, only_reads=True)
    typer.echo(f"{done.entries:,} entries in {out}; the next export: --from {done.last}")


def _advice(settings: Settings, error: TrimmedError) -> str:
    """What to do about a stream that was trimmed: what it lacks is in the archive, where there is one."""
    directory = settings.archive_path
    archived = position(directory)
    if archived is None:
        return str(error)
    return (
        f"what is missing in the stream is in the archive {directory}: export what came after it with --from "
        f"{archived.entry}, and restore both with `scanner ledger restore {directory} FILE`"
    )
