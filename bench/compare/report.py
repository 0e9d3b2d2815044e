"""What was found, as a table for people and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.compare.conduct import QUICK, Comparison
from bench.compare.figures import AIMS, Spread, ratios, spreads
from bench.compare.peers import PEERS
from loadtests.generator.outcome import BUSY_SHARE_MAX, LATE_SHARE_MAX

# What the lines of the table are called, part by part; the parts' names say what their lines share.
CLOSED = {
    "service_us": "CPU of the service, µs",
    "store_us": "CPU of the store, µs",
    "throughput_per_s": "answers a second",
    "claims_per_batch": "claims a batch",
    "service_busy_share": "of its core, service",
    "client_busy_share": "of its core, client",
}
OPEN = {
    "open_service_us": "CPU of the service, µs",
    "open_store_us": "CPU of the store, µs",
    "open_p50_ms": "p50, ms",
    "open_p99_ms": "p99, ms",
}
REST = {"alone_p50_us": "alone: p50, µs", "forged_service_us": "forged: CPU, µs"}
RATIOS = {
    "scanner/empty": "scanner / aiohttp's empty handler",
    "scanner/fastify": "scanner / Fastify + ioredis",
    "scanner/fastapi": "scanner / FastAPI + redis-py",
    "forgery/scan": "a refused forgery / an accepted scan, both scanner's",
}
# Beyond this much short of the offered rate, latencies are those of a service that fell behind.
KEPT_LEAST = 0.95


def data(comparison: Comparison, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """All of it: every round, the medians with their least and most, the ratios and the conditions."""
    return {
        "conditions": dict(conditions),
        "medians": {
            peer: {name: spread._asdict() for name, spread in figures.items()}
            for peer, figures in spreads(comparison.rounds).items()
        },
        "ratios": {
            name: {**spread._asdict(), "aim": AIMS[name]}
            for name, spread in ratios(comparison.rounds).items()
        },
        "skipped": comparison.skipped,
        "warnings": comparison.warnings,
        "rounds": comparison.rounds,
    }


def text(comparison: Comparison, conditions: Mapping[str, Any]) -> str:
    """The table, the ratios, what is to be said about them, and the conditions."""
    medians = spreads(comparison.rounds)
    rounds = len(comparison.rounds)
    parts = [
        _table(comparison, medians),
        f"Medians of {rounds} {'round' if rounds == 1 else 'rounds'} (least–most); CPU is user and system, a "
        "scan; latency counts from the moment at which a scan is due.",
        _ratios(ratios(comparison.rounds)),
        "\n".join(_notes(comparison, medians)),
        _conditions(conditions),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(comparison: Comparison, medians: Mapping[str, Mapping[str, Spread]]) -> str:
    closed = f"closed loop, {comparison.size.connections} connections"
    opened = f"open loop, {comparison.rate_per_s:,.0f} a second"
    rows = [["", *(PEERS[peer].title for peer in medians)]]
    for title, lines in ((closed, CLOSED), (opened, OPEN), ("", REST)):
        if title:
            rows.append([title, *("" for _ in medians)])
        for name, line in lines.items():
            cells = [figures.get(name) for figures in medians.values()]
            if any(cells):
                rows.append(
                    [("  " if title else "") + line, *(_written(cell) if cell else "–" for cell in cells)]
                )
    return _aligned(rows)


def _ratios(found: Mapping[str, Spread]) -> str:
    rows = [["CPU of the service, closed loop", "ratio", "aim"]]
    rows += [[RATIOS[name], _written(spread), f"≤ {AIMS[name]:.2f}"] for name, spread in found.items()]
    return _aligned(rows) if found else ""


def _notes(comparison: Comparison, medians: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    notes = [f"skipped: {PEERS[peer].title}: {why}" for peer, why in comparison.skipped.items()]
    notes += [f"{PEERS[peer].title} warned: {it}" for peer, all in comparison.warnings.items() for it in all]
    if comparison.size == QUICK:
        notes.append("Quick: this shows that it works; compilers are cold, and the figures say little.")
    for peer, figures in medians.items():
        if figures["open_kept_share"].least < KEPT_LEAST:
            notes.append(
                f"{PEERS[peer].title} fell behind the offered rate in at least one round: its latencies are "
                "those of a queue."
            )
        if figures["client_busy_share"].most > BUSY_SHARE_MAX:
            notes.append(f"{PEERS[peer].title}: the client set the pace of the closed loop.")
        if figures["open_late_share"].most > LATE_SHARE_MAX:
            notes.append(f"{PEERS[peer].title}: the client lagged in open loop; latencies hold its own part.")
    if "scanner" in medians:
        commands, looks = (medians["scanner"][f"forged_{name}"].median for name in ("commands", "looks"))
        notes.append(
            f"While {comparison.size.forged:,} forged codes came, scanner's store executed {commands:.0f} "
            f"commands; in as many idle seconds it is {looks:.0f}: the worker's own looks."
        )
    return notes


def _conditions(conditions: Mapping[str, Any]) -> str:
    versions = {"python": conditions["python"], **conditions["packages"], **conditions["node"]}
    return "\n".join(
        [
            f"{conditions['cpu']}, {conditions['cores']} cores, {conditions['system']}",
            conditions["pinned"],
            f"store: {conditions['store']}",
            ", ".join(f"{name} {number}" for name, number in versions.items()),
        ]
    )


def _written(spread: Spread) -> str:
    if spread.least == spread.most:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.least)}–{_number(spread.most)})"


def _number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
