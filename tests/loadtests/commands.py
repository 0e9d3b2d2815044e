"""``python -m loadtests`` as a person runs it: a process, its exit code, and what it printed."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from loadtests.processes import python

TIMEOUT_S = 120


class Done(NamedTuple):
    code: int | None
    output: str
    directory: Path

    @property
    def summary(self) -> dict[str, Any]:
        return orjson.loads((self.directory / "summary.json").read_bytes())

    @property
    def failed(self) -> list[str]:
        return [gate["gate"] for gate in self.summary["gates"] if not gate["holds"]]


async def loadtests(directory: Path, *arguments: str) -> Done:
    """Runs the command with its report in the directory."""
    options = ("--report-dir", str(directory)) if arguments[0] != "curve" else ()
    async with (
        asyncio.timeout(TIMEOUT_S),
        python("-m", "loadtests", *arguments, *options, stdout=PIPE, stderr=STDOUT) as process,
    ):
        output, _ = await process.communicate()
    return Done(process.returncode, output.decode(), directory)
