"""The side-by-side comparison: each peer really does the job, and one that does not is found out."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.compare import __main__ as command
from bench.compare.brand import Brand
from bench.compare.checks import check_answers, check_ledger
from bench.compare.client import client
from bench.compare.cores import usable_cores
from bench.compare.node import UnavailableError
from bench.compare.peers import FASTAPI, PEERS, Peer, Place, fastapi_from
from bench.compare.process import ROOT, CompareError
from bench.compare.turn import Rig, Size, turn
from tests.running import eventually

SIZE = Size(warm=16, closed=96, open_s=0.5, alone=5, forged=96, connections=8)
RATE_PER_S = 40.0


@pytest.fixture(scope="module")
def compared() -> Brand:
    return Brand(int(time.time()))


def place_of(brand: Brand, directory: Path, codes: int = 10) -> Place:
    return Place(brand, codes, usable_cores(), directory)


@pytest.mark.parametrize("name", PEERS)
async def test_a_peer_does_the_job_and_every_part_of_it_is_measured(
    name: str, compared: Brand, tmp_path: Path
) -> None:
    cores = usable_cores()
    async with client(cores.others, tmp_path) as driving:
        try:
            figures = await turn(PEERS[name], Rig(compared, cores, driving, SIZE), tmp_path, RATE_PER_S)
        except UnavailableError as error:
            pytest.skip(f"{name} cannot run here: {error}")
    measured = {"service_us", "throughput_per_s", "open_service_us", "open_p50_ms", "open_p99_ms"}
    measured |= {"alone_p50_us", "client_busy_share", "service_busy_share", "open_kept_share"}
    measured |= {"open_late_share"}
    if name != "empty":
        measured |= {"store_us", "open_store_us", "forged_service_us", "forged_store_us"}
        measured |= {"forged_commands", "forged_looks"}
    if name == "scanner":
        measured |= {"claims_per_batch"}
        assert figures["claims_per_batch"] >= 1
    assert set(figures) == measured
    assert all(figures[name] > 0 for name in ("throughput_per_s", "open_p50_ms", "alone_p50_us"))


def broken(directory: Path, name: str, right: str, wrong: str) -> Peer:
    """FastAPI's program with one bug in one of its files."""
    copy = directory / "copy"
    shutil.copytree(FASTAPI.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / name).read_text()
    assert text.count(right) == 1, "the line that the bug replaces is not there any more"
    (copy / name).write_text(text.replace(right, wrong))
    return Peer("broken", fastapi_from(copy / FASTAPI.name))


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet has ended too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_peer_that_accepts_twice_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = broken(tmp_path, "service.py", "    if not is_first:\n", "    if not is_first and False:\n")
    monkeypatch.setitem(PEERS, "fastapi", peer)
    assert command.main(["--quick", "--only", "fastapi"]) == 1
    said = capsys.readouterr().err
    assert "fastapi: the same code from the same member was answered accepted, not replayed" in said


def test_a_peer_that_was_asked_for_and_cannot_run_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert command.main(["--quick", "--only", "fastify"]) == 1
    said = capsys.readouterr().err
    assert "fastify is skipped: node or npm is missing: install Node.js" in said


@pytest.mark.parametrize(
    ("name", "right", "wrong", "found"),
    [
        ("service.py", "CODES.serial_of(body.code)", "CODES.serial_of(body.code) or 7", "a forged code was"),
        ("service.py", "claims = jwt.decode(", "claims = jwt.decode_complete(", "a genuine code was"),
        ("service.py", 'pipe.xadd(FACTS["events"], event)', "pass", "accepted, and its stream has 0 events"),
        ("draw.lua", "prizes[i], -1)", "prizes[i], -2)", "2 scans were accepted, and 4 pieces left pool"),
    ],
)
async def test_a_peer_that_skips_a_part_of_the_job_is_found(
    name: str, right: str, wrong: str, found: str, compared: Brand, tmp_path: Path
) -> None:
    peer = broken(tmp_path, name, right, wrong)
    async with peer.start(place_of(compared, tmp_path)) as serving:
        with pytest.raises(CompareError, match=found):
            await check_ledger(serving, await check_answers(serving, compared))


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Not pytest's: a Unix socket in it must be allowed to have its path."""
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        yield Path(name)


async def test_broken_off_it_leaves_no_process_and_no_file(short_directory: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(short_directory)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.compare", "--only", "fastapi", cwd=ROOT, env=environment,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    store_pids: list[int] = []

    async def is_under_way() -> bool:
        files = list(short_directory.glob("compare-*/data/store.pid"))  # noqa: ASYNC240 (waits for nobody)
        store_pids[:] = [int(file.read_text() or 0) for file in files]
        return bool(store_pids) and len(psutil.Process(process.pid).children()) == 2  # client and service

    await eventually(is_under_way)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().endswith("broken off; nothing of it is left running\n")
    assert all(is_gone(pid) for pid in (*store_pids, *(child.pid for child in children)))
    assert os.listdir(short_directory) == []  # noqa: PTH208 (of a test, which blocks nobody)


@pytest.mark.parametrize(
    "arguments", [["--only", "nobody"], ["--only", "empty,empty"], ["--rounds", "0"], ["--rounds", "many"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        command.main(arguments)
    assert exit.value.code == 2
