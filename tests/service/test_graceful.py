"""Draining, successors that fail, services that replace each other, and what is said meanwhile."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.service import supervisor as supervising
from scanner.service import workers as keeping
from scanner.service.handover import path_of, predecessor
from scanner.service.listening import Place
from scanner.service.metrics import LAYOUT
from scanner.service.supervisor import service
from tests.brand import Brand, brand_in, campaign_toml
from tests.phone import Phone, scan_request
from tests.running import PATIENCE_S, Running, eventually, running
from tests.service.test_supervisor import start_serve


@pytest.fixture
def broken_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes new worker processes run a line in place of their code."""

    def breaks(line: str) -> None:
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "sitecustomize.py").write_text(line)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))

    return breaks


async def scans(brand: Brand, port: int, count: int) -> set[str]:
    """The outcomes of so many scans, each on a new connection."""
    lot = await brand.lot(count)
    outcomes = set()
    for code in brand.codes(lot, range(count)):
        async with Phone(port) as phone:
            reply = await phone.send(scan_request(brand.token("alice"), code))
        outcomes.add(reply.outcome)
    return outcomes


async def workers_are_others(run: Running, pids: list[int]) -> None:
    async def done() -> bool:
        now = run.supervisor.worker_pids
        return len(now) == len(pids) and not {*now} & {*pids} and await run.is_ready()

    await eventually(done)


@pytest.mark.parametrize("fast_lane", [True, False])
async def test_an_open_connection_is_answered_once_more_and_told(tmp_path: Path, fast_lane: bool) -> None:
    async with running(tmp_path / "data", drain_s=30, shutdown_timeout_s=30, fast_lane=fast_lane) as run:
        await run.brand.apply(campaign_toml())
        lot, token, pids = await run.brand.lot(10_000), run.brand.token("alice"), run.supervisor.worker_pids
        asked = 0

        async def scan(phone: Phone) -> str:
            """What the answer says of the connection."""
            nonlocal asked
            reply = await phone.send(scan_request(token, run.brand.code(lot, asked)))
            asked += 1
            assert reply.outcome == "accepted"
            return reply.headers.get("connection", "")

        async def is_told() -> bool:
            return await scan(phone) == "close"

        async with run.phone() as phone:
            assert await scan(phone) == ""
            run.supervisor.replace_workers()
            await workers_are_others(run, pids)
            assert psutil.pid_exists(pids[0])
            await eventually(is_told)  # the old worker hears of it when the new one serves already
            with pytest.raises(asyncio.IncompleteReadError):
                await phone.receive()
        async with run.phone() as phone:
            assert await scan(phone) == ""
        _, text = await run.operations("/metrics")
        assert f'scanner_requests_total{{outcome="accepted"}} {asked}.0' in text
        assert "scanner_worker_restarts_total 0.0" in text


@pytest.mark.parametrize("drain_s", [0, 1])
async def test_an_idle_connection_is_closed_when_the_time_is_over(tmp_path: Path, drain_s: int) -> None:
    async with running(tmp_path / "data", drain_s=drain_s) as run, run.phone() as phone:
        pids = run.supervisor.worker_pids
        run.supervisor.replace_workers()
        with pytest.raises(asyncio.IncompleteReadError):
            await phone.receive()
        await workers_are_others(run, pids)


@pytest.mark.parametrize("line", ["import os; os._exit(3)", "import time; time.sleep(600)"])
async def test_a_new_worker_that_does_not_get_ready_leaves_the_old_one(
    tmp_path: Path, broken_code, monkeypatch, caplog, line: str
) -> None:
    monkeypatch.setattr(keeping, "SUCCESSOR_TIMEOUT_S", 0.5)
    async with running(tmp_path / "data", workers=2) as run:
        await run.brand.apply(campaign_toml())
        pids = run.supervisor.worker_pids
        broken_code(line)
        run.supervisor.replace_workers()

        async def is_said() -> bool:
            return "not replaced" in caplog.text

        await eventually(is_said)
        assert run.supervisor.worker_pids == pids
        assert {child.pid for child in psutil.Process().children()} >= {*pids}
        assert await run.is_ready()
        assert await scans(run.brand, run.port, 8) == {"accepted"}


