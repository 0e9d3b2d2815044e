"""Workers and the whole service are replaced under load, and no request fails.

The phones count every request, and every one that had no answer or another one than 200. The controls are the
same phones against workers that do not drain, and against a service that is stopped and started again; and
sockets that a worker has for itself. `pytest -s` shows the figures.
"""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

import scanner
from tests.brand import Brand, campaign_toml
from tests.faults.regulars import CODES, PHONES, WORKERS, Served, faults_of, host_in, scanning
from tests.running import eventually, running


def say(text: object) -> None:
    sys.stdout.write(f"\n{text}\n")


async def replace_workers(served: Served) -> None:
    """SIGHUP, until none of the old workers is left."""
    before = served.workers()
    served.process.send_signal(signal.SIGHUP)

    async def done() -> bool:
        now = served.workers()
        return len(now) == WORKERS and not now & before and await served.is_ready()

    await eventually(done, 60)


@pytest.mark.parametrize("fast_lane", ["true", "false"])
async def test_workers_and_service_are_replaced_without_a_failed_request(
    tmp_path: Path, fast_lane: str
) -> None:
    async with host_in(tmp_path / "data", SCANNER_FAST_LANE=fast_lane) as host:
        served = await host.serve()
        async with scanning(host, served) as witness:
            for _ in range(3):
                await witness.more()
                await replace_workers(served)
            say(f"workers replaced three times: {witness}")
            for _ in range(2):
                await witness.more()
                old, served = served, await host.serve("--replace", instead_of=served)
                assert (served.port, served.ops_port) == (old.port, old.ops_port)
                assert await old.has_ended()
                assert await served.is_ready()
            say(f"and the service twice: {witness}")
        served.process.terminate()
        assert await served.has_ended()
        assert witness.failed == []
        assert await faults_of(host.brand, witness) == []


async def test_control_workers_that_do_not_drain_fail_requests(tmp_path: Path) -> None:
    async with host_in(tmp_path / "data", SCANNER_DRAIN_S="0") as host:
        served = await host.serve()
        async with scanning(host, served) as witness:
            await witness.more()
            await replace_workers(served)
        say(f"control, no draining: {witness}")
        assert witness.failed
        assert await faults_of(host.brand, witness) == []


async def test_control_a_service_that_is_stopped_and_started_fails_requests(tmp_path: Path) -> None:
    async with host_in(tmp_path / "data") as host:
        served = await host.serve()
        async with scanning(host, served) as witness:
            await witness.more()
            served.process.terminate()
            assert await served.has_ended()
            await host.serve(instead_of=served)
        say(f"control, stopped and started: {witness}")
        assert witness.failed
        assert await faults_of(host.brand, witness) == []


async def test_a_killed_worker_fails_only_what_was_under_way(tmp_path: Path) -> None:
    async with host_in(tmp_path / "data") as host:
        served = await host.serve()
        async with scanning(host, served) as witness:
            for pid in served.workers():
                await witness.more()
                failed_before = len(witness.failed)
                os.kill(pid, signal.SIGKILL)

                async def another_one_serves(pid: int = pid) -> bool:
                    return pid not in served.workers() and await served.is_ready()

                await eventually(another_one_serves, 60)
                # A phone has one connection that it keeps and at most one more at a time.
                assert len(witness.failed) - failed_before <= 2 * PHONES
                failed = len(witness.failed)
                await witness.more()
                assert len(witness.failed) == failed
        say(f"two workers killed: {witness}")
        assert all("Refused" not in failure for failure in witness.failed)
        assert await faults_of(host.brand, witness) == []


@pytest.mark.parametrize("holds_sockets", [True, False])
async def test_what_waits_for_a_killed_worker_is_served_by_the_next(
    tmp_path: Path, holds_sockets: bool
) -> None:
    """The worker is stopped first, so that nothing is accepted. The control: sockets that are its alone."""
    async with running(tmp_path / "data") as run:
        await run.brand.apply(campaign_toml())
        lot = await run.brand.lot(PHONES)
        [pid] = run.supervisor.worker_pids
        os.kill(pid, signal.SIGSTOP)
        scans = [asyncio.create_task(run.scan("alice", code)) for code in run.brand.codes(lot, range(PHONES))]

        async def all_wait() -> bool:
            peers = [c for c in psutil.net_connections("tcp4") if c.laddr and c.laddr.port == run.port]
            return sum(c.status == psutil.CONN_ESTABLISHED for c in peers) == PHONES

        await eventually(all_wait)
        if not holds_sockets:
            run.supervisor._stop_listening()
        os.kill(pid, signal.SIGKILL)
        replies = await asyncio.gather(*scans, return_exceptions=True)
        if holds_sockets:
            assert [getattr(reply, "outcome", reply) for reply in replies] == ["accepted"] * PHONES
        else:
            assert all(isinstance(reply, OSError | EOFError) for reply in replies)


@pytest.fixture
def other_version(tmp_path: Path) -> Path:
    """A copy of the package whose function library has another comment, and so another name."""
    shutil.copytree(
        Path(scanner.__file__).parent,
        tmp_path / "other" / "scanner",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    with (tmp_path / "other/scanner/ledger/functions/claim.lua").open("a") as source:
        source.write("\n-- Another version.\n")
    return tmp_path / "other"


async def libraries(brand: Brand) -> set[bytes]:
    return {entry[1] for entry in await brand.store.client.execute_command("FUNCTION", "LIST")}


async def test_two_versions_serve_one_brand_and_one_replaces_the_other(
    tmp_path: Path, other_version: Path
) -> None:
    async with host_in(tmp_path / "data") as host:
        old = await host.serve()
        new = await host.serve(path=other_version)
        async with scanning(host, old, new) as witness:
            await witness.more(2 * CODES)
            assert len(await libraries(host.brand)) == 2
            newest = await host.serve("--replace", instead_of=old, path=other_version)
            assert await old.has_ended()
            await witness.more()
            assert await newest.is_ready()
        say(f"two versions, one replaced: {witness}")
        assert witness.failed == []
        assert await faults_of(host.brand, witness) == []


async def test_a_library_that_is_deleted_under_load_is_loaded_again(tmp_path: Path) -> None:
    async with host_in(tmp_path / "data") as host:
        served = await host.serve()
        async with scanning(host, served) as witness:
            for _ in range(5):
                await witness.more()
                for name in await libraries(host.brand):
                    await host.brand.store.client.execute_command("FUNCTION", "DELETE", name)

                async def is_back() -> bool:
                    return bool(await libraries(host.brand))

                await eventually(is_back)
        say(f"library deleted five times: {witness}")
        assert witness.failed == []
        assert await faults_of(host.brand, witness) == []
