"""scanner run and scanner demo, as a new user types them."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from scanner.cli.demo import Result, Step, Tally, _judge
from scanner.ledger.audit import AuditReport


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scanner", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "SCANNER_OPS_PORT": "0", **environment},
    )


async def curl_line(process: asyncio.subprocess.Process) -> str:
    while line := (await process.stdout.readline()).decode():
        if line.startswith("curl "):
            return line.strip()
    raise AssertionError((await process.stderr.read()).decode())


async def paste(line: str) -> dict[str, object]:
    """Runs the line in a shell where curl is installed, else sends what it says."""
    if shutil.which("curl"):
        shell = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
        return orjson.loads((await shell.communicate())[0])
    words = shlex.split(line)
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    async with (
        ClientSession() as session,
        session.post(words[2], headers=headers, data=words[words.index("-d") + 1]) as response,
    ):
        return await response.json(content_type=None)


async def test_the_curl_line_works_when_pasted_in_this_run_and_the_next(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        process = await start("--data-dir", str(tmp_path / "data"), "run", "--port", "0")
        line = await curl_line(process)
        first, again = await paste(line), await paste(line)
        assert (first["outcome"], first["replayed"]) == ("accepted", False)
        assert again == {**first, "replayed": True}
        seen.append(first["scan_id"])
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert len(set(seen)) == 2, "the second run must offer a code that was not claimed"
    codes = (tmp_path / "data" / "demo-codes-1.txt").read_text().split()
    assert len(set(codes)) == 100


async def test_run_does_not_touch_a_store_of_ones_own(tmp_path: Path) -> None:
    process = await start("--data-dir", str(tmp_path), "run", SCANNER_STORE_URL="redis://127.0.0.1:1")
    _, error = await process.communicate()
    assert process.returncode == 1
    assert b"scanner serve" in error


async def test_a_demo_adds_up(tmp_path: Path) -> None:
    process = await start("demo", "--scans", "1000", "--connections", "16", "--workers", "2", "--json")
    output, error = await process.communicate()
    assert process.returncode == 0, error
    data = orjson.loads(output)
    assert data["faults"] == []
    assert data["audit"]["adds_up"]
    assert data["audit"]["draws_recomputed"]
    outcomes = {name: n["got"] for name, n in data["outcomes"].items()}
    assert outcomes == {
        "accepted": 800,
        "replayed": 80,
        "claimed": 60,
        "unknown_code": 40,
        "not_active": 20,
    }
    assert data["service_cpu_us_per_scan"] > 0
    assert data["store_cpu_us_per_scan"] > 0
    assert data["empty_handler_cpu_us_per_request"] > 0


@pytest.mark.parametrize(
    ("outcome", "answer", "first"),
    [
        ("accepted", b'{"outcome":"claimed"}', b""),
        (
            "replayed",
            b'{"outcome":"accepted","replayed":true,"a":1}',
            b'{"outcome":"accepted","replayed":false,"a":2}',
        ),
        ("claimed", b'{"outcome":"claimed","first_scanned_at":"x"}', b'{"scanned_at":"y"}'),
    ],
)
def test_control_a_demo_that_does_not_add_up_says_so(outcome: str, answer: bytes, first: bytes) -> None:
    tally = Tally()
    _judge(tally, Step("m", "c", outcome), 200, answer, first)
    assert tally.wrong
    assert Result(1, 1.0, tally, 1.0, 1.0, 1.0, 1.0, AuditReport()).faults()


def test_control_a_ledger_with_another_count_is_a_fault() -> None:
    tally = Tally(expected=Counter(accepted=2), got=Counter(accepted=2), latencies_s=[0.1, 0.1])
    assert Result(2, 1.0, tally, 1.0, 1.0, 1.0, 1.0, AuditReport(claims=2)).faults() == []
    assert Result(2, 1.0, tally, 1.0, 1.0, 1.0, 1.0, AuditReport(claims=1)).faults()
