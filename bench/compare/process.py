"""A process of the comparison: started on its core, asked for its CPU, ended for certain."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import psutil

from bench.compare.cores import on_core

LOG = "service.log"
ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60  # of a machine that others use too
END_TIMEOUT_S = 20
POLL_S = 0.02
_WARNING = re.compile(r" WARNING |pure Python")
_ADDRESS = re.compile(rb"http://(127\.0\.0\.1):(\d+)")

Address = tuple[str, int]


class CompareError(Exception):
    """The comparison cannot go on, or a peer fell short; the message says which and how."""


@asynccontextmanager
async def running(
    arguments: Sequence[str | Path],
    *,
    core: int | None,
    log: IO[bytes],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
) -> AsyncIterator[Process]:
    """The process for as long as the block runs; then told to end, and made to where it does not.

    It leads a process group of its own: Ctrl-C in a terminal is for us, and we end it. Its standard input is
    a pipe.
    """
    with on_core(core):
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=PIPE,
            stdout=stdout if stdout is not None else log,
            stderr=log,
            cwd=directory,
            env=_environment(environment or {}),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _end(process)


async def output_of(arguments: Sequence[str | Path], directory: Path) -> tuple[int, str]:
    """Runs a command to its end: its exit code, and what it printed, errors included."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=DEVNULL, stdout=PIPE, stderr=asyncio.subprocess.STDOUT, cwd=directory
    )
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode(errors="replace").strip()


async def address_of(process: Process, log: Path) -> Address:
    """Where the process serves: the first address in its log, once somebody answers there.

    Raises:
        CompareError: it ended, or it takes too long; its log says why.
    """
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while process.returncode is None:
                address = _address_in(log)
                if address is not None and await _listens(address):
                    return address
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        pass
    raise CompareError("it does not serve")


def _address_in(log: Path) -> Address | None:
    found = _ADDRESS.search(log.read_bytes())
    return (found[1].decode(), int(found[2])) if found else None


def warnings_in(log: Path) -> list[str]:
    """What a service warned of, each once: such as that it runs without its native parts."""
    lines = log.read_text(errors="replace").splitlines()
    said = (line.rpartition(" WARNING ")[2] for line in lines if _WARNING.search(line))
    return list(dict.fromkeys(said))


def tail_of(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-600:] or "its log is empty"


def cpu_seconds(pid: int) -> float:
    """CPU of a process and all below it, user and system, those that ended and were waited for included.

    CompareError if there is no such process.
    """
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        raise CompareError(f"process {pid} is gone") from None
    seconds = 0.0
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, without the settings of a developer's own service."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCANNER_")}
    return {**inherited, **more}


async def _listens(address: Address) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except OSError:
        return False
    writer.close()
    return True


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            print(f"process {process.pid} did not end and is killed", file=sys.stderr)
    with contextlib.suppress(ProcessLookupError):  # whoever is left of its group
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
