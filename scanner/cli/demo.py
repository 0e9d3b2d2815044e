"""scanner demo: a spike of real HTTP scans against a service of its own, checked answer by answer."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any

import aiohttp
import orjson
import typer

from scanner.cli.audit import print_report, report_data
from scanner.cli.campaign import DEMO_PRODUCT, demo_campaign
from scanner.cli.console import AsJson, actor, keyring_of, print_json, print_rows, progress_bar, token_keys_of
from scanner.cli.keys import create_missing_keys
from scanner.cli.serve import READY_TIMEOUT_S, set_up_log
from scanner.cli.yardstick import cpu_seconds, empty_handler_cpu_us
from scanner.codes import KeyTable, to_text
from scanner.errors import ScannerError, StoreUnavailableError
from scanner.identity import Member
from scanner.ledger import campaigns, lots
from scanner.ledger.audit import AuditReport
from scanner.ledger.audit import audit as audit_ledger
from scanner.ledger.connection import Store, opened
from scanner.ledger.embedded import EmbeddedStore
from scanner.service.supervisor import Supervisor, service
from scanner.settings import Settings, load_settings

MEMBERS = 500
# Of a hundred scans, so many are repeated by the same member, by another, forged, of a lot not yet active.
REPEATED, BY_ANOTHER, FORGED, NOT_ACTIVE = 8, 6, 4, 2


@dataclass(frozen=True)
class Step:
    """One scan of the spike: which answer must come."""

    member: str
    code: str
    outcome: str


@dataclass
class Tally:
    """What came back. ``wrong`` holds the first few answers that were not the expected ones."""

    expected: Counter[str] = field(default_factory=Counter)
    got: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def demo(
    scans: Annotated[int, typer.Option(min=100, max=1_000_000, help="How many scans.")] = 20_000,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="How many phones at a time.")] = 64,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes of the service.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Drives a spike against a private service, and checks every answer, the pools and the ledger.

    Exit code 1 if anything does not add up. Nothing of it stays behind.

    Example: scanner demo --scans 50000 --connections 128
    """
    with tempfile.TemporaryDirectory(prefix="scanner-demo-") as directory:
        settings = load_settings(
            data_dir=Path(directory), store_url="", host="127.0.0.1", port=0, ops_port=0, workers=workers,
            brand="demo", keys_file=Path(directory) / "keys.json",
            token_keys_file=Path(directory) / "token-keys.json", log_level="warning",
            # Each answer is checked, so each is waited for, however slow the machine.
            shedding=False, wait_max_ms=60_000,
        )  # fmt: skip
        set_up_log(settings)
        result = asyncio.run(_spike(settings, scans, connections))
    if as_json:
        print_json(result.data())
    else:
        result.print()
    if result.faults():
        raise typer.Exit(1)


@dataclass
class Result:
    """The outcome of a demo. CPU is in microseconds a scan, of all processes of that kind."""

    scans: int
    seconds: float
    tally: Tally
    service_cpu_us: float
    store_cpu_us: float
    empty_handler_cpu_us: float
    claims_per_batch: float
    report: AuditReport

    def faults(self) -> list[str]:
        faults = list(self.tally.wrong)
        if self.tally.got != self.tally.expected:
            faults.append("the outcomes are not the expected ones")
        if self.report.claims != self.tally.expected["accepted"]:
            faults.append(
                f"{self.report.claims} claims in the ledger, {self.tally.expected['accepted']} expected"
            )
        return faults + [f"audit: {found.where}: {found.text}" for found in self.report.differences[:3]]

    def latencies_ms(self) -> dict[str, float]:
        cuts = quantiles(self.tally.latencies_s, n=1000, method="inclusive")
        picked = {"p50": cuts[499], "p90": cuts[899], "p99": cuts[989], "max": max(self.tally.latencies_s)}
        return {name: round(seconds * 1000, 2) for name, seconds in picked.items()}

    def data(self) -> dict[str, Any]:
        return {
            "scans": self.scans,
            "seconds": round(self.seconds, 3),
            "outcomes": {
                outcome: {"expected": self.tally.expected[outcome], "got": self.tally.got[outcome]}
                for outcome in sorted(self.tally.expected | self.tally.got)
            },
            "latency_ms": self.latencies_ms(),
            "service_cpu_us_per_scan": round(self.service_cpu_us, 1),
            "store_cpu_us_per_scan": round(self.store_cpu_us, 1),
            "empty_handler_cpu_us_per_request": round(self.empty_handler_cpu_us, 1),
            "claims_per_batch": round(self.claims_per_batch, 1),
            "audit": report_data(self.report),
            "faults": self.faults(),
        }

    def print(self) -> None:
        data = self.data()
        rows = [(name, f"{n['expected']:,}", f"{n['got']:,}") for name, n in data["outcomes"].items()]
        print_rows(("outcome", "expected", "got"), rows)
        typer.echo()
        print_rows(("latency", "ms"), list(data["latency_ms"].items()))
        typer.echo(
            f"\n{self.scans:,} scans in {self.seconds:.1f} s, this client on the same cores; "
            f"{self.claims_per_batch:.1f} claims a batch\n"
            f"CPU a scan: service {self.service_cpu_us:.1f} µs, store {self.store_cpu_us:.1f} µs; "
            f"an empty aiohttp handler takes {self.empty_handler_cpu_us:.1f} µs a request here: "
            f"{self.service_cpu_us / self.empty_handler_cpu_us:.2f} and "
            f"{self.store_cpu_us / self.empty_handler_cpu_us:.2f} of it\n"
        )
        print_report(self.report)
        for fault in self.faults():
            typer.echo(f"fault: {fault}")
        typer.echo("all is as it should be" if not self.faults() else "it does NOT add up")


