"""The embedded store: any process may start it, all share it, and what it acknowledged stays."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from scanner.errors import ConfigurationError, StoreUnavailableError
from scanner.ledger.connection import client_for
from scanner.ledger.embedded import SOCKET_PATH_MAX, EmbeddedStore, embedded_store
from tests.running import eventually


async def test_what_was_written_is_there_in_the_next_run(tmp_path: Path) -> None:
    for expected in (b"1", b"2"):
        async with embedded_store(tmp_path) as embedded:
            client = client_for(embedded.url, 2000)
            assert await client.execute_command("INCR", "n") == int(expected)
            await client.aclose()


async def test_users_share_it_and_the_last_one_stops_it(tmp_path: Path) -> None:
    first, second = EmbeddedStore(tmp_path), EmbeddedStore(tmp_path)
    await first.join()
    pid = first.pid
    assert pid is not None
    await second.join()
    assert second.pid == pid
    await first.leave()
    assert psutil.pid_exists(pid)
    await second.leave()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    await second.leave()  # leaving twice is leaving once


async def test_many_processes_may_start_it_at_once(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from scanner.ledger.embedded import embedded_store\n"
        "async def main():\n"
        "    async with embedded_store(Path(sys.argv[1])) as store:\n"
        "        print(store.pid, flush=True)\n"
        "        sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(tmp_path), stdin=pipe, stdout=pipe
        )
        for _ in range(4)
    ]
    pids = {await process.stdout.readline() for process in processes}
    assert len(pids) == 1
    for process in processes:
        process.stdin.close()
        assert await process.wait() == 0
    assert EmbeddedStore(tmp_path).pid is None


async def test_a_killed_store_is_started_again_with_what_it_had(tmp_path: Path) -> None:
    async with embedded_store(tmp_path) as embedded:
        client = client_for(embedded.url, 2000)
        await client.execute_command("INCR", "n")
        pid = embedded.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await embedded.join()
        assert embedded.pid != pid
        assert await client.execute_command("GET", "n") == b"1"
        await client.aclose()


async def test_a_store_whose_users_were_all_killed_is_found_and_stopped(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from scanner.ledger.embedded import EmbeddedStore\n"
        "asyncio.run(EmbeddedStore(Path(sys.argv[1])).join())\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path))
    assert await process.wait() == -signal.SIGKILL
    orphan = EmbeddedStore(tmp_path).pid
    assert orphan is not None
    async with embedded_store(tmp_path) as embedded:
        assert embedded.pid == orphan

    async def is_gone() -> bool:
        return not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE

    await eventually(is_gone)


async def test_a_store_that_hangs_is_not_started_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanner.ledger.embedded.START_TIMEOUT_S", 0.05)
    async with embedded_store(tmp_path) as embedded:
        pid = embedded.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailableError, match="does not answer"):
                await embedded.join()
            assert embedded.pid == pid
        finally:
            os.kill(pid, signal.SIGCONT)
        await embedded.join()
        assert embedded.pid == pid


async def test_a_data_directory_may_have_a_long_name(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * SOCKET_PATH_MAX)
    async with embedded_store(deep) as embedded:
        assert len(os.fsencode(embedded.socket_path)) <= SOCKET_PATH_MAX
        client = client_for(embedded.url, 2000)
        assert await client.execute_command("ECHO", "here") == b"here"
        await client.aclose()
    embedded.socket_path.unlink(missing_ok=True)
    embedded.socket_path.parent.rmdir()


async def test_a_data_directory_may_have_an_odd_name(tmp_path: Path) -> None:
    async with embedded_store(tmp_path / '50% of #1? "yes"') as embedded:
        client = client_for(embedded.url, 2000)
        assert await client.execute_command("ECHO", "here") == b"here"
        await client.aclose()


async def test_a_name_that_would_change_the_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="control character"):
        await EmbeddedStore(tmp_path / "a\nport 6379").join()


async def test_only_its_owner_may_enter(tmp_path: Path) -> None:
    async with embedded_store(tmp_path / "data") as embedded:
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        assert embedded.socket_path.stat().st_mode & 0o077 == 0
