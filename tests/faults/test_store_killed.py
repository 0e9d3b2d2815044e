"""Row 1 of the sheet: the store is killed under load, at random moments and at chosen system calls."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from redis.exceptions import RedisError

from scanner.errors import StoreLostError
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import Store
from scanner.ledger.frames import Asked
from scanner.ledger.functions import Library
from tests.faults.figures import say
from tests.faults.rig import Crowd, InProcess, Rig, rig
from tests.faults.seeds import seeded, share
from tests.faults.store import DoomedStore
from tests.faults.strace import require_strace

AT_RANDOM = ("",) * 10
AT_A_CALL = (
    *("fdatasync:signal=SIGKILL",) * 5,  # written, not synced, not answered
    *("aof write:signal=SIGKILL",) * 2,  # executed, not written
    "write:signal=SIGKILL",  # of the file, or of an answer: synced, not answered
    *("fdatasync:error=EIO",) * 2,  # the disk fails, and the store must go
)
REWRITES = 30
"""Of a hundred kills at random, those during a rewrite of the append-only file."""


@dataclass
class Figures:
    kills: int = 0
    acknowledged: int = 0
    unanswered: int = 0


async def crash(on: Rig, crowd: Crowd, fault: str, dice: Random) -> None:
    """The store dies by the fault, strace's own text without the when, and is started again."""
    await crowd.more(dice.randrange(1, 60))
    if fault:
        inject = f"{fault.removeprefix('aof ')}:when={dice.randrange(1, 16)}"
        async with on.store.traced(inject, aof_only=fault.startswith("aof ")):
            await on.store.dead()
    else:
        if dice.randrange(100) < REWRITES:
            await on.brand.store.client.execute_command("BGREWRITEAOF")
        await on.store.kill()
    await on.store.start()


async def play(directory: Path, faults: Sequence[str], dice: Random, figures: Figures) -> None:
    """One chapter: all the faults, in an order of its own."""
    async with rig(directory, dice) as on:
        async with on.crowd() as crowd:
            for fault in dice.sample(faults, len(faults)):
                await crash(on, crowd, fault, dice)
            await crowd.more(50)
            await crowd.stop()
        findings = await on.judged()
        assert findings.all == []
        assert on.store.log.count("fsync error") == sum("EIO" in fault for fault in faults)
        figures.kills += on.store.kills
        figures.acknowledged += on.acknowledged
        figures.unanswered += crowd.unanswered


@pytest.mark.parametrize("when", ["at random", "at a chosen system call"])
async def test_the_store_is_killed_under_load(tmp_path: Path, when: str) -> None:
    faults = AT_RANDOM if when == "at random" else AT_A_CALL
    if faults is AT_A_CALL:
        require_strace()
    figures = Figures()
    for chapter in range(share(1, 15)):
        with seeded(chapter) as dice:
            await play(tmp_path / f"{chapter}", faults, dice, figures)
    say(
        f"row 1: store killed {when} {figures.kills} times, {figures.acknowledged} scans acknowledged, "
        f"{figures.unanswered} requests without an answer: 0 lost, 0 double, 0 overspent"
    )


class TwoSteps(ClaimFunction):
    """The broken variant: the claim is one step, its entry in the stream a second one."""

    def __init__(self, store: Store, doomed: DoomedStore) -> None:
        self._doomed = doomed
        self.dies_in_between = False
        code = store.library.code.replace(store.library.version, "two_steps")
        for old, new in (
            ("local JUDGES = {", "local stash = {}\nlocal JUDGES = {"),
            (
                "      add_scan(session, accepted[4], accepted[5], accepted[6], accepted[7])\n",
                "      stash[#stash + 1] = { session, accepted[4], accepted[5], accepted[6], accepted[7] }\n",
            ),
        ):
            assert code.count(old) == 1
            code = code.replace(old, new)
        code += """
            redis.register_function('append_' .. VERSION, function()
              for _, step in ipairs(stash) do
                add_scan(unpack(step, 1, 5))
              end
              stash = {}
              return 'OK'
            end)
        """
        super().__init__(replace(store, library=Library("two_steps", code)))

    async def replies(self, batch: Sequence[Asked]) -> list[bytes]:
        replies = await super().replies(batch)
        if self.dies_in_between:
            self.dies_in_between = False
            self._doomed.signal(signal.SIGKILL)
        try:
            await self._store.wire.call(["FCALL", "append_two_steps", 1, self._store.keys.events])
        except RedisError as error:
            raise StoreLostError("no answer to the second step") from error
        return replies


async def test_control_a_claim_in_two_steps_is_caught(tmp_path: Path) -> None:
    with seeded() as dice:
        async with rig(tmp_path / "rig", dice, workers=1) as on:
            claims = TwoSteps(on.brand.store, on.store)
            service = InProcess(on.brand, claims.replies)
            async with on.crowd(caller=service) as crowd:
                for _ in range(5):
                    await crowd.more(dice.randrange(1, 60))
                    claims.dies_in_between = True
                    await on.store.dead()
                    await on.store.start()
                await crowd.more(50)
                await crowd.stop()
            findings = await on.judged(service)
            assert findings.torn, "what was killed in between was not seen"
            assert findings.lost, "what was acknowledged, and is in no stream, was not seen"
            assert any("claimed, but no entry says so" in line for line in findings.audit)
            say(f"row 1, control, a claim in two steps, {on.store.kills} kills: {findings}")
