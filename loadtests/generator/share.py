"""One generator process: its share of the requests, of the rate and of the connections.

It reads its orders as a line of JSON, says ``ready``, begins at the next line, and prints what came of it.
"""

import asyncio
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import orjson
import uvloop

from loadtests.answers import FIRST, TRY_AGAIN, told_at_a_glance
from loadtests.errors import LoadTestError
from loadtests.generator.curve import due_times
from loadtests.generator.drive import drive
from loadtests.generator.outcome import Outcome
from loadtests.generator.scans import scan_requests
from loadtests.generator.target import Address
from loadtests.lines import read_lines

WRONG_SHOWN = 5
SPARE_FILES = 64


@dataclass(frozen=True)
class Orders:
    """What all processes do together, and which share of it this one has: number ``no`` of ``of``.

    Arrivals are ``rate`` a second, or those of ``curve``, or neither for closed loop. ``acknowledged`` is the
    file that the scan_ids of accepted scans go to.
    """

    address: Address
    codes: str
    tokens: str
    acknowledged: str
    requests: int
    connections: int
    rate: float | None
    curve: list[int] | None
    timeout_s: float
    seconds_max: float
    i_own_this_host: bool
    no: int = 0
    of: int = 1

    def at(self, address: Address, codes: Path, tokens: Path, acknowledged: Path) -> "Orders":
        """The same for this service and these files."""
        return replace(
            self, address=address, codes=str(codes), tokens=str(tokens), acknowledged=str(acknowledged)
        )

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def load(cls, line: str) -> "Orders":
        data = orjson.loads(line)
        return cls(**{**data, "address": tuple(data["address"])})


@dataclass
class Findings:
    """What the processes found together. ``wrong`` holds the first few answers that were not to be."""

    outcome: Outcome
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong_count: int = 0
    wrong: list[str] = field(default_factory=list)

    def merge(self, other: "Findings") -> None:
        self.outcome.merge(other.outcome)
        self.outcomes += other.outcomes
        self.wrong_count += other.wrong_count
        self.wrong = [*self.wrong, *other.wrong][:WRONG_SHOWN]

    def dump(self) -> dict[str, Any]:
        return {**vars(self), "outcome": self.outcome.dump()}

    @classmethod
    def load(cls, data: dict[str, Any]) -> "Findings":
        return cls(
            Outcome.load(data["outcome"]), Counter(data["outcomes"]), data["wrong_count"], data["wrong"]
        )


class _Judge:
    """Looks at every answer, and keeps what the ledger will be held against."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.wrong_count = 0
        self.wrong: list[str] = []

    def __call__(self, index: int, status: int, body: bytes) -> None:
        outcome, scan_id = told_at_a_glance(status, body)
        self.outcomes[outcome] += 1
        if outcome in FIRST:
            self.accepted.append(scan_id)
        elif outcome not in TRY_AGAIN:
            self.wrong_count += 1
            if len(self.wrong) < WRONG_SHOWN:
                self.wrong.append(f"expected accepted, got {status} {body[:300].decode(errors='replace')}")


async def generate(orders: Orders) -> tuple[Findings, list[str]]:
    """Does this process's share: what it found, and the scan_ids that it was told are accepted."""
    codes = read_lines(Path(orders.codes), "codes")[: orders.requests]
    requests = scan_requests(
        codes, read_lines(Path(orders.tokens), "tokens"), start=orders.no, step=orders.of
    )
    due_s: Iterator[float] | None = None
    if orders.curve is not None:
        due_s = islice(due_times(orders.curve), orders.no, None, orders.of)
    elif orders.rate is not None:
        rate = orders.rate
        due_s = (n / rate for n in count(orders.no, orders.of))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not await asyncio.to_thread(sys.stdin.readline):  # all begin together
        raise LoadTestError("whoever gave the orders is gone")
    judge = _Judge()
    outcome = await drive(
        orders.address,
        requests,
        connections=max(1, orders.connections // orders.of),
        rate=due_s,
        on_answer=judge,
        timeout_s=orders.timeout_s,
        seconds_max=orders.seconds_max,
        i_own_this_host=orders.i_own_this_host,
    )
    return Findings(outcome, judge.outcomes, judge.wrong_count, judge.wrong), judge.accepted


def allow_connections(connections: int) -> None:
    """Raises this process's limit of open files. LoadTestError where the machine's does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LoadTestError(
            f"{connections:,} connections a process need {needed:,} open files, and the limit is {hard:,}: "
            "raise it (ulimit -Hn), or use more processes"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main() -> None:
    """Exit code 1, and what is wrong on standard error, where it cannot be done."""
    try:
        orders = Orders.load(sys.stdin.readline())
        allow_connections(orders.connections // orders.of)
        findings, accepted = uvloop.run(generate(orders))
    except LoadTestError as error:
        sys.exit(str(error))
    Path(orders.acknowledged).write_text("\n".join([*accepted, ""]), "ascii")
    sys.stdout.buffer.write(orjson.dumps(findings.dump(), option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
