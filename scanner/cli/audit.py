"""scanner audit: does it add up?"""

from dataclasses import asdict
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
from scanner.errors import StoreRefusedError
from scanner.ledger.audit import AuditReport
from scanner.ledger.audit import audit as audit_ledger
from scanner.ledger.connection import Store


def audit(
    context: typer.Context,
    campaign: Annotated[str | None, typer.Option(help="Only what concerns this campaign.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Print every difference, not only the first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replays the ledger, and exits with 1 and the first difference if it does not add up.

    With the key file at hand every draw is recomputed.

    Example: scanner audit --campaign spring-2027
    """
    settings = settings_of(context)
    table = keyring_of(settings).table() if settings.keys_path.exists() else None

    async def work(store: Store) -> AuditReport:
        with progress_bar() as bar:
            task = bar.add_task("replaying")
            return await audit_ledger(
                store, table, lambda done, total: bar.update(task, completed=done, total=total)
            )

    report = with_store(settings, work)
    if campaign is not None:
        if campaign not in report.campaigns:
            raise StoreRefusedError(f"there is no campaign {campaign} in the ledger")
        report.campaigns = {campaign: report.campaigns[campaign]}
        report.differences = [found for found in report.differences if found.campaign in (campaign, "")]
    if as_json:
        print_json(report_data(report))
    else:
        print_report(report, every=every)
    if report.differences:
        raise typer.Exit(1)


def print_report(report: AuditReport, *, every: bool = False) -> None:
    print_rows(
        ("campaign", "scans", "pool", "prize", "put in", "given", "left"),
        [
            (
                id,
                campaign.scans,
                pool,
                prize,
                *(_amount(n) for n in (put_in, state.given[prize], state.left[prize])),
            )
            for id, campaign in report.campaigns.items()
            for pool, state in campaign.pools.items()
            for prize, put_in in state.put_in.items()
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
    return {
        "adds_up": not report.differences,
        "entries": report.entries,
        "claims": report.claims,
        "draws_recomputed": report.draws_recomputed,
        "campaigns": {
            id: {
                "scans": campaign.scans,
                "pools": {name: asdict(pool) for name, pool in campaign.pools.items()},
            }
            for id, campaign in report.campaigns.items()
        },
        "differences": [found._asdict() for found in report.differences],
    }


def _amount(n: int | None) -> str:
    return "no limit" if n is None else f"{n:,}"
