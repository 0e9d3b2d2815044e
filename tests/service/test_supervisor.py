"""The service as processes: ready, restarted, stopped with what it took answered."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession

from scanner.cli.keys import create_missing_keys
from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.ledger.embedded import EmbeddedStore
from scanner.service.supervisor import service
from tests.brand import brand_in, campaign_toml, settings_for
from tests.phone import Phone, Reply, scan_request
from tests.running import eventually, running


async def test_operations_say_live_ready_and_how_much(tmp_path: Path) -> None:
    async with running(tmp_path / "data", workers=2) as run:
        await run.brand.apply(campaign_toml())
        lot = await run.brand.lot(40)
        replies = await run.scan_all(
            [scan_request(run.brand.token("alice"), code) for code in run.brand.codes(lot, range(40))]
        )
        assert {reply.outcome for reply in replies} == {"accepted"}
        assert await run.operations("/livez") == (200, '{"live": true}')
        assert await run.operations("/readyz") == (
            200,
            '{"ready": true, "parts": {"workers": "ok", "store": "ok", "keys": "ok", "queue": "ok"}}',
        )
        _, text = await run.operations("/metrics")
        assert 'scanner_requests_total{outcome="accepted"} 40.0' in text
        assert "scanner_claims_total 40.0" in text
        assert "scanner_request_seconds_count 40.0" in text
        assert "scanner_workers_ready 2.0" in text


async def test_a_worker_that_died_is_started_again_and_counts_stay(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml())
        lot = await run.brand.lot(2)
        assert (await run.scan("alice", run.brand.code(lot, 0))).outcome == "accepted"
        [pid] = run.supervisor.worker_pids
        os.kill(pid, signal.SIGKILL)

        async def another_one_serves() -> bool:
            return run.supervisor.worker_pids not in ([], [pid]) and await run.is_ready()

        await eventually(another_one_serves)
        assert (await run.scan("alice", run.brand.code(lot, 1))).outcome == "accepted"
        _, text = await run.operations("/metrics")
        assert 'scanner_requests_total{outcome="accepted"} 2.0' in text
        assert "scanner_worker_restarts_total 1.0" in text


async def test_readyz_names_the_part_that_is_not(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as run:
        [pid] = run.supervisor.worker_pids
        os.kill(pid, signal.SIGSTOP)
        try:

            async def is_not_ready() -> bool:
                return not await run.is_ready()

            await eventually(is_not_ready)
            status, text = await run.operations("/readyz")
            assert status == 503
            assert '"workers": "0 of 1 run"' in text
        finally:
            os.kill(pid, signal.SIGCONT)
        await eventually(run.is_ready)


async def test_a_change_reaches_every_worker_without_a_scan(tmp_path: Path) -> None:
    """What the store does not judge is judged in the worker: a lot's PIN, its size, its product."""
    async with running(tmp_path / "data", workers=2) as run:
        await run.brand.apply(campaign_toml())
        lot = await run.brand.lot(5, pin=True)
        replies = [await run.scan("alice", run.brand.code(lot, 0)) for _ in range(8)]
        assert {reply.outcome for reply in replies} == {"pin_required"}


@pytest.mark.parametrize("setting", ["port", "ops_port"])
async def test_a_port_that_is_taken_is_named(tmp_path: Path, setting: str) -> None:
    async with running(tmp_path / "data") as run:
        taken = run.port if setting == "port" else run.supervisor.ops_port
        settings = settings_for(tmp_path / "data", **{setting: taken})
        with pytest.raises(ConfigurationError, match=f"SCANNER_{setting.upper()} {taken}"):
            async with service(settings):
                pass
        assert await run.is_ready()


async def test_a_service_without_keys_or_store_does_not_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", store_url="unix:///nonexistent.sock")
    create_missing_keys(settings)
    with pytest.raises(StoreUnavailableError):
        async with service(settings):
            pass
    program = [sys.executable, "-m", "scanner", "--data-dir", str(tmp_path / "none"), "serve", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *program, stderr=asyncio.subprocess.PIPE, env={**os.environ, "SCANNER_OPS_PORT": "0"}
    )
    _, error = await process.communicate()
    assert process.returncode == 1
    assert b"scanner keys init" in error


async def start_serve(data_dir: Path, **environment: str) -> tuple[asyncio.subprocess.Process, int, int]:
    """`scanner serve` as a process, its public and its operations port."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "scanner",
            "--data-dir",
            str(data_dir),
            "serve",
            "--port",
            "0",
            "--workers",
            "1",
        ),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "SCANNER_OPS_PORT": "0", "SCANNER_DRAIN_S": "0", **environment},
    )
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if found := re.search(rb"serving on http://[^:]+:(\d+), operations on http://[^:]+:(\d+)", line):
            return process, int(found[1]), int(found[2])
    raise AssertionError("it did not start")


async def test_sigterm_answers_what_was_taken(tmp_path: Path) -> None:
    """The store is stopped for a moment, so that the scans are under way when the signal comes."""
    async with brand_in(tmp_path / "data") as brand, ClientSession() as session:
        await brand.apply(campaign_toml())
        lot = await brand.lot(20)
        process, port, ops_port = await start_serve(
            tmp_path / "data", SCANNER_STORE_TIMEOUT_MS="30000", SCANNER_BATCHES_AWAY_MAX="64"
        )
        store_pid = EmbeddedStore(tmp_path / "data").pid
        requests = [scan_request(brand.token("alice"), code) for code in brand.codes(lot, range(20))]

        async def scan(request: bytes) -> Reply:
            async with Phone(port) as phone:
                return await phone.send(request)

        async def all_are_under_way() -> bool:
            async with session.get(f"http://127.0.0.1:{ops_port}/metrics") as response:
                return "scanner_claims_total 20.0" in await response.text()

        os.kill(store_pid, signal.SIGSTOP)
        try:
            replies = asyncio.gather(*(scan(request) for request in requests))
            await eventually(all_are_under_way)
            process.terminate()
        finally:
            os.kill(store_pid, signal.SIGCONT)
        assert {reply.outcome for reply in await replies} == {"accepted"}
        assert await process.wait() == 0
        assert (await brand.audit()).claims == 20


async def test_sigterm_in_the_middle_of_a_start_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data")
    create_missing_keys(settings)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scanner", "--data-dir", str(settings.data_dir), "serve", "--port", "0"),
        env={**os.environ, "SCANNER_OPS_PORT": "0"},
    )
    embedded = EmbeddedStore(settings.data_dir)

    async def the_store_runs() -> bool:
        return embedded.pid is not None

    await eventually(the_store_runs)
    process.terminate()
    assert await process.wait() in (0, 130)
    assert embedded.pid is None


async def test_workers_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    async with brand_in(tmp_path / "data"):
        process, _, _ = await start_serve(tmp_path / "data")
        workers = psutil.Process(process.pid).children()
        assert workers
        process.kill()
        await process.wait()

        async def all_ended() -> bool:
            return not any(
                worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers
            )

        await eventually(all_ended)
