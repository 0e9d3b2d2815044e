"""python -m loadtests overload: what becomes of a service that is offered more than it can serve."""

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import typer

from loadtests.gates import DEFAULTS
from loadtests.options import GatesFile, Workers
from loadtests.overload import report
from loadtests.overload.chart import svg
from loadtests.overload.conduct import BASE_LOAD, Plan, measure
from loadtests.overload.gates import judge, read_gates
from loadtests.overload.run import Load
from scanner.settings import Settings

AS_IT_IS = "as it is"
TIMES_MAX = 100.0
CPU_TIMES = "0.5,0.8,1,2,3"
STORE_BATCH_MAX = 8


class Usual(NamedTuple):
    """What is not said on the command line."""

    times: str
    seconds: float
    after_s: float
    rounds: int
    connections: int
    timeout_s: float


FULL = Usual("0.5,0.8,1,2,5,10", 10.0, 10.0, 3, 8_000, 3.0)
SHORT = Usual("0.8,1,2,5", 2.5, 6.0, 1, 3_000, 3.0)


class Bound(StrEnum):
    """What holds the service back."""

    STORE = "store"
    CPU = "cpu"


def overload(
    bound: Annotated[
        Bound,
        typer.Option(help="`store`: a store that takes --hold-ms for a batch; `cpu`: as fast as it goes."),
    ] = Bound.STORE,
    times: Annotated[
        str | None, typer.Option(help="Multiples of the peak, ascending; 0.5,0.8,1,2,5,10, for cpu to 3.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.5, max=600, help="Of each multiple; 10, longer than callers wait.")
    ] = None,
    after: Annotated[
        float | None, typer.Option(min=2, max=600, help="Seconds at 0.5× after the last; 10.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=100, help="Figures are medians of them; 3.")
    ] = None,
    connections: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Of all processes; 8,000.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Generator processes.")] = 1,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, max=60, help="Seconds until a caller gives up; 3.")
    ] = None,
    evenly: Annotated[
        bool, typer.Option("--evenly", help="Arrivals at equal distances, and not as people come.")
    ] = False,
    workers: Workers = 1,
    hold_ms: Annotated[float, typer.Option(min=1, max=500, help="Of a batch, for `store`.")] = 40.0,
    batch_max: Annotated[
        int | None, typer.Option(min=1, max=1024, help="SCANNER_BATCH_MAX; 8 for `store`.")
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, a setting: measures the service with it too, in turn."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="The short form, with the wide gates of [overload-check].")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    svg_file: Annotated[Path | None, typer.Option("--svg", help="Draw the picture here.")] = None,
    gates: GatesFile = DEFAULTS,
) -> None:
    """Finds the peak, then offers multiples of it in open loop, and 0.5× again: goodput, latency, refusals.

    Gates are those of [overload] in loadtests/gates.toml; with `--bound cpu` only answers and ledger count.

    Example: python -m loadtests overload --rounds 3 --json overload.json --svg overload.svg
    """
    is_store = bound is Bound.STORE
    usual = SHORT if check else FULL
    plan = Plan(
        times=_times(times or (usual.times if is_store else CPU_TIMES)),
        seconds=seconds or usual.seconds,
        after_s=after or usual.after_s,
        rounds=rounds or usual.rounds,
        load=Load(connections or usual.connections, processes, timeout or usual.timeout_s, evenly),
        workers=workers,
        hold_s=hold_ms / 1000 if is_store else 0.0,
        batch_max=batch_max or (STORE_BATCH_MAX if is_store else Settings.model_fields["batch_max"].default),
    )
    wanted = read_gates("overload-check" if check else "overload", gates)
    variants: dict[str, Mapping[str, object]] = {AS_IT_IS: {}}
    if control:
        variants[" ".join(control)] = _settings(control)
    for file in filter(None, (json, svg_file)):
        file.parent.mkdir(parents=True, exist_ok=True)
    found = asyncio.run(measure(plan, variants))
    verdicts = {name: judge(wanted, one, only_right=not is_store) for name, one in found.items()}
    for name, one in found.items():
        report.show(name, one, verdicts[name])
    if json:
        json.write_bytes(
            orjson.dumps(
                report.data(plan, found, verdicts), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            )
        )
    if svg_file:
        svg_file.write_text(svg(plan, found, wanted), "utf-8")
    failed = [verdict.gate for verdict in verdicts[AS_IT_IS] if not verdict.holds]
    typer.echo()
    typer.echo(f"failed: {', '.join(failed)}" if failed else "all gates hold")
    if failed:
        raise typer.Exit(1)


def _times(text: str) -> tuple[float, ...]:
    """The multiples. Refuses, as wrong usage, what are none."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or list(found) != sorted(set(found)) or not 0 < found[0] <= found[-1] <= TIMES_MAX:
        raise typer.BadParameter(f"--times: expected ascending multiples, such as 0.8,1,2; got {text!r}")
    if BASE_LOAD not in found or found[-1] < 1:
        raise typer.BadParameter(
            f"--times must have {BASE_LOAD:g}, which the rest is held against, and 1 or more"
        )
    return found


def _settings(pairs: list[str]) -> dict[str, object]:
    settings: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        field = name.removeprefix("SCANNER_").lower()
        if not equals or not name.startswith("SCANNER_") or field not in Settings.model_fields:
            raise typer.BadParameter(
                f"--control: expected a setting, such as SCANNER_WAITING_MAX=50; got {pair!r}"
            )
        settings[field] = value
    return settings
