"""The client: one process of its own that drives prepared requests, for every peer the same.

    python -m bench.compare.client

It reads jobs from standard input, each as its length in 8 bytes and then a pickle; answers ``ready``, waits
for a line, drives, and answers what came of it as a line of JSON. What it is given is in memory before it
says that it is ready, so nothing but driving is between the two looks at everybody's CPU.
"""

import gc
import json
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench.compare.process import ROOT, Address, CompareError, running, tail_of
from loadtests.errors import LoadTestError
from loadtests.generator import Outcome, drive


class Job(NamedTuple):
    """``rate`` is requests a second, or None for closed loop."""

    address: Address
    requests: Sequence[bytes]
    connections: int
    rate: float | None = None


class Driven(NamedTuple):
    """What came of a job. ``busy`` is the share of a core that the client used, ``late`` the share of the
    requests that it sent late because it lagged itself."""

    statuses: dict[str, int]
    failures: dict[str, int]
    seconds: float
    p50_us: int
    p99_us: int
    busy: float
    late: float

    @classmethod
    def of(cls, outcome: Outcome) -> "Driven":
        return cls(
            {str(status): n for status, n in outcome.statuses.items()},
            dict(outcome.failures),
            outcome.seconds,
            outcome.percentile_us(50),
            outcome.percentile_us(99),
            outcome.busy_share,
            outcome.late / max(outcome.requests, 1),
        )


class Client:
    """The client, from the side of whoever measures."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def drive(self, job: Job, begin: Callable[[], None] = lambda: None) -> Driven:
        """What came of the job. ``begin`` is called when all is ready, just before anything is sent."""
        assert self._process.stdin is not None
        data = pickle.dumps(job)
        self._process.stdin.write(len(data).to_bytes(8, "big") + data)
        await self._line()
        begin()
        self._process.stdin.write(b"go\n")
        answer = json.loads(await self._line())
        if "error" in answer:
            raise CompareError(answer["error"])
        return Driven(**answer)

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise CompareError(f"the client ended: {tail_of(self._log)}")
        return line


@asynccontextmanager
async def client(core: int | None, directory: Path) -> AsyncIterator[Client]:
    """A client on its core, for as long as the block runs."""
    arguments = [sys.executable, "-m", __name__]
    log = directory / "client.log"
    with log.open("wb") as file:
        async with running(
            arguments, core=core, log=file, directory=directory, stdout=PIPE,
            environment={"PYTHONPATH": str(ROOT)},
        ) as process:  # fmt: skip
            yield Client(process, log)


def main() -> None:
    """Works through jobs until standard input ends."""
    read = sys.stdin.buffer
    while length := read.read(8):
        job: Job = pickle.loads(read.read(int.from_bytes(length, "big")))
        gc.collect()
        gc.freeze()  # a collection need not walk the requests while answers come in
        print("ready", flush=True)
        read.readline()
        try:
            outcome = uvloop.run(drive(job.address, job.requests, connections=job.connections, rate=job.rate))
            answer = Driven.of(outcome)._asdict()
        except LoadTestError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
        gc.unfreeze()


if __name__ == "__main__":
    main()
