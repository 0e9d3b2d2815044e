"""Several generator processes that begin together, each with its share."""

import asyncio
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from dataclasses import replace

import orjson

from loadtests.errors import LoadTestError
from loadtests.generator.share import Findings, Orders
from loadtests.processes import python

LINE_BYTES_MAX = 64 << 20  # the histograms of a long run travel in one line
SHARE = ("-m", "loadtests.generator.share")
PIPES: dict[str, int] = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE, "limit": LINE_BYTES_MAX}
SPARE_S, SPARE_S_A_REQUEST = 60, 50e-6  # to start, to sort the latencies and to end, beyond the run itself


async def generate_together(orders: Orders, processes: int) -> tuple[Findings, list[str]]:
    """Runs so many processes; what they found together, and the files with the acknowledged scan_ids.

    Raises:
        LoadTestError: a process could not do its share.
    """
    shares = [
        replace(orders, no=no, of=processes, acknowledged=f"{orders.acknowledged}.{no}")
        for no in range(processes)
    ]
    timeout_s = orders.seconds_max + SPARE_S + SPARE_S_A_REQUEST * orders.requests
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(timeout_s):
            running = [await stack.enter_async_context(python(*SHARE, **PIPES)) for _ in shares]
            await asyncio.gather(*(_prepare(*pair) for pair in zip(running, shares, strict=True)))
            for process in running:
                tell(process, b"go\n")
            together, *others = await asyncio.gather(*(_findings(process) for process in running))
    except TimeoutError:
        raise LoadTestError("the generator's processes did not end in time") from None
    for other in others:
        together.merge(other)
    return together, [share.acknowledged for share in shares]


async def _prepare(process: Process, share: Orders) -> None:
    tell(process, share.dump())
    await line_of(process)


def tell(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)


async def _findings(process: Process) -> Findings:
    return Findings.load(orjson.loads(await line_of(process)))


async def line_of(process: Process) -> bytes:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        assert process.stderr is not None
        said = (await process.stderr.read()).decode(errors="replace").strip()
        raise LoadTestError(said.splitlines()[-1] if said else "a generator process ended without a word")
    return line
