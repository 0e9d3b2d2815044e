"""docs/tutorial.md as a new user follows it: commands do what it says, snippets are lines of the file."""

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

PROJECT = Path(__file__).parents[2]
TUTORIAL = (PROJECT / "docs" / "tutorial.md").read_text("utf-8")
SERVICE = (PROJECT / "examples" / "points_service" / "service.py").read_text("utf-8")
ANSWERS_WITHIN_S, ASKED_AGAIN_AFTER_S = 60, 0.5


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", blocks("python"))
def test_the_lines_that_are_shown_are_the_services_own(snippet: str) -> None:
    assert f"\n{snippet}" in SERVICE


def test_all_of_the_snippets_were_found() -> None:
    assert len(blocks("python")) >= 5


class Step(NamedTuple):
    """A command, and what the page says that it prints; ``…`` stands for anything."""

    command: str
    printed: str

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(".*?".join(re.escape(part) for part in self.printed.split("…")), re.DOTALL)


def steps() -> Iterator[Step]:
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield Step(command, printed.strip())


class Terminal:
    """A shell that commands are typed into."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count()
        self._screen = ""
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(65536):
            self._screen += data.decode()
            self._changed.set()

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def shows(self, pattern: re.Pattern[str], since: int, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                while not pattern.search(self._screen, since):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def does(self, step: Step) -> None:
        """Types the command and waits for what it prints. Who asks the service asks again, as a person would
        who is faster than it."""
        since = len(self._screen)
        self.type(step.command)
        asks = step.command.startswith("curl ")
        for _ in range(round(ANSWERS_WITHIN_S / ASKED_AGAIN_AFTER_S) if asks else 1):
            patience_s = ASKED_AGAIN_AFTER_S if asks else ANSWERS_WITHIN_S
            if await self.shows(step.pattern, since, patience_s):
                break
            self.type(step.command)
        else:
            raise AssertionError(f"$ {step.command}\n{self._screen[since:]}\nis not\n{step.printed}")
        if not step.command.endswith("&"):
            mark = f"done-{next(self._numbers)}"
            self.type(f"echo {mark}")
            assert await self.shows(re.compile(mark), since, ANSWERS_WITHIN_S)

    async def close(self) -> str:
        """Ends what was started in it, and returns all that was shown."""
        self.type("kill $(jobs -p); wait; exit 0")
        await self._process.wait()
        await self._reading
        return self._screen


@asynccontextmanager
async def terminal(directory: Path, **environment: str) -> AsyncIterator[Terminal]:
    process = await asyncio.create_subprocess_exec(
        "bash",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=directory,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
    )
    shell = Terminal(process)
    try:
        yield shell
    finally:
        await shell.close()


def free_ports(n: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


async def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    scanner, operations, points = free_ports(3)
    async with terminal(
        tmp_path, SCANNER_PORT=scanner, SCANNER_OPS_PORT=operations, POINTS_PORT=points
    ) as shell:
        for step in steps():
            there = [text.replace(":8080", f":{scanner}").replace(":8090", f":{points}") for text in step]
            await shell.does(Step(*there))


def test_a_page_that_says_something_else_is_noticed() -> None:
    assert Step("", '{"id": "bob", "points": 150,…').pattern.search(
        '{"id": "bob", "points": 150, "scans": 3}'
    )
    assert not Step("", '{"id": "bob", "points": 150,…').pattern.search(
        '{"id": "bob", "points": 300, "scans": 3}'
    )


def test_what_the_page_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)", TUTORIAL):
        assert (PROJECT / "docs" / target).exists(), target
