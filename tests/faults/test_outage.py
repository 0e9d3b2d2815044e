"""The store dies, or hangs, under load: answers come in time, and it is served again by itself."""

import signal
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest

from tests.brand import POINTS, deck_toml
from tests.faults.crowd import PatientPhone
from tests.faults.figures import say
from tests.faults.rig import rig
from tests.faults.seeds import seeded
from tests.phone import Reply
from tests.running import eventually

CODES, PHONES = 4_000, 32


@dataclass
class Watch:
    """What the phones saw: how long the slowest answer took, and every refusal."""

    slowest_s: float = 0.0
    refusals: list[Reply] = field(default_factory=list)


class WatchedPhone(PatientPhone):
    def __init__(self, port: int, watch: Watch) -> None:
        super().__init__(port)
        self._watch = watch

    async def ask(self, token: str, code: str) -> Reply | None:
        began = time.perf_counter()
        reply = await super().ask(token, code)
        self._watch.slowest_s = max(self._watch.slowest_s, time.perf_counter() - began)
        assert reply is not None, "the service went away with its store"
        if reply.status != 200:
            self._watch.refusals.append(reply)
        return reply


@pytest.mark.parametrize("death", ["killed", "hangs"])
async def test_a_store_that_dies_under_load(tmp_path: Path, death: str) -> None:
    """The store is not the service's own, so that nobody starts it again but we.

    How long answers and recovery took is printed: `pytest -s` shows it.
    """
    with seeded() as dice:
        async with rig(tmp_path / "rig", dice, workers=1, pools=POINTS + deck_toml(CODES - 1000)) as on:
            watch = Watch()

            async def is_not_ready() -> bool:
                return not await on.run.is_ready()

            async with on.crowd(
                codes=islice(on.codes, CODES),
                phones=PHONES,
                caller=lambda: WatchedPhone(on.run.port, watch),
                left_for_later=0,
                stolen=0,
            ) as crowd:
                await crowd.more(CODES // 3)
                if death == "killed":
                    await on.store.kill()
                else:
                    on.store.signal(signal.SIGSTOP)
                await crowd.until(lambda: len(watch.refusals) >= 2 * PHONES)
                await eventually(is_not_ready)
                if death == "killed":
                    await on.store.start()
                else:
                    on.store.signal(signal.SIGCONT)
                back = time.perf_counter()
                await eventually(on.run.is_ready)
                ready_after_s = time.perf_counter() - back
                await crowd.done()

            assert {reply.status for reply in watch.refusals} == {503}
            outcomes = {reply.outcome for reply in watch.refusals}
            assert "unavailable" in outcomes
            assert outcomes <= {"unavailable", "overloaded"}  # some have waited too long to be sent
            assert all(reply.headers["retry-after"] for reply in watch.refusals)
            assert len(on.run.supervisor.worker_pids) == 1
            assert on.run.supervisor.collector.restarts == 0
            assert (await on.judged()).all == []
            assert on.acknowledged == CODES
            left = await on.brand.store.client.hgetall(on.brand.store.keys.pool("spring", "deck"))
            assert left == {b"p": b"0"}
            say(
                f"store {death}: slowest answer {watch.slowest_s:.2f} s, "
                f"ready {ready_after_s:.2f} s after its return"
            )
