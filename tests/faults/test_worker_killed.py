"""Row 3 of the sheet: a worker is killed in the midst of requests, and every unknown comes to one result."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.faults.crowd import Crowd
from tests.faults.figures import say
from tests.faults.proxy import Chances
from tests.faults.rig import Rig, rig
from tests.faults.seeds import seeded, share
from tests.running import eventually

KILLS = 20  # a chapter
REPLAYS = "if string.sub(record, 9, 16) == string.sub(who, 1, MEMBER_BYTES) then"


@pytest.fixture(autouse=True)
def workers_are_started_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between restarts are for a fault that never ends; here they would be most of the time."""
    monkeypatch.setattr("scanner.service.workers.STEADY_AFTER_S", 0.0)


def killable(directory: Path, dice: Random, plants: Sequence[tuple[str, str]] = ()):
    """A rig whose workers wait for a reply that is held until they are dead."""
    return rig(directory, dice, chances=Chances(), plants=plants, store_timeout_ms=30_000)


async def kill_under_load(on: Rig, crowd: Crowd, dice: Random) -> None:
    """At any moment, a worker that has phones on the line."""
    await crowd.more(dice.randrange(1, 40))
    found: list[int] = []

    async def somebody_serves() -> bool:
        found[:] = [pid for pid in on.run.supervisor.worker_pids if _talks(pid, on.run.port)]
        return bool(found)

    await eventually(somebody_serves)
    os.kill(dice.choice(found), signal.SIGKILL)


async def kill_before_it_answers(on: Rig, crowd: Crowd, dice: Random) -> None:
    """In the moment in which the store has executed a batch and the worker does not know yet."""
    assert on.proxy is not None
    assert await on.run.supervisor.ready(60)  # so that there is another one
    await crowd.more(dice.randrange(1, 40))
    async with on.proxy.holding_a_reply() as port:
        [pid] = [pid for pid in on.run.supervisor.worker_pids if _talks(pid, port)]
        unanswered = crowd.unanswered
        os.kill(pid, signal.SIGKILL)
        await crowd.until(lambda: crowd.unanswered > unanswered)


def _talks(pid: int, port: int) -> bool:
    """Whether the process has a connection that is bound to the port, established."""
    try:
        lines = psutil.Process(pid).net_connections("tcp4")
    except psutil.NoSuchProcess:
        return False
    return any(line.laddr.port == port and line.status == psutil.CONN_ESTABLISHED for line in lines)


async def test_a_worker_is_killed_in_the_midst_of_requests(tmp_path: Path) -> None:
    kills = acknowledged = unanswered = 0
    for chapter in range(share(1, 15)):
        with seeded(chapter) as dice:
            async with killable(tmp_path / f"{chapter}", dice) as on:
                async with on.crowd() as crowd:
                    for n in range(KILLS):
                        await (kill_under_load if n % 2 else kill_before_it_answers)(on, crowd, dice)
                    await crowd.more(50)
                    await crowd.stop()
                assert (await on.judged()).all == []
                assert on.run.supervisor.collector.restarts == KILLS
                kills += KILLS
                acknowledged, unanswered = acknowledged + on.acknowledged, unanswered + crowd.unanswered
    say(
        f"row 3: workers killed {kills} times, {acknowledged} scans acknowledged, {unanswered} requests "
        "without an answer: each came to one result, 0 lost, 0 double, 0 overspent"
    )


async def test_control_a_claim_that_knows_nobody_again_is_caught(tmp_path: Path) -> None:
    with seeded() as dice:
        async with killable(tmp_path / "rig", dice, plants=[(REPLAYS, "if false then")]) as on:
            async with on.crowd() as crowd:
                for _ in range(3):
                    await kill_before_it_answers(on, crowd, dice)
                await crowd.more(20)
                await crowd.stop()
            findings = await on.judged()
            assert findings.unresolved
            say(f"row 3, control, the same member is not known again, 3 kills: {findings}")
