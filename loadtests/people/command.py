"""python -m loadtests spike, steady, soak, staircase: people against a service of our own or another."""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from loadtests.errors import LoadTestError
from loadtests.gates import DEFAULTS, Reached
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
from loadtests.people.plan import BEHAVIOURS, VARIABLE, Plan, Result
from loadtests.processes import python
from loadtests.report import conclude
from loadtests.stage import Stage, staged
from scanner.cli.console import print_rows

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
# By name: how long by default, in seconds, how many people at the height, and what it is for.
RUNS = {
    "spike": (45.0, 200, "A quiet evening, a television spot, the crowd that follows, and how it goes home."),
    "steady": (60.0, 100, "The same people all the time."),
    "soak": (3600.0, 100, "The same for long: what leaks or grows is seen here."),
    "staircase": (100.0, 250, "Five steps: the one at which latency leaves the floor is the capacity."),
}
USERS_MIN = 20  # with fewer, not every kind of person is there
CODES_A_PERSON_AND_SECOND = 3  # the quickest scans about 1.7 a second
CODES_MAX = 20_000_000
LOCUST_BUSY_SHARE_MAX = 0.8  # it has one core, and others want some of it
SPARE_S = 60


def command_for(name: str) -> Callable[..., None]:
    """The command of a run by this name."""
    default_seconds, default_users, what_for = RUNS[name]

    def run(
        seconds: Annotated[float, typer.Option(min=2, max=86_400, help="How long.")] = default_seconds,
        users: Annotated[
            int, typer.Option(min=USERS_MIN, max=20_000, help="People at the height.")
        ] = default_users,
        host: Host = None,
        codes: Codes = None,
        tokens: Tokens = None,
        token_keys: TokenKeyFile = None,
        i_own_this_host: OwnHost = False,
        workers: Workers = 1,
        report_dir: ReportDir = None,
        gates: GatesFile = DEFAULTS,
        p99_ms: P99 = None,
        error_share: ErrorShare = None,
    ) -> None:
        shared = common(
            name, host=host, codes=codes, tokens=tokens, token_keys=token_keys, workers=workers,
            i_own_this_host=i_own_this_host, report_dir=report_dir, gates=gates, p99_ms=p99_ms,
            error_share=error_share,
        )  # fmt: skip
        asyncio.run(_run(name, shared, seconds, users))

    run.__doc__ = f"{what_for}\n\n    Example: python -m loadtests {name} --report-dir report/\n    "
    return run


async def _run(name: str, shared: Common, seconds: float, users: int) -> None:
    codes = min(round(users * seconds * CODES_A_PERSON_AND_SECOND) + 1000, CODES_MAX)
    with tempfile.TemporaryDirectory(prefix="scanner-load-") as directory:
        async with staged(shared.another, codes=codes, seconds=seconds, workers=shared.workers) as stage:
            result, acknowledged = await _locust(
                name, stage, Path(directory), shared.report_dir, seconds, users
            )
            figures = await stage.figures(result.requests)
            ledger = await stage.ledger_faults([acknowledged], result.codes_sent)
    _report(shared, result, figures, ledger)


async def _locust(
    name: str, stage: Stage, directory: Path, report_dir: Path, seconds: float, users: int
) -> tuple[Result, Path]:
    """Runs Locust in a process of its own; what its people saw, and the file of acknowledged scan_ids.

    Raises:
        LoadTestError: it ended otherwise than by itself.
    """
    plan = Plan(
        name, seconds, users, str(stage.codes_file), str(stage.tokens_file),
        str(directory / "accepted"), str(directory / "result"),
    )  # fmt: skip
    plan.write(directory / "plan")
    host, port = stage.address
    host = f"[{host}]" if ":" in host else host
    log_path = report_dir / "locust.log"
    arguments = (
        "-m", "locust", "-f", str(LOCUSTFILE), "--host", f"http://{host}:{port}", "--headless",
        "--only-summary", "--exit-code-on-error", "0", "--stop-timeout", "5",
        "--html", str(report_dir / "report.html"),
    )  # fmt: skip
    with log_path.open("wb") as log:
        environment = {VARIABLE: str(directory / "plan")}
        async with python(*arguments, stdout=log, stderr=log, env=environment) as process:
            try:
                async with asyncio.timeout(seconds + SPARE_S):
                    code = await process.wait()
            except TimeoutError:
                raise LoadTestError(f"Locust did not end in time; its log: {log_path}") from None
    if code:
        raise LoadTestError(f"Locust ended with {code}; its log: {log_path}")
    return Result.read(Path(plan.result)), Path(plan.acknowledged)


def _report(shared: Common, result: Result, figures: dict[str, Any], ledger: list[str] | None) -> None:
    figures |= {
        "requests": result.requests,
        "answers_per_second": round(result.answers_per_second, 1),
        "latency_ms": result.latency_ms,
        "did": result.did,
        "locust": {
            "cpu_us_per_request": round(result.cpu_us_per_request, 1),
            "busy_share": round(result.busy_share, 3),
        },
    }
    print_rows(("people", "did so often"), [(what, f"{n:,}") for what, n in result.did.items()])
    print_rows(("latency", "ms"), list(result.latency_ms.items()))
    missing = [f"nobody of the kind “{what}”" for what in BEHAVIOURS if not result.did.get(what)]
    if result.ran_out_of_codes:
        missing.append("the codes ran out")
    reached = Reached(
        requests=result.requests, errors=result.errors, p99_ms=result.latency_ms["p99"],
        wrong_count=result.wrong_count, wrong=result.wrong, missing=missing, ledger=ledger,
    )  # fmt: skip
    notes = []
    if result.busy_share > LOCUST_BUSY_SHARE_MAX:
        notes.append(f"Locust used {result.busy_share:.0%} of a core: its latencies are its own; see `open`")
    conclude(shared.report_dir, shared.gates, reached, figures, notes)
