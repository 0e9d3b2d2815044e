"""What a run prints and leaves behind: the gates, what was wrong, and the same as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import typer

from loadtests.gates import Gates, Reached, judge
from scanner.cli.console import print_rows


def conclude(
    directory: Path, gates: Gates, reached: Reached, figures: dict[str, Any], notes: Sequence[str]
) -> None:
    """Writes ``summary.json`` and prints the verdicts. Exits with 1 where a gate does not hold."""
    verdicts = judge(gates, reached)
    if reached.ledger is None:
        notes = [*notes, "the ledger was not looked at: let `scanner audit` do that where the store is"]
    found = [*reached.wrong, *(reached.ledger or ())]
    summary = {
        "passed": all(verdict.holds for verdict in verdicts),
        "gates": [verdict._asdict() for verdict in verdicts],
        "found": found,
        "notes": list(notes),
        **figures,
    }
    (directory / "summary.json").write_bytes(
        orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    typer.echo()
    rows = [(one.gate, one.asked, one.came, "holds" if one.holds else "FAILS") for one in verdicts]
    print_rows(("gate", "asked", "came", ""), rows)
    for line in found:
        typer.echo(f"fault: {line}")
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"report: {directory}")
    failed = [verdict.gate for verdict in verdicts if not verdict.holds]
    if failed:
        typer.echo(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)
    typer.echo("all gates hold")