async def test_a_worker_with_other_counters_than_the_services_refuses_to_count(tmp_path: Path) -> None:
    place = Place(row=0, slot=0, layout=LAYOUT + 1, cells=0, sockets=[], is_successor=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scanner.service.worker", place.to_json()),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 1
    assert b"scanner serve --replace" in error


async def test_a_worker_that_cannot_be_forked_is_tried_again(tmp_path: Path, monkeypatch) -> None:
    started, failures = asyncio.create_subprocess_exec, iter([OSError(11, "no more processes")] * 2)

    async def fork(*args: object, **kwargs: object) -> asyncio.subprocess.Process:
        for failure in failures:
            raise failure
        return await started(*args, **kwargs)

    async with running(tmp_path / "data") as run:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", fork)
        pids = run.supervisor.worker_pids
        os.kill(pids[0], signal.SIGKILL)
        await workers_are_others(run, pids)
        assert run.supervisor.collector.restarts == 3


async def test_others_accept_for_a_worker_that_hangs(tmp_path: Path) -> None:
    async with running(tmp_path / "data", workers=2) as run:
        await run.brand.apply(campaign_toml())
        pid = run.supervisor.worker_pids[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(PATIENCE_S):
                assert await scans(run.brand, run.port, 16) == {"accepted"}
        finally:
            os.kill(pid, signal.SIGCONT)
        await eventually(run.is_ready)


async def test_sigterm_is_announced_first_and_a_second_one_cuts_that_short(tmp_path: Path) -> None:
    async with brand_in(tmp_path / "data") as brand, ClientSession() as session:
        await brand.apply(campaign_toml())
        process, port, ops_port = await start_serve(tmp_path / "data", SCANNER_DRAIN_S="600")

        async def says_so() -> bool:
            async with session.get(f"http://127.0.0.1:{ops_port}/readyz") as response:
                return response.status == 503 and (await response.json())["parts"]["service"] == "stopping"

        process.terminate()
        await eventually(says_so)
        assert await scans(brand, port, 4) == {"accepted"}
        process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            async with Phone(port):
                pass


@asynccontextmanager
async def replacing(run: Running, **settings: object) -> AsyncIterator[Running]:
    """A service that replaces the running one."""
    before = run.supervisor
    update = {"port": run.port, "ops_port": before.ops_port, **settings}
    async with service(run.brand.settings.model_copy(update=update), replace=True) as after:
        async with asyncio.timeout(PATIENCE_S):
            await before.is_replaced.wait()
        await before.stop()
        yield Running(run.brand, after, run.embedded)


async def test_services_with_more_and_with_fewer_workers_replace_each_other(tmp_path: Path) -> None:
    """No socket is given up: connections may wait in it. What has no worker is served by the others."""
    async with running(tmp_path / "data", workers=2) as first:
        await first.brand.apply(campaign_toml())
        async with replacing(first, workers=1) as second:
            assert (second.port, second.supervisor.ops_port) == (first.port, first.supervisor.ops_port)
            assert await second.is_ready()
            assert await scans(first.brand, first.port, 16) == {"accepted"}
            async with replacing(second, workers=3) as third:
                assert len(third.supervisor.worker_pids) == 3
                assert await third.is_ready()
                assert await scans(first.brand, first.port, 16) == {"accepted"}
        assert (await first.brand.audit()).claims == 32


async def test_a_successor_that_does_not_get_ready_leaves_the_old_service(
    tmp_path: Path, monkeypatch, broken_code
) -> None:
    monkeypatch.setattr(supervising, "SUCCESSOR_TIMEOUT_S", 0.5)
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml())
        broken_code("import time; time.sleep(600)")
        with pytest.raises(StoreUnavailableError, match="the old service goes on"):
            async with replacing(run):
                pass
        assert not run.supervisor.is_replaced.is_set()
        assert await run.is_ready()
        assert await scans(run.brand, run.port, 8) == {"accepted"}
        monkeypatch.undo()
        async with replacing(run, drain_s=0) as after:  # it may be tried again
            assert await after.is_ready()


@pytest.mark.parametrize("other", [{"brand": "other"}, {"host": "127.0.0.2"}])
async def test_a_service_that_is_another_ones_is_not_replaced(tmp_path: Path, other) -> None:
    async with running(tmp_path / "data") as run:
        [name] = other
        with pytest.raises(ConfigurationError, match=f"SCANNER_{name.upper()}"):
            async with replacing(run, **other):
                pass
        assert await run.is_ready()


@pytest.mark.parametrize("room", ["data", "a" * 120])
async def test_the_way_to_a_running_service_is_its_users_alone(tmp_path: Path, room: str) -> None:
    async with running(tmp_path / room) as run:
        path = path_of(run.supervisor.settings)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with replacing(run) as after:
            assert await after.is_ready()
    assert not path.exists()


async def test_another_users_process_is_handed_nothing_and_hands_over_nothing(
    tmp_path: Path, monkeypatch
) -> None:
    async with running(tmp_path / "data") as run:
        settings = run.supervisor.settings
        monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
        with pytest.raises(ConfigurationError, match="another user"):
            await asyncio.to_thread(predecessor, settings)
        reader, writer = await asyncio.open_unix_connection(path_of(settings))
        assert await reader.read() == b""
        writer.close()
        assert await run.is_ready()


async def test_replace_starts_where_nothing_runs(tmp_path: Path) -> None:
    async with brand_in(tmp_path / "data") as brand, service(brand.settings, replace=True) as supervisor:
        assert await supervisor.ready(PATIENCE_S)
