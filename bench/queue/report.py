"""The tables: each line is printed when it is known, because the next one may be minutes away."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from bench.queue.catch_up import CaughtUp
from bench.queue.reading import Read

Report = dict[str, list[dict[str, Any]]]
"""Rows by part, as JSON has them."""
Table = Mapping[str, Callable[[Any], str]]
"""How each column is made of a row."""

READERS: Final[Table] = {
    "round": lambda row: f"{row.round}",
    "form": lambda row: row.form,
    "events": lambda row: f"{row.events:,}",
    "events/s": lambda row: f"{row.rate:,.0f}",
    "client µs": lambda row: f"{row.client_us:.1f}",
    "store µs": lambda row: f"{row.store_us:.1f}",
    "CPU x bare": lambda row: f"{row.ratio:.2f}",
    "rate x bare": lambda row: f"{row.pace:.2f}",
}
CATCH_UP: Final[Table] = {
    "backlog": lambda row: f"{row.backlog:,}",
    "behind": lambda row: f"{row.behind:,}",
    "seconds": lambda row: f"{row.seconds:.1f}",
    "read/s": lambda row: f"{row.read:,.0f}",
    "arrived/s": lambda row: f"{row.arrived:,.0f}",
    "ratio": lambda row: f"{row.ratio:.1f}",
    "scans": lambda row: f"{row.scans:,}",
    "refused": lambda row: f"{row.refused:,}",
    "p99 ms": lambda row: f"{row.p99_ms:.1f}",
    "late": lambda row: f"{row.late_share:.1%}",
}
_WIDTH: Final = 13


async def printed(table: Table, rows: AsyncIterator[Read | CaughtUp]) -> list[dict[str, Any]]:
    """Prints the rows as they come, and returns them for JSON."""
    _line({name: name for name in table})
    data = []
    async for row in rows:
        _line({name: column(row) for name, column in table.items()})
        data.append(asdict(row))
    print()
    return data


def _line(cells: Mapping[str, str]) -> None:
    print("".join(f"{text:<{_WIDTH}}" for text in cells.values()).rstrip(), flush=True)
