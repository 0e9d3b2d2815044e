"""The queue under fire: consumers, the keeper of the archive and the store are killed while scans arrive.

In the end every accepted scan is in the archive or in the stream, in the archive once; every effect stands in
the consumers' database once, and is the one that the scan says; nothing is pending or dead; and the stream
was trimmed meanwhile. The controls hold the same check against a keeper, consumers and an archive that are
broken in one place.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.faults.books import Findings
from tests.faults.figures import say
from tests.faults.queue_books import QueueFindings, judge_queue
from tests.faults.queue_consumer import GROUP
from tests.faults.queue_staff import KEEPING, Staff, staffed
from tests.faults.rig import Rig, rig
from tests.faults.seeds import seeded, share

KILLS = {"consumer": share(10, 20), "keeper": share(5, 10), "store": share(3, 5)}
"""In each chapter."""
CHAPTERS = share(1, 10)
PHONES = 8
"""So few, that consumers that are killed all the time keep up, and what they have done can be trimmed."""


@dataclass
class Figures:
    struck: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    archived: int = 0
    trimmed: int = 0

    def __str__(self) -> str:
        killed = {who: sum(n for how, n in self.struck.items() if how.startswith(who)) for who in KILLS}
        whom = ", ".join(f"{who} {n} times" for who, n in killed.items())
        how = ", ".join(f"{n} {how}" for how, n in sorted(self.struck.items()))
        return (
            f"killed: {whom} ({how}); {self.acknowledged} scans acknowledged, {self.archived} entries "
            f"archived, {self.trimmed} trimmed: every one there once, every effect once"
        )


async def play(directory: Path, dice: Random, figures: Figures) -> None:
    """One chapter: all the kills, in an order of its own."""
    async with rig(directory, dice, **KEEPING) as on, staffed(on, directory, dice) as staff:
        async with on.crowd(phones=PHONES) as crowd:
            victims = [victim for victim, n in KILLS.items() for _ in range(n)]
            for victim in dice.sample(victims, len(victims)):
                await staff.strike(victim, crowd)
            await crowd.more(50)
            await crowd.stop()
        await settled(on)
        await staff.rest()
        findings, ledger, acknowledged = await judge_queue(on, staff.database, GROUP)
        assert findings.all == []
        assert ledger.trimmed > 0, "nothing was trimmed, so nothing was shown"
        figures.struck += staff.struck
        figures.acknowledged += acknowledged
        figures.archived += len(ledger.archived)
        figures.trimmed += ledger.trimmed


async def settled(on: Rig) -> None:
    """Each request without an answer is asked again, and comes to one."""
    unresolved = Findings()
    await on._resolve(on.phone(), unresolved)
    assert unresolved.all == []


async def test_everybody_is_killed_while_scans_arrive(tmp_path: Path) -> None:
    figures = Figures()
    for chapter in range(CHAPTERS):
        with seeded(chapter) as dice:
            await play(tmp_path / f"{chapter}", dice, figures)
        say(f"the queue, {chapter + 1} of {CHAPTERS} chapters, {figures}")


async def test_control_a_keeper_that_trims_too_early_loses(tmp_path: Path) -> None:
    with seeded() as dice:
        async with rig(tmp_path / "rig", dice, **KEEPING) as on:
            hasty = "tests.faults.queue_hasty_keeper"
            async with staffed(on, tmp_path / "rig", dice, keeper=hasty, dies="") as staff:
                async with on.crowd(phones=PHONES) as crowd:
                    assert await staff.keeper.dead()
                    await crowd.stop()
                findings = await judged(on, staff, keeps=False)
                assert findings.lost, "what was trimmed before it was archived was not seen"
                assert not findings.effects_double
                say(f"the queue, control, a keeper that trims first and is killed: {findings}")


@pytest.mark.parametrize(
    ("breaks", "dies", "found"),
    [("early", "acknowledged:2", "effects_lost"), ("no inbox", "committed:2", "effects_double")],
)
async def test_control_a_consumer_that_makes_a_mistake(
    tmp_path: Path, breaks: str, dies: str, found: str
) -> None:
    """It acknowledges before its effect; it has no inbox."""
    with seeded() as dice:
        async with (
            rig(tmp_path / "rig", dice, **KEEPING) as on,
            staffed(on, tmp_path / "rig", dice, breaks=breaks, dies=dies) as staff,
        ):
            async with on.crowd(phones=PHONES) as crowd:
                for consumer in staff.consumers:
                    assert await consumer.dead()
                    await staff.hire(consumer, "")
                await crowd.stop()
            findings = await judged(on, staff)
            assert getattr(findings, found), f"with the mistake {breaks!r} nothing was seen"
            others = [text for text in findings.all if not text.startswith("effects_")]
            assert others == []
            say(f"the queue, control, consumers that are killed once, {breaks}: {findings}")


async def test_control_an_archive_that_lost_a_file_is_seen(tmp_path: Path) -> None:
    with seeded() as dice:
        async with (
            rig(tmp_path / "rig", dice, **KEEPING) as on,
            staffed(on, tmp_path / "rig", dice, dies="") as staff,
        ):
            async with on.crowd(phones=PHONES) as crowd:
                await crowd.more(100)
                await crowd.stop()
            assert (await judged(on, staff)).all == []
            files = sorted(on.brand.settings.archive_path.glob("events/**/*.parquet"))
            dice.choice(files).unlink()
            findings = (await judge_queue(on, staff.database, GROUP))[0]
            assert findings.archive, "the file that is gone was not missed"
            assert any("scanner queue verify: exit code 1" in text for text in findings.archive)
            assert findings.lost
            say(f"the queue, control, an archive without one of its {len(files)} files: {findings}")


async def judged(on: Rig, staff: Staff, *, keeps: bool = True) -> QueueFindings:
    await settled(on)
    await staff.rest(keeps=keeps)
    return (await judge_queue(on, staff.database, GROUP))[0]