async def _spike(settings: Settings, scans: int, connections: int) -> Result:
    create_missing_keys(settings)
    table = keyring_of(settings).table()
    async with service(settings) as supervisor, opened(settings) as store:
        stories = await _stories(store, settings, table, scans)
        if not await supervisor.ready(READY_TIMEOUT_S):
            raise StoreUnavailableError("the workers did not become ready; the log says why")
        tally = Tally()
        before, began = _cpu(supervisor, settings), time.perf_counter()
        with progress_bar() as bar:
            task = bar.add_task("scanning", total=scans)
            await _drive(supervisor.settings, stories, tally, connections, lambda: bar.advance(task))
        seconds = time.perf_counter() - began
        service_s, store_s = (b - a for a, b in zip(before, _cpu(supervisor, settings), strict=True))
        claims, batches = (sum(row.get(name) for row in supervisor.rows) for name in ("claims", "batches"))
        report = await audit_ledger(store, table)
    done = tally.got.total()
    return Result(
        done,
        seconds,
        tally,
        service_s * 1e6 / done,
        store_s * 1e6 / done,
        await empty_handler_cpu_us(connections),
        claims / max(batches, 1),
        report,
    )


async def _stories(store: Store, settings: Settings, table: KeyTable, scans: int) -> list[Sequence[Step]]:
    """Who scans what: short stories, each told in order, all of them at once."""
    file = demo_campaign()
    await campaigns.apply(store, file, by=actor())
    kid = keyring_of(settings).minting_kid
    count = {name: scans * n // 100 for name, n in (("again", REPEATED), ("other", BY_ANOTHER))}
    forged, inactive = scans * FORGED // 100, scans * NOT_ACTIVE // 100
    codes = scans - sum(count.values()) - forged - inactive
    active_lot, inactive_lot = [
        await lots.register(
            store, by=actor(), kid=kid, size=size, product=DEMO_PRODUCT, campaign=file.campaign.id
        )
        for size in (codes, max(inactive, 1))
    ]
    await lots.activate(store, active_lot, by=actor(), first=0, last=codes - 1)

    dice = random.Random(2027)  # noqa: S311 (a spike that repeats, not a secret)
    members = [f"member-{n}" for n in range(MEMBERS)]
    stories: list[Sequence[Step]] = []
    for serial in range(codes):
        member, other = dice.sample(members, 2)
        code = to_text(table.seal(kid, active_lot, serial))
        story = [Step(member, code, "accepted")]
        if serial < count["again"]:
            story.append(Step(member, code, "replayed"))
        elif serial < count["again"] + count["other"]:
            story.append(Step(other, code, "claimed"))
        stories.append(story)
    stories += (
        [Step(dice.choice(members), to_text(dice.randbytes(15)), "unknown_code")] for _ in range(forged)
    )
    for serial in range(inactive):
        code = to_text(table.seal(kid, inactive_lot, serial))
        stories.append([Step(dice.choice(members), code, "not_active")])
    dice.shuffle(stories)
    return stories


async def _drive(
    settings: Settings,
    stories: Sequence[Sequence[Step]],
    tally: Tally,
    connections: int,
    advance: Callable[[], None],
) -> None:
    keys, now_s = token_keys_of(settings), int(time.time())
    tokens = {
        f"member-{n}": keys.issue(Member(f"member-{n}"), now_s=now_s, ttl_s=3600) for n in range(MEMBERS)
    }
    url = f"http://{settings.host}:{settings.port}/v1/scans"
    queue = iter(stories)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

        async def phone() -> None:
            for story in queue:
                first: bytes = b""
                for step in story:
                    body = orjson.dumps({"code": step.code, "channel": "demo"})
                    headers = {
                        "Authorization": f"Bearer {tokens[step.member]}",
                        "Content-Type": "application/json",
                    }
                    began = time.perf_counter()
                    async with session.post(url, data=body, headers=headers) as response:
                        answer = await response.read()
                    tally.latencies_s.append(time.perf_counter() - began)
                    _judge(tally, step, response.status, answer, first)
                    first = first or answer
                    advance()

        await asyncio.gather(*(phone() for _ in range(connections)))


def _judge(tally: Tally, step: Step, status: int, answer: bytes, first: bytes) -> None:
    """Holds an answer against the expected one, and a later answer against the first scan's."""
    data = orjson.loads(answer)
    outcome = "replayed" if data.get("replayed") else data["outcome"]
    tally.expected[step.outcome] += 1
    tally.got[outcome] += 1
    if outcome != step.outcome:
        wrong = True
    elif outcome == "replayed":
        wrong = answer.replace(b'"replayed":true', b'"replayed":false', 1) != first
    elif outcome == "claimed":
        wrong = data["first_scanned_at"] != orjson.loads(first)["scanned_at"]
    else:
        wrong = False
    if wrong and len(tally.wrong) < 5:
        tally.wrong.append(f"expected {step.outcome}, got {status} {answer.decode()}")


def _cpu(supervisor: Supervisor, settings: Settings) -> tuple[float, float]:
    """CPU seconds so far, user and system: of the workers, of the store."""
    store_pid = EmbeddedStore(settings.data_dir).pid
    if store_pid is None:
        raise ScannerError("the embedded store is gone")
    return sum(cpu_seconds(pid) for pid in supervisor.worker_pids), cpu_seconds(store_pid)
