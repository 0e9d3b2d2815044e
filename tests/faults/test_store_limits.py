"""A full disk, memory at its limit, a store that is busy: `unavailable` meanwhile, everything afterwards."""

import asyncio
import contextlib
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import RedisError, ResponseError

from scanner.ledger import embedded
from scanner.ledger.connection import client_for
from scanner.queue import limits
from tests.brand import brand_in
from tests.faults.asking import Shop, ask, ask_until_true
from tests.faults.figures import say
from tests.faults.seeds import seeded, share
from tests.phone import scan_request
from tests.running import Running, eventually, running

ROUNDS = share(2, 10)
BLOCK_BYTES = 512  # of the shell's `ulimit -f`, POSIX
BUSY_MS, TIMEOUT_MS = 50, 700


class Disk:
    """The embedded store's disk: of a store that is started while it is full, no file may grow past a limit.

    That stands in for a disk without room: to the log both are a write that is cut short, and then one
    that fails; and it needs no rights to mount anything.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._limit, binary = directory / "limit", embedded._binary()
        script = directory / "limited-store"
        limit = shlex.quote(str(self._limit))
        script.write_text(
            f'#!/bin/sh\n[ -s {limit} ] && ulimit -f "$(cat {limit})"\nexec {shlex.quote(binary)} "$@"\n'
        )
        script.chmod(0o700)
        monkeypatch.setattr(embedded, "_binary", lambda: str(script))

    def fill(self, limit_bytes: int) -> None:
        self._limit.write_text(str(limit_bytes // BLOCK_BYTES))

    def free(self) -> None:
        self._limit.unlink()


def aof_bytes(data_dir: Path) -> int:
    return max(path.stat().st_size for path in (data_dir / "appendonlydir").glob("*.incr.aof"))


async def acknowledged(run: Running, codes: list[str]) -> list[str]:
    """Scans the codes in turn until the store does not answer; returns those that were accepted."""
    token, done = run.brand.token("alice"), []
    async with run.phone() as phone:
        for code in codes:
            reply = await phone.send(scan_request(token, code))
            if reply.outcome != "accepted":
                assert (reply.status, reply.outcome) == (503, "unavailable")
                assert reply.headers["retry-after"]
                return done
            done.append(code)
    raise AssertionError("the disk was never full")


async def not_replayed(run: Running, codes: list[str]) -> list[str]:
    token = run.brand.token("alice")
    replies = await run.scan_all([scan_request(token, code) for code in codes], 4)
    return [reply.outcome for reply in replies if reply.outcome != "replayed"]


async def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store ends itself when it cannot append: what it acknowledged is on the disk, what is torn is not.

    While the disk stays full it may be started, and fails at the first write; once there is room, the
    supervisor's next try serves again.
    """
    disk = Disk(tmp_path, monkeypatch)
    told = []
    with seeded() as rng:
        for round in range(ROUNDS):
            data_dir = tmp_path / str(round)
            async with running(data_dir, log_level="error") as run:
                shop = await Shop.open(run.brand)
                first_pid = run.embedded.pid
                # Somewhere within a write: the record is torn at another byte each time.
                disk.fill(aof_bytes(data_dir) + rng.randrange(20_000, 60_000) // BLOCK_BYTES * BLOCK_BYTES)
                run.kill_store()  # the next one has the limit

                async def is_back(pid: int | None = first_pid) -> bool:
                    return run.embedded.pid not in (None, pid) and await run.is_ready()

                await eventually(is_back)
                codes = run.brand.codes(shop.lot, range(1000, 4000))
                done = await acknowledged(run, codes)
                answers = await ask(run.port, shop.questions())
                assert [asked.fault for asked in answers if asked.fault] == []
                disk.free()
                await eventually(run.is_ready)
                assert await ask_until_true(run.port, shop.questions()) == []
                assert await not_replayed(run, done) == []
                rest = [code for code in codes if code not in done][:50]
                token = run.brand.token("alice")
                again = await run.scan_all([scan_request(token, code) for code in rest], 4)
                assert {reply.outcome for reply in again} <= {"accepted", "replayed"}
                assert (await run.brand.audit()).differences == []
                told.append(len(done))
                torn = (data_dir / "store.log").read_text(errors="replace").count("runcat")
    say(
        f"full disk: {ROUNDS} rounds, {sum(told)} scans acknowledged before the log could not grow, 0 lost, "
        f"audit clean; lines about a cut log in the last store's log: {torn}"
    )


async def test_memory_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store refuses the claim function whole, replays among what it carries; what only reads goes on."""
    monkeypatch.setattr(limits, "MEMORY_FULL_PERCENT", 10**6)  # or the service would refuse before the store
    async with running(tmp_path / "data", log_level="error") as run:
        shop, client = await Shop.open(run.brand), run.brand.store.client
        used = int((await client.info("memory"))["used_memory"])
        await client.execute_command("CONFIG", "SET", "maxmemory", used + 500_000)
        done = await acknowledged(run, run.brand.codes(shop.lot, range(1000, 4000)))
        await client.execute_command("CONFIG", "SET", "maxmemory", used // 2)  # what it uses goes up and down
        questions = shop.questions()
        answers = {asked.question.kind: asked for asked in await ask(run.port, questions)}
        assert [asked.fault for asked in answers.values() if asked.fault] == []
        for kind in ("a first scan", "a repeated scan", "somebody else's code", "a batch", "a draw"):
            assert answers[kind].outcome == "unavailable", kind
        for kind in ("a forgery", "a look-up", "a look-up of a free code"):
            assert answers[kind].is_true, kind
        await client.execute_command("CONFIG", "SET", "maxmemory", 0)
        assert await ask_until_true(run.port, questions) == []
        await eventually(run.is_ready)
        assert await not_replayed(run, done) == []
        assert (await run.brand.audit()).differences == []
        say(
            f"memory at its limit: {len(done)} scans acknowledged before, 0 lost; claims and replays "
            "unavailable, look-ups answered, served again when it was raised; audit clean"
        )


@asynccontextmanager
async def busy(run: Running) -> AsyncIterator[None]:
    """The store runs a script that does not end, and says so to everybody else."""
    client = run.brand.store.client
    await client.execute_command("CONFIG", "SET", "busy-reply-threshold", BUSY_MS)
    patient = client_for(run.embedded.url, 60_000)
    script = asyncio.create_task(patient.execute_command("EVAL", "while true do end", 0))

    async def is_busy() -> bool:
        with contextlib.suppress(ResponseError):
            await client.execute_command("PING")
            return False
        return True

    try:
        await eventually(is_busy)
        yield
    finally:
        await client.execute_command("SCRIPT", "KILL")
        with pytest.raises(RedisError, match="killed"):
            await script
        await patient.aclose()


async def test_a_store_that_is_busy(tmp_path: Path) -> None:
    async with running(tmp_path / "data", log_level="error", store_timeout_ms=TIMEOUT_MS) as run:
        shop = await Shop.open(run.brand)
        loop, questions = asyncio.get_running_loop(), []
        async with busy(run):
            for _ in range(5):
                questions = shop.questions()
                began = loop.time()
                answers = {asked.question.kind: asked for asked in await ask(run.port, questions)}
                slowest_s = loop.time() - began
                assert [asked.fault for asked in answers.values() if asked.fault] == []
                assert {kind for kind, asked in answers.items() if asked.is_true} == {"a forgery"}
        assert await ask_until_true(run.port, questions) == []
        await eventually(run.is_ready)
        assert (await run.brand.audit()).differences == []
        say(f"a busy store: unavailable, the slowest answer {slowest_s:.3f} s; served again by itself")


async def test_control_a_log_that_lost_what_was_acknowledged_is_caught(tmp_path: Path) -> None:
    async with brand_in(tmp_path / "data") as brand:
        codes = brand.codes((await Shop.open(brand)).lot, range(1000, 1020))
        scanner = brand.scanner()
        assert {(await scanner.scan("alice", code))["outcome"] for code in codes} == {"accepted"}
    [log] = (tmp_path / "data" / "appendonlydir").glob("*.incr.aof")
    os.truncate(log, log.stat().st_size - 2_000)
    async with brand_in(tmp_path / "data") as brand:
        scanner = brand.scanner()
        replayed = [(await scanner.scan("alice", code))["replayed"] for code in codes]
        assert not all(replayed)


async def test_control_a_store_with_room_refuses_nobody(tmp_path: Path) -> None:
    """The same questions without the trouble: the harness itself makes nothing unavailable."""
    async with running(tmp_path / "data") as run:
        shop = await Shop.open(run.brand)
        assert all(asked.is_true for asked in await ask(run.port, shop.questions()))
        with pytest.raises(AssertionError, match="never full"):
            await acknowledged(run, run.brand.codes(shop.lot, range(1000, 1100)))
        assert await not_replayed(run, run.brand.codes(shop.lot, range(1100, 1101))) == ["accepted"]
