"""Row 2 of the sheet: a power cut takes what was not synced, and nothing acknowledged is in that.

A process that is killed leaves its writes to the kernel, so a kill alone never tests the sync. Here strace
notes what the store wrote and synced, and what it had not synced is cut off before it starts again: all of
it, or, as a disk may have taken a part, some of it, down to half a command.
"""

from pathlib import Path
from random import Random

from tests.faults.crowd import Crowd
from tests.faults.figures import say
from tests.faults.rig import Rig, rig
from tests.faults.seeds import seeded, share
from tests.faults.strace import require_strace, unsynced_bytes

ROUNDS = 10  # a chapter


async def cut(on: Rig, crowd: Crowd, dice: Random) -> int:
    """One power cut, between two syncs or in the midst of one; how many bytes it took."""
    await crowd.more(dice.randrange(1, 60))
    in_a_sync = dice.randrange(4) > 0
    inject = f"fdatasync:signal=SIGKILL:when={dice.randrange(1, 16)}" if in_a_sync else ""
    async with on.store.losing_power(inject) as loss:
        loss.keep = dice.choice((0.0, 0.0, dice.random()))
        if in_a_sync:
            await on.store.dead()
        else:
            await crowd.more(dice.randrange(1, 60))
            await on.store.kill()
    await on.store.start()
    return loss.bytes


async def test_a_power_cut_under_load(tmp_path: Path) -> None:
    require_strace()
    rounds = cuts = acknowledged = 0
    for chapter in range(share(1, 10)):
        with seeded(chapter) as dice:
            async with rig(tmp_path / f"{chapter}", dice) as on:
                async with on.crowd() as crowd:
                    taken = [await cut(on, crowd, dice) for _ in range(ROUNDS)]
                    await crowd.more(50)
                    await crowd.stop()
                assert any(taken), "no cut ever took anything"
                assert (await on.judged()).all == []
                rounds, cuts = rounds + len(taken), cuts + sum(size > 0 for size in taken)
                acknowledged += on.acknowledged
    say(
        f"row 2: {rounds} power cuts, {cuts} of them took bytes from the file, "
        f"{acknowledged} scans acknowledged: 0 lost, 0 double, 0 overspent"
    )


async def test_control_a_sync_every_second_loses_what_was_acknowledged(tmp_path: Path) -> None:
    require_strace()
    with seeded() as dice:
        async with rig(tmp_path / "rig", dice, accept_volatile_store=True) as on:
            await on.brand.store.client.execute_command("CONFIG", "SET", "appendfsync", "everysec")
            # The disk is slow, so that the cut does not come by chance right after a sync.
            slow = "fdatasync:delay_enter=3000000"
            async with on.crowd() as crowd, on.store.losing_power(slow):
                await crowd.more(200)
                await on.store.kill()
            await on.store.start()
            findings = await on.judged(resolves=False)
            assert findings.lost
            say(f"row 2, control, appendfsync everysec, 1 power cut: {findings}")


def test_what_was_not_synced_is_told_by_the_trace(tmp_path: Path) -> None:
    """A sync in another thread covers what was written before it began, and a failed one nothing."""
    log = tmp_path / "strace.log"
    lines = [
        '7  write(10, ""..., 100) = 100',
        "9  fdatasync(10 <unfinished ...>",
        '7  write(10, ""..., 20) = 20',
        "9  <... fdatasync resumed>) = 0",
        '7  write(10, ""..., 3) = 3',
        "7  fdatasync(10) = -1 EIO (Input/output error) (INJECTED)",
        '7  write(10, ""..., 5) = ?',
        "7  +++ killed by SIGKILL +++",
    ]
    log.write_text("\n".join(lines))
    assert unsynced_bytes(log) == 23
