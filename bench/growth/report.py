"""The tables: each line is printed when it is known, because the next one may be minutes away."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from bench.growth.campaigns import Crowd
from bench.growth.claims import Decade
from bench.growth.service import Serving
from bench.growth.soak import Tenth

Report = dict[str, list[dict[str, Any]]]
"""Rows by part, as JSON has them."""
Table = Mapping[str, Callable[[Any], str]]
"""How each column is made of a row."""

_MB: Final = 1 << 20


def _times(ratio: float, unit: str, unit_us: float) -> str:
    return f"{ratio:.2f} x {unit} ({unit_us:.1f} µs)"


def _cost(row: Decade | Crowd) -> str:
    return _times(row.cost.ratio, "bare", row.cost.bare_us)


CLAIMS: Final[Table] = {
    "lots": lambda row: row.kind,
    "claims": lambda row: f"{row.claims:,}",
    "store µs/claim": lambda row: f"{row.cost.claim_us:.1f}",
    "bare HSET + XADD": _cost,
    "growth": lambda row: f"{row.growth:+.1%}",
    "bytes/claim": lambda row: f"{row.claim_bytes:.1f}",
    "bytes/entry": lambda row: f"{row.entry_bytes:.1f}",
}
CAMPAIGNS: Final[Table] = {
    "campaigns": lambda row: f"{row.campaigns}",
    "store µs/claim": lambda row: f"{row.cost.claim_us:.1f}",
    "bare HSET + XADD": _cost,
}
SERVICE: Final[Table] = {
    "workers": lambda row: f"{row.workers}",
    "campaigns": lambda row: f"{row.campaigns}",
    "service µs/scan": lambda row: f"{row.service_us:.1f}",
    "empty handler": lambda row: _times(row.ratio, "empty", row.empty_us),
    "store µs/scan": lambda row: f"{row.store_us:.1f}",
    "claims/batch": lambda row: f"{row.claims_per_batch:.1f}",
}
SOAK: Final[Table] = {
    "scans": lambda row: f"{row.scans:,}",
    "workers MiB": lambda row: f"{row.workers_rss / _MB:.1f}",
    "bytes/scan": lambda row: f"{row.workers_growth:+.2f}",
    "store MiB": lambda row: f"{row.store_bytes / _MB:.1f}",
    "store bytes/scan": lambda row: f"{row.store_growth:+.1f}",
}
_WIDTH_MIN: Final = 16
_WIDER: Final = 26  # of a ratio with its unit


async def printed(
    table: Table, rows: AsyncIterator[Decade | Crowd | Serving | Tenth]
) -> list[dict[str, Any]]:
    """Prints the rows as they come, and returns them for JSON."""
    _line({name: name for name in table})
    data = []
    async for row in rows:
        _line({name: column(row) for name, column in table.items()})
        data.append(asdict(row))
    print()
    return data


def _line(cells: Mapping[str, str]) -> None:
    widths = {name: _WIDER if name in ("bare HSET + XADD", "empty handler") else _WIDTH_MIN for name in cells}
    print("".join(f"{text:<{widths[name]}}" for name, text in cells.items()).rstrip(), flush=True)
