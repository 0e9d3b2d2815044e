"""Reading without Python: what the documentation shows is run as it stands there."""

import asyncio
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scanner.ledger.acl import user_line
from scanner.ledger.embedded import EmbeddedStore
from scanner.queue.events import Event, event_of
from scanner.queue.tail import tail
from tests.brand import POINTS, Brand, brand_in, campaign_toml
from tests.queue.npm import missing, node, packages_of
from tests.running import PATIENCE_S, eventually

ROOT = Path(__file__).parents[2]
NODE = ROOT / "examples" / "read_with_node"
SCANS = 300
KILLS = 4
BETWEEN = "----"


def recipes(language: str) -> list[str]:
    """The blocks of that language in the page of the events, as they stand there."""
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


async def scanned(brand: Brand, first: int, count: int) -> None:
    """So many accepted scans, of ten members."""
    scanner = brand.scanner()
    codes = brand.codes(1, range(first, first + count))
    answers = await asyncio.gather(*(scanner.scan(f"m{n % 10}", code) for n, code in enumerate(codes)))
    assert {answer["outcome"] for answer in answers} == {"accepted"}


@pytest.fixture
async def brand(tmp_path: Path) -> AsyncIterator[Brand]:
    """In the directory in which a recipe is run, where a service would have its store, too."""
    async with brand_in(tmp_path / ".scanner") as brand:
        await brand.apply(campaign_toml(pools=POINTS))
        assert await brand.lot(10_000) == 1
        yield brand


