"""python -m loadtests open, curve: the open-loop generator, and the curves that it replays."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from loadtests.answers import TRY_AGAIN
from loadtests.errors import LoadTestError
from loadtests.gates import DEFAULTS, Reached
from loadtests.generator.curve import curve_of_stream, curve_text, parse_curve, scaled
from loadtests.generator.log import write_log, write_percentiles
from loadtests.generator.share import Findings, Orders
from loadtests.generator.together import generate_together
from loadtests.options import (
    P99,
    Codes,
    Common,
    ErrorShare,
    GatesFile,
    Host,
    OwnHost,
    ReportDir,
    TokenKeyFile,
    Tokens,
    Workers,
    common,
)
from loadtests.report import conclude
from loadtests.stage import staged
from scanner.cli.console import print_rows
from scanner.cli.yardstick import empty_handler_cpu_us

DEFAULT_SECONDS = 20.0
CLOSED_SECONDS_MAX = 600.0
SPARE_S = 5.0
YARDSTICK_CONNECTIONS = 64


def open_(
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second.")] = 200.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, max=86_400, help="How long; 20 without --count.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="How many, in place of --seconds.")] = None,
    replay: Annotated[
        Path | None, typer.Option(help="A curve (CSV second,requests) in place of --rate.", exists=True)
    ] = None,
    scale: Annotated[float, typer.Option(min=0.0001, help="So many times the curve.")] = 1.0,
    closed: Annotated[
        bool, typer.Option("--closed", help="Closed loop in place of a rate; needs --count.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Generator processes.")] = 1,
    connections: Annotated[int, typer.Option(min=1, max=20_000, help="Of all processes.")] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until a request has failed.")] = 10.0,
    host: Host = None,
    codes: Codes = None,
    tokens: Tokens = None,
    token_keys: TokenKeyFile = None,
    i_own_this_host: OwnHost = False,
    workers: Workers = 1,
    printed: Annotated[
        int, typer.Option(min=1, max=1000, help="One code in so many of the lot is scanned.")
    ] = 1,
    yardstick: Annotated[
        bool, typer.Option("--yardstick", help="Say also what an empty aiohttp handler costs, and how many.")
    ] = False,
    report_dir: ReportDir = None,
    gates: GatesFile = DEFAULTS,
    p99_ms: P99 = None,
    error_share: ErrorShare = None,
) -> None:
    """Scans fresh codes at a rate or along a curve, whatever the service does; latency counts from when
    each was due.

    Example: python -m loadtests open --rate 500 --seconds 30 --processes 2
    """
    if (count is not None and seconds is not None) or (closed and (count is None or replay is not None)):
        raise typer.BadParameter("give --seconds or --count, or --replay; --closed goes with --count alone")
    shared = common(
        "open", host=host, codes=codes, tokens=tokens, token_keys=token_keys, i_own_this_host=i_own_this_host,
        workers=workers, report_dir=report_dir, gates=gates, p99_ms=p99_ms, error_share=error_share,
    )  # fmt: skip
    curve = _curve(replay, scale)
    if curve is not None:
        requests, lasts_s = sum(curve), float(len(curve))
    elif closed:
        requests, lasts_s = count or 0, CLOSED_SECONDS_MAX
    else:
        requests = count or max(1, round(rate * (seconds or DEFAULT_SECONDS)))
        lasts_s = requests / rate
    orders = Orders(
        address=("", 0), codes="", tokens="", acknowledged="", requests=requests, connections=connections,
        rate=None if closed else rate, curve=curve, timeout_s=timeout,
        seconds_max=lasts_s + 2 * timeout + SPARE_S, i_own_this_host=i_own_this_host,
    )  # fmt: skip
    asyncio.run(_generate(shared, orders, processes, printed, yardstick))


def _curve(path: Path | None, scale: float) -> list[int] | None:
    if path is None:
        return None
    try:
        return scaled(parse_curve(path.read_text("utf-8")), scale)
    except (OSError, UnicodeDecodeError, LoadTestError) as error:
        raise LoadTestError(f"{path} cannot be replayed: {error}") from None


async def _generate(shared: Common, orders: Orders, processes: int, printed: int, yardstick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="scanner-load-") as directory:
        async with staged(
            shared.another,
            codes=orders.requests,
            seconds=orders.seconds_max,
            workers=shared.workers,
            printed=printed,
        ) as stage:
            if stage.codes < orders.requests:
                raise LoadTestError(f"{orders.requests:,} codes are needed; the file has {stage.codes:,}")
            began_s = time.time()
            found, files = await generate_together(
                orders.at(stage.address, stage.codes_file, stage.tokens_file, Path(directory) / "accepted"),
                processes,
            )
            figures = await stage.figures(found.outcome.requests)
            ledger = await stage.ledger_faults([Path(file) for file in files], orders.requests)
    if yardstick:
        figures["yardstick"] = await _in_empty_handlers(figures.get("service", {}))
    figures |= {**found.outcome.summary(), "outcomes": dict(sorted(found.outcomes.items()))}
    _report(shared, found, figures, ledger, began_s)


async def _in_empty_handlers(service: Mapping[str, Any]) -> dict[str, float]:
    """What a request cost, in empty aiohttp handlers measured now: a unit that says the same everywhere."""
    empty_us = await empty_handler_cpu_us(YARDSTICK_CONNECTIONS)
    times = {
        f"{who}_times": round(service[f"{who}_cpu_us_per_request"] / empty_us, 2)
        for who in ("service", "store")
        if service
    }
    return {"empty_handler_cpu_us": round(empty_us, 1), **times}


def _report(
    shared: Common, found: Findings, figures: dict[str, Any], ledger: list[str] | None, began_s: float
) -> None:
    outcome = found.outcome
    write_percentiles(shared.report_dir / "latency.hgrm", outcome)
    write_log(shared.report_dir / "latency.hlog", outcome, began_s=began_s)
    print_rows(("outcome", "answers"), [(name, f"{n:,}") for name, n in figures["outcomes"].items()])
    print_rows(("latency", "ms"), list(figures["latency_ms"].items()))
    refused = sum(n for name, n in found.outcomes.items() if name in TRY_AGAIN)
    reached = Reached(
        requests=outcome.requests, errors=refused + outcome.failures.total(),
        p99_ms=outcome.percentile_us(99) / 1000, wrong_count=found.wrong_count, wrong=found.wrong,
        ledger=ledger,
    )  # fmt: skip
    notes = [f"{n:,} requests failed: {reason}" for reason, n in outcome.failures.items()]
    notes += [outcome.bottleneck()] if outcome.bottleneck() else []
    conclude(shared.report_dir, shared.gates, reached, figures, notes)


def curve(
    file: Annotated[
        Path | None, typer.Argument(help="What `scanner stream tail` printed; standard input without it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The curve's file; standard output without it.")] = None,
) -> None:
    """Makes an arrival curve of the stream's accepted scans, for `open --replay`.

    Example: scanner stream tail --campaign spring-2027 | python -m loadtests curve --out spring.csv
    """
    if file is None:
        counts = curve_of_stream(sys.stdin)
    else:
        with file.open(encoding="utf-8") as lines:
            counts = curve_of_stream(lines)
    text = curve_text(counts)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, "utf-8")
        typer.echo(f"{sum(counts):,} scans in {len(counts):,} seconds, at most {max(counts):,} in one: {out}")
