"""Faults at a chosen system call of the store: strace stands beside it, and does something at the n-th one.

It also tells what of the append-only file was synced: the store's own calls, in their order.
"""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

CALL = re.compile(r"^(?P<task>\d+) +(?:<\.\.\. )?(?P<call>write|fdatasync|fsync)(?:\(| resumed>)")
RESULT = re.compile(r"= (-?\d+)[^=]*$")
LET_GO_S = 10


def require_strace() -> None:
    """Skips the test where there is no strace; in CI that is a failure."""
    if shutil.which("strace") is None:
        text = "strace is not installed (apt-get install strace): no kill at a chosen system call"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


@asynccontextmanager
async def traced(
    pid: int, log: Path, *, inject: str = "", path: Path | None = None, calls: str = "write,fdatasync,fsync"
) -> AsyncIterator[None]:
    """Traces the process and its threads for as long as the block runs; ``log`` is whole after it.

    ``inject`` is strace's own, as ``fdatasync:signal=SIGKILL:when=3``; ``path`` counts and logs only calls on
    that file. Where the process ends the trace ends too.
    """
    options = ["-f", "-s", "0", "-o", str(log), "-e", f"trace={calls}"]
    options += ["-e", f"inject={inject}"] if inject else []
    options += ["-P", str(path)] if path else []
    strace = await asyncio.create_subprocess_exec(
        "strace", *options, "-p", str(pid), stderr=asyncio.subprocess.PIPE
    )
    assert strace.stderr is not None
    try:
        said = await strace.stderr.readline()
        assert b"attached" in said, f"strace: {said.decode()}"
        yield
    finally:
        with suppress(ProcessLookupError):
            strace.terminate()
        try:
            async with asyncio.timeout(LET_GO_S):
                await strace.communicate()
        except TimeoutError:  # it can wait for ever for a thread that was killed in its delay
            strace.kill()
            await strace.wait()


def unsynced_bytes(log: Path) -> int:
    """How many of the bytes at the end of the traced file were not synced when the trace ended.

    A sync covers what was written before it began, and only one that came back counts. What was written
    before the trace is taken to be synced, and so is a write that the process did not survive: what is called
    unsynced is so for certain.
    """
    written = synced = 0
    began: dict[str, int] = {}
    for line in log.read_text().splitlines():
        if not (call := CALL.match(line)):
            continue
        task, is_sync = call["task"], call["call"] != "write"
        if is_sync and "resumed>" not in line:
            began[task] = written
        if line.endswith("<unfinished ...>") or not (result := RESULT.search(line)):
            continue
        if is_sync and int(result[1]) == 0:
            synced = max(synced, began.get(task, 0))
        elif not is_sync:
            written += max(0, int(result[1]))
    return written - synced