async def shell(blocks: list[str], directory: Path, **environment: str) -> list[list[str]]:
    """What a shell prints for each of them, run one after the other as if typed; all must succeed."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-eu", "-c", f"echo {BETWEEN}\n".join(blocks)),
        cwd=directory,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return [part.strip().splitlines() for part in out.decode().split(BETWEEN)]


@pytest.mark.parametrize("user", ["", "scanner-reader"])
async def test_redis_cli(brand: Brand, tmp_path: Path, user: str) -> None:
    """As whoever may do everything, and as a user of the role ``reader``."""
    if not shutil.which("redis-cli"):
        missing("redis-cli is missing: apt-get install redis-tools")
    await scanned(brand, 0, 20)
    events = [event async for event in tail(brand.store.client, brand.store.keys.events)]
    blocks = recipes("sh")
    if user:
        await add_reader(brand, user, "secret")
        blocks[0] = blocks[0].replace('"$@"', f'--no-auth-warning --user {user} --pass secret "$@"')
    _, made, read, acknowledged, pending, taken, groups = await shell(blocks, tmp_path, idle_ms="0")
    assert made == ["OK"]
    [[key, entries]] = json.loads("".join(read)).items()
    assert key == brand.store.keys.events
    assert [read_entry(entry) for entry in entries] == events[:10]
    assert acknowledged == ["1"]
    assert pending[:3] == ["10", events[0].entry, events[9].entry]
    _, left, *_ = json.loads("".join(taken))
    assert [read_entry(entry) for entry in left] == events[:10]
    [group] = json.loads("".join(groups))
    assert (group["name"], group["pending"], group["lag"]) == ("points", 10, len(events) - 11)


async def add_reader(brand: Brand, user: str, password: str) -> None:
    line = user_line("reader", user, hashlib.sha256(password.encode()).hexdigest(), brand.store.keys)
    _, name, *rules = line.split()
    await brand.store.client.execute_command("ACL", "SETUSER", name, "reset", *rules)


def read_entry(entry: tuple[str, list[str]]) -> Event:
    id, flat = entry
    return event_of(id, dict(zip(flat[::2], flat[1::2], strict=True)))


async def test_redis_cli_says_that_a_group_is_there(brand: Brand, tmp_path: Path) -> None:
    if not shutil.which("redis-cli"):
        missing("redis-cli is missing: apt-get install redis-tools")
    first, second = recipes("sh")[:2]
    with pytest.raises(AssertionError, match="BUSYGROUP"):
        await shell([first, second, second], tmp_path)


class Reader:
    """The example, as a process."""

    def __init__(self, brand: Brand, directory: Path, name: str) -> None:
        self.path = directory / f"{name}.jsonl"
        self._store = EmbeddedStore(brand.settings.data_dir).url
        self._command = shlex.join(["exec", node(), "read.mjs", "points", name, str(self.path)])
        self._directory = directory
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, command: str = "", **more: str) -> None:
        environment = {"SCANNER_STORE_URL": self._store, **more}
        with (self._directory / "errors").open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *("sh", "-eu", "-c", command or self._command),
                cwd=self._directory,
                env=os.environ | environment,
                stderr=errors,
            )

    def errors(self) -> str:
        return (self._directory / "errors").read_text("utf-8")

    async def says(self, words: str) -> None:
        async def is_said() -> bool:
            return words in self.errors()

        await eventually(is_said)

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        assert self.process is not None
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """What it wrote, but for a line that is not whole."""
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]


@asynccontextmanager
async def readers(brand: Brand, directory: Path, *names: str) -> AsyncIterator[list[Reader]]:
    """In a directory with the packages in reach; none is left behind."""
    (directory / "node_modules").symlink_to(packages_of(NODE))
    shutil.copy(NODE / "read.mjs", directory)
    found = [Reader(brand, directory, name) for name in names]
    try:
        yield found
    finally:
        for reader in found:
            if reader.process is not None and reader.process.returncode is None:
                await reader.end(signal.SIGKILL)


async def expected(brand: Brand) -> Counter[str]:
    return Counter([event.key async for event in tail(brand.store.client, brand.store.keys.events)])


def keys_of(*all: Reader) -> Counter[str]:
    return Counter(line["key"] for reader in all for line in reader.lines())


async def test_the_reader_in_node_writes_each_event_once_however_often_it_is_killed(
    brand: Brand, tmp_path: Path
) -> None:
    async with readers(brand, tmp_path, "r") as [reader]:
        for n in range(KILLS):
            seen = sum(keys_of(reader).values())

            async def goes_on(seen: int = seen) -> bool:
                return sum(keys_of(reader).values()) > seen

            await reader.start()
            scans = asyncio.create_task(scanned(brand, n * SCANS, SCANS))
            await eventually(goes_on)
            assert await reader.end(signal.SIGKILL) == -signal.SIGKILL
            await scans
        with reader.path.open("ab") as file:
            file.write(b'{"key":"cut sho')  # as a kill in the middle of a write would leave it
        await reader.start()
        # All others may be written already: by one more it is known that this life of it reads.
        await scanned(brand, KILLS * SCANS, 1)
        due = await expected(brand)

        async def is_done() -> bool:
            return len(keys_of(reader)) >= len(due)

        await eventually(is_done)
        assert await reader.end(signal.SIGTERM) == 0
        assert keys_of(reader) == due
        assert set(due.values()) == {1}
        points = {line["points"] for line in reader.lines() if line["type"] == "scan.accepted"}
        assert points == {50}
        pending = await brand.store.client.execute_command("XPENDING", brand.store.keys.events, "points")
        assert pending["pending"] == 0


async def test_what_a_dead_reader_has_left_is_taken_over(brand: Brand, tmp_path: Path) -> None:
    await scanned(brand, 0, SCANS)
    client, stream = brand.store.client, brand.store.keys.events
    await client.execute_command("XGROUP", "CREATE", stream, "points", "0")
    for count in (SCANS // 2, 1):  # the dead one has read these, and done nothing
        await client.execute_command(
            *("XREADGROUP", "GROUP", "points", "dead", "COUNT", count, "STREAMS", stream, ">")
        )
    async with readers(brand, tmp_path, "alive") as [reader]:
        await reader.start(TAKE_OVER_MS="50")
        due = await expected(brand)

        async def is_done() -> bool:
            return len(keys_of(reader)) >= len(due)

        await eventually(is_done)
        assert await reader.end(signal.SIGINT) == 0
        assert keys_of(reader) == due


async def test_the_reader_in_node_is_started_as_the_pages_say(brand: Brand, tmp_path: Path) -> None:
    """Their commands, in the directory that they are for; only the packages are there already."""
    shown = [
        re.findall(r"^\$ (.*read\.mjs.*|export .*)$", page.read_text("utf-8"), re.MULTILINE)
        for page in (ROOT / "docs" / "events.md", NODE / "README.md")
    ]
    [export, start] = shown[0]
    assert shown[0] == shown[1]
    place = tmp_path / "examples" / "read_with_node"
    place.mkdir(parents=True)
    async with readers(brand, place, "reader-1") as [reader]:
        reader.path = place / "points.jsonl"
        await reader.start(f"{export}\nexec {start}")
        due = await expected(brand)

        async def is_done() -> bool:
            return keys_of(reader) == due

        await eventually(is_done)
        assert await reader.end(signal.SIGTERM) == 0


async def test_a_reader_without_a_store_ends_when_it_is_told_to(brand: Brand, tmp_path: Path) -> None:
    async with readers(brand, tmp_path, "r") as [reader]:
        await reader.start(SCANNER_STORE_URL=f"unix://{tmp_path}/nobody.sock")
        await reader.says("nobody.sock")
        assert await reader.end(signal.SIGTERM) == 0
        assert "Node.js v" not in reader.errors()  # as behind each stack trace


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [([], 2, "usage: "), (["points", "r"], 2, "usage: "), (["points", "r", "/"], 1, "/ cannot be used: ")],
)
async def test_what_a_reader_cannot_do_is_said_in_one_line(
    brand: Brand, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    async with readers(brand, tmp_path, "r") as [reader]:
        await reader.start(shlex.join(["exec", "node", "read.mjs", *arguments]))
        assert await reader.ended() == code
        assert reader.errors().startswith(said)
        assert reader.errors().count("\n") == 1


async def test_control_a_reader_that_acknowledges_first_loses_events(brand: Brand, tmp_path: Path) -> None:
    """The same check must find a reader that is wrong."""
    async with readers(brand, tmp_path, "r") as [reader]:
        program = tmp_path / "read.mjs"
        right = "  await write(["
        wrong = """  if (done.length) {
    await redis.xack(stream, group, ...done);
    process.kill(process.pid, "SIGKILL");
  }
"""
        text = program.read_text("utf-8")
        assert text.count(right) == 1
        program.write_text(text.replace(right, wrong + right), "utf-8")
        await scanned(brand, 0, 10)
        await reader.start()
        assert await reader.ended() == -signal.SIGKILL
        program.write_text(text, "utf-8")
        await scanned(brand, 10, 1)
        await reader.start()

        async def goes_on() -> bool:
            return bool(keys_of(reader))

        await eventually(goes_on)
        assert await reader.end(signal.SIGTERM) == 0
        assert len(await expected(brand) - keys_of(reader)) >= 10
