"""One run against the target: generator processes that begin together, and the workers' meters meanwhile."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NamedTuple

import orjson
import psutil

from loadtests.errors import LoadTestError
from loadtests.generator.together import PIPES, line_of, tell
from loadtests.overload.records import FOUND_NO_CONNECTION, End, Records
from loadtests.overload.service import Target
from loadtests.overload.share import About, Orders, Phase
from loadtests.processes import python
from scanner.cli.yardstick import cpu_seconds

SHARE = ("-m", "loadtests.overload.share")
SAMPLE_EVERY_S = 0.05
SPARE_S = 60.0  # to open the connections, to write the records, to end
# More codes than requests are due on average: chance may bring more.
CODES_SHARE, CODES_SPARE = 1.05, 300


@dataclass(frozen=True)
class Load:
    """How a load is sent, whatever its rate."""

    connections: int
    processes: int
    timeout_s: float
    evenly: bool


class Sample(NamedTuple):
    """The workers' meters: seconds since the run began, CPU in seconds, memory, claims that wait."""

    at_s: float
    cpu_s: float
    rss_bytes: int
    waiting: int


@dataclass
class Run:
    """What came of a run. ``busy_share`` is how much of a core each generator used."""

    records: Records = field(default_factory=Records)
    samples: list[Sample] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    busy_share: float = 0.0
    worker_died: bool = False

    @property
    def wrong_count(self) -> int:
        return sum(byte & ~FOUND_NO_CONNECTION == End.WRONG for byte in self.records.ends)


async def open_loop(target: Target, load: Load, phases: Sequence[Phase], *, seed: int) -> Run:
    """Sends at the phases' rates, one after the other, and waits for the answers to all of it."""
    due = sum(phase.rate * phase.seconds for phase in phases)
    seconds = sum(phase.seconds for phase in phases)
    return await _run(target, load, phases, seconds, int(due * CODES_SHARE) + CODES_SPARE, seed)


async def closed_loop(target: Target, load: Load, *, seconds: float, codes: int) -> Run:
    """Each connection sends as soon as it is answered, for so long or until the codes are used up."""
    return await _run(target, load, (), seconds, codes, seed=0)


async def _run(
    target: Target, load: Load, phases: Sequence[Phase], seconds: float, codes: int, seed: int
) -> Run:
    file = await target.codes(codes)
    await target.calm()
    file_no = len(target.acknowledged)
    orders = Orders(
        address=target.own.address, codes=str(file), tokens=str(target.own.tokens_file), records="",
        acknowledged="", connections=load.connections, phases=phases, seconds=seconds,
        timeout_s=load.timeout_s, evenly=load.evenly, seed=seed, of=load.processes,
    )  # fmt: skip
    shares = [
        replace(
            orders,
            no=no,
            records=str(target.directory / f"records.{no}"),
            acknowledged=str(target.directory / f"accepted.{file_no + no}"),
        )
        for no in range(load.processes)
    ]
    run = Run()
    pids = target.own.supervisor.worker_pids
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(seconds + 2 * load.timeout_s + SPARE_S):
                running = [await stack.enter_async_context(python(*SHARE, **PIPES)) for _ in shares]
                for process, share in zip(running, shares, strict=True):
                    tell(process, share.dump())
                    await line_of(process)
                for process in running:
                    tell(process, b"go\n")
                began = [float((await line_of(process)).split()[1]) for process in running]
                sampling = asyncio.create_task(_sample(target, run.samples, began[0]))
                try:
                    said = [About(**orjson.loads(await line_of(process))) for process in running]
                finally:
                    sampling.cancel()
        except TimeoutError:
            raise LoadTestError("the generator's processes did not end in time") from None
    for share, about in zip(shares, said, strict=True):
        path = target.directory / f"records.{share.no}"
        run.records.extend(Records.read(path))
        run.wrong += about.wrong
        run.seconds = max(run.seconds, about.seconds)
        target.acknowledged.append(target.directory / f"accepted.{file_no + share.no}")
    run.busy_share = sum(about.cpu_s for about in said) / sum(about.seconds for about in said)
    run.worker_died = target.own.supervisor.worker_pids != pids
    return run


async def _sample(target: Target, samples: list[Sample], began_s: float) -> None:
    """Reads the meters until it is cancelled. All processes of a machine share the clock."""
    while True:
        try:
            pids = target.own.supervisor.worker_pids
            cpu_s = sum(cpu_seconds(pid) for pid in pids)
            rss = sum(psutil.Process(pid).memory_info().rss for pid in pids)
        except psutil.NoSuchProcess:
            pass  # a worker has just died; the run says so
        else:
            samples.append(Sample(perf_counter() - began_s, cpu_s, rss, target.waiting))
        await asyncio.sleep(SAMPLE_EVERY_S)
