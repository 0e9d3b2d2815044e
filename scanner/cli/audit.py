"""scanner audit: does it add up?"""

import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scanner.cli.console import (
    AsJson,
    keyring_of,
    print_json,
    print_rows,
    progress_bar,
    settings_of,
    with_store,
)
from scanner.cli.report.figures import figures_of
from scanner.errors import ScannerError, StoreRefusedError
from scanner.ledger.audit import AuditReport
from scanner.ledger.audit import audit as audit_ledger
from scanner.ledger.connection import Store
from scanner.queue.archive import archive_of
from scanner.settings import Settings


def audit(
    context: typer.Context,
    campaign: Annotated[str | None, typer.Option(help="Only what concerns this campaign.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Print every difference, not only the first.")] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write all figures into a page, too.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a page that exists already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replays the ledger, and exits with 1 and the first difference if it does not add up.

    With the key file at hand every draw is recomputed.

    Example: scanner audit --campaign spring-2027 --report spring.html
    """
    if report is not None:
        check_report_path(report, force=force)
    elif force:
        raise typer.BadParameter("--force belongs to --report")
    settings = settings_of(context)
    found = run_audit(settings, campaign)
    made = datetime.now(UTC)
    try:
        if report is not None:
            # Imported here, with what writes it: every command would load it otherwise, `serve` too.
            from scanner.cli.report.page import page_of

            write_report(report, page_of(found, settings.brand, made, campaign), force=force)
    finally:  # what took so long is told in any case
        if as_json:
            head = {"brand": settings.brand, "made": made.isoformat(timespec="milliseconds")}
            print_json(head | report_data(found))
        else:
            print_report(found, every=every)
    if report is not None and not as_json:
        typer.echo(f"every figure is in {report}")
    if found.differences:
        raise typer.Exit(1)


def run_audit(settings: Settings, campaign: str | None) -> AuditReport:
    """Audits the brand, and keeps of what is found what concerns the campaign, or all."""
    table = keyring_of(settings).table() if settings.keys_path.exists() else None

    async def work(store: Store) -> AuditReport:
        with progress_bar() as bar:
            task = bar.add_task("replaying")
            return await audit_ledger(
                store,
                table,
                lambda done, total: bar.update(task, completed=done, total=total),
                archive_of(settings),
            )

    report = with_store(settings, work, any_state=True)
    if campaign is not None:
        if campaign not in report.campaigns:
            raise StoreRefusedError(f"there is no campaign {campaign} in the ledger")
        report.campaigns = {campaign: report.campaigns[campaign]}
        report.differences = [found for found in report.differences if found.campaign in (campaign, "")]
    return report


def check_report_path(path: Path, *, force: bool) -> None:
    """Refuses a file that could not be written, before the long audit starts."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter("--report writes HTML: name a file that ends in .html")
    if not path.parent.is_dir():
        raise ScannerError(f"{path.parent} is not a directory; make it first")
    if path.is_dir():
        raise ScannerError(f"{path} is a directory; name a file")
    if not force and os.path.lexists(path):
        raise ScannerError(f"{path} exists already; replace it with --force, or name another file")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ScannerError(f"{path.parent} cannot be written into; name a file elsewhere")


def write_report(path: Path, page: str, *, force: bool) -> None:
    """Writes a file that only its owner may read: it holds what the business gives. It appears when whole."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # mode 0600
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(page.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            check_report_path(path, force=force)  # one may have been made meanwhile
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise ScannerError(f"{path} cannot be written ({error.strerror}); name a file elsewhere") from None


def print_report(report: AuditReport, *, every: bool = False) -> None:
    print_rows(
        ("campaign", "scans", "pool", "prize", "put in", "given", "locked", "left"),
        [
            (
                id,
                campaign.scans,
                row.pool,
                row.prize,
                *(_amount(n) for n in (row.put_in, row.given, row.locked, row.left)),
            )
            for id, campaign in report.campaigns.items()
            for row in campaign.sheet()
        ],
    )
    draws = "every draw recomputed" if report.draws_recomputed else "draws not recomputed: no key file"
    typer.echo(f"\n{report.entries:,} entries, {report.claims:,} claims; {draws}")
    if not report.differences:
        typer.echo("it adds up")
        return
    for found in report.differences if every else report.differences[:1]:
        typer.echo(f"difference at {found.where}: {found.text}")
    if not every and len(report.differences) > 1:
        typer.echo(f"and {len(report.differences) - 1:,} more: --all prints them")


def report_data(report: AuditReport) -> dict[str, Any]:
    """Every figure of the page. Money is in minor units; null is no limit."""
    figures = figures_of(report)
    return {
        "adds_up": not report.differences,
        "entries": report.entries,
        "claims": report.claims,
        "draws_recomputed": report.draws_recomputed,
        "campaigns": {
            id: {
                **asdict(figures[id]),
                "wrong_sums": figures[id].wrong_sums,
                "pools": {name: asdict(pool) for name, pool in campaign.pools.items()},
                "given_by_pool_and_day": [asdict(row) for row in campaign.given_rows()],
            }
            for id, campaign in report.campaigns.items()
        },
        "differences": [found._asdict() for found in report.differences],
    }


def _amount(n: int | None) -> str:
    return "no limit" if n is None else f"{n:,}"
