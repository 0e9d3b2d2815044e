"""scanner queue keep, query, verify: the archive of the stream (docs/archive.md)."""

import asyncio
import csv
import logging
import sys
from collections.abc import Sequence
from datetime import date, time
from typing import Annotated, Any

import orjson
import typer

from scanner.cli.console import AsJson, print_rows, progress_bar, settings_of, with_store
from scanner.cli.queue import app
from scanner.errors import ScannerError
from scanner.ledger.connection import Store, opened
from scanner.ledger.watermark import moment_of
from scanner.queue.archive import START
from scanner.service.signals import stop_event
from scanner.settings import Settings


@app.command()
def keep(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Archive and trim what there is by now, and end.")
    ] = False,
    no_trim: Annotated[bool, typer.Option("--no-trim", help="Only archive.")] = False,
    accept_older: Annotated[
        bool,
        typer.Option("--accept-older", help="Go on with an archive that lacks what was archived before."),
    ] = False,
    accept_gap: Annotated[
        bool,
        typer.Option("--accept-gap", help="Go on although entries are gone that were never archived."),
    ] = False,
) -> None:
    """Copies the stream into the archive, and trims what every group has finished and is old enough.

    Runs until SIGTERM. One keeper a brand; killed at any moment, the next one goes on where it stopped.

    Example: scanner queue keep
    """
    settings = settings_of(context)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s keeper %(levelname)s %(message)s"
    )
    asyncio.run(_keep(settings, once, no_trim, accept_older, accept_gap))


async def _keep(settings: Settings, once: bool, no_trim: bool, accept_older: bool, accept_gap: bool) -> None:
    # Imported here, with pyarrow: every command would load it otherwise.
    from scanner.queue.keeper import Keeper

    async with opened(settings) as store:
        keeper = Keeper(
            store,
            settings.archive_path,
            every_s=settings.archive_every_s,
            keep_s=None if no_trim else settings.stream_keep_s,
            accept_older=accept_older,
            accept_gap=accept_gap,
        )
        if not once:
            return await keeper.run(stop_event())
        try:
            kept = await keeper.keep()
        except OSError as error:
            raise ScannerError(
                f"the archive {settings.archive_path} cannot be written: {error.strerror}"
            ) from None
        finally:
            await keeper.leave()
    typer.echo(f"{kept.archived:,} entries archived, {kept.trimmed:,} trimmed")
    return None


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Option("--sql", help="One SELECT; the views are events, scans and awards.")],
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Answers a question from the archive, in DuckDB's SQL. What was not archived yet is not in it.

    Example: scanner queue query --sql "SELECT campaign, count(*) AS scans FROM scans GROUP BY campaign"
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")
    # Imported here, with duckdb: every command would load it otherwise.
    from scanner.queue.archive.query import asked

    settings = settings_of(context)
    with asked(settings.archive_path, sql, brand=settings.brand) as answer:
        if as_json:
            rows = [dict(zip(answer.columns, map(_json, row), strict=True)) for row in answer.rows]
            typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2, default=str).decode())
        elif as_csv:
            out = csv.writer(sys.stdout, lineterminator="\n")
            out.writerow(answer.columns)
            out.writerows(map(_shown, answer.rows))
            sys.stdout.flush()  # here, where a reader that is gone is noticed
        else:
            print_rows(answer.columns, [_shown(row) for row in answer.rows])
        is_known = answer.last != START
    typer.echo(
        f"up to {answer.last} of {moment_of(answer.last)}" if is_known else "the archive is empty", err=True
    )


@app.command()
def verify(
    context: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Only the files: do not hold them against the stream.")
    ] = False,
) -> None:
    """Reads the whole archive, and exits with 1 and the first difference if it is not what was written.

    Example: scanner queue verify
    """
    settings = settings_of(context)
    from scanner.queue.archive.verifying import verify_archive

    with progress_bar() as bar:
        task = bar.add_task("verifying", total=None)
        found = verify_archive(
            settings.archive_path,
            brand=settings.brand,
            progress=lambda entries, total: bar.update(task, completed=entries, total=total),
        )
    if not offline:
        with_store(settings, lambda store: _compared(store, settings), any_state=True)
    typer.echo(f"{found.entries:,} entries in {found.segments:,} segments and {found.files:,} files")
    if found.missing:
        typer.echo(
            f"{found.missing:,} entries are missing: gaps that were accepted (--accept-gap), or cut out"
        )
    typer.echo(
        "it is what was written" if offline else "it is what was written, and the stream goes on after it"
    )


async def _compared(store: Store, settings: Settings) -> None:
    from scanner.queue.continuity import compare

    await compare(store, settings.archive_path)


def _shown(row: Sequence[Any]) -> list[Any]:
    return [value.isoformat() if isinstance(value, (date, time)) else value for value in row]


def _json(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        return str(value)  # more than a number of JSON is safely read as
    return value
