"""Who is let in. Time is simulated here: the rules are judged by the clock that they are given."""

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from scanner.service.admission import LOADS, STANDS_AFTER_S, TURN_S, Admission
from scanner.service.metrics import ROW_BYTES, SHED_REASONS, Cells
from scanner.settings import load_settings

BATCH, ROUND_TRIP_S = 8, 0.008
PEAK = BATCH / ROUND_TRIP_S


def admission_of(**values):
    cells = Cells(bytearray(ROW_BYTES), 0)
    return Admission(cells, load_settings(**{"batch_max": BATCH, "waiting_max": 10_000, **values})), cells


@dataclass
class Run:
    """Arrivals at these moments against a store that takes a batch at a time."""

    admission: Admission
    queue: deque = field(default_factory=deque)
    waits: list = field(default_factory=list)  # of the accepted: arrival, seconds to the answer
    refusals: list = field(default_factory=list)  # arrival, seconds to the refusal

    def play(self, arrivals):
        arrivals, free_at = deque(arrivals), 0.0
        while arrivals or self.queue:
            if not self.queue:
                free_at = max(free_at, arrivals[0])
            while arrivals and arrivals[0] <= free_at:
                self.arrive(arrivals.popleft())
            free_at = self.flush(free_at)
        return self

    def arrive(self, at):
        if len(self.queue) >= self.admission.limit:
            self.admission.refused("queue", at)
            self.refusals.append((at, 0.0))
        else:
            self.queue.append(at)

    def flush(self, now):
        for at in [self.queue.popleft() for _ in range(min(BATCH, len(self.queue)))]:
            self.waits.append((at, now - at + ROUND_TRIP_S))
        self.admission.landed(ROUND_TRIP_S)
        self.admission.left_behind(len(self.queue), now)
        while len(self.queue) > self.admission.limit:
            at = self.queue.pop()
            self.refusals.append((at, now - at))
        return now + ROUND_TRIP_S


def poisson(rate, seconds, *, seed, since=0.0):
    numbers, at = random.Random(seed), since
    while (at := at + numbers.expovariate(rate)) < since + seconds:
        yield at


def p99(values):
    return sorted(values)[int(len(values) * 0.99)]


def load(times, **values):
    return Run(admission_of(**values)[0]).play(poisson(times * PEAK, 30, seed=20_262))


@pytest.mark.parametrize("times", [1, 1.2, 2, 5, 10])
def test_what_can_be_answered_is_answered_in_time_and_the_rest_refused_at_once(times):
    calm, over = load(0.8), load(times)
    assert not calm.refusals
    assert len(over.waits) / 30 >= 0.9 * PEAK
    assert p99([wait for _, wait in over.waits]) <= 2 * p99([wait for _, wait in calm.waits])
    assert p99([wait for _, wait in over.refusals] or [0.0]) <= 0.02


def test_control_without_shedding_everybody_waits():
    calm, over = load(0.8), load(2, shedding=False)
    assert p99([wait for _, wait in over.waits]) > 10 * p99([wait for _, wait in calm.waits])


def test_a_burst_is_taken_up():
    """As much at once as can be answered in time, while others come: nobody is refused."""
    burst = int(0.2 * PEAK)
    run = Run(admission_of()[0]).play(sorted([*poisson(0.5 * PEAK, 10, seed=1), *[2.0] * burst]))
    assert not run.refusals
    assert max(wait for _, wait in run.waits) > 0.2


def test_of_a_larger_burst_the_rest_is_refused_at_once():
    run = Run(admission_of()[0]).play(sorted([*poisson(0.5 * PEAK, 10, seed=1), *[2.0] * int(2 * PEAK)]))
    assert max(wait for _, wait in run.waits) < 0.25 + 3 * ROUND_TRIP_S
    assert {wait for at, wait in run.refusals if at == 2.0} == {0.0}


def test_normal_again_when_it_is_over():
    run = Run(admission_of()[0]).play(
        [*poisson(10 * PEAK, 5, seed=2), *poisson(0.5 * PEAK, 5, seed=3, since=5)]
    )
    assert max(at for at, _ in run.refusals) < 5 + 2 * STANDS_AFTER_S
    assert p99([wait for at, wait in run.waits if at > 5.2]) < 4 * ROUND_TRIP_S


def test_its_state_is_in_the_cells():
    admission, cells = admission_of()
    assert (cells.get("limit"), cells.get("shedding")) == (10_000, 0)
    admission.landed(8 * 0.01)  # an eighth of the way
    assert cells.get("limit") == 25 * BATCH
    assert not admission.sheds_read(1.0)
    admission.left_behind(50, 1.0)
    assert admission.sheds_read(1.0)  # before any scan is
    now = 1.0 + 2 * STANDS_AFTER_S
    admission.left_behind(50, now)
    assert (cells.get("limit"), cells.get("shedding")) == (LOADS * BATCH, 1)
    assert admission.sheds_read(now)
    admission.left_behind(0, now + STANDS_AFTER_S / 2)
    assert cells.get("shedding") == 1  # somebody was refused a moment ago
    admission.left_behind(0, now + 2 * STANDS_AFTER_S)
    assert (cells.get("limit"), cells.get("shedding")) == (25 * BATCH, 0)
    assert not admission.sheds_read(now + 2 * STANDS_AFTER_S)
    assert cells.get("shed.reads") == 2


def test_it_ends_also_when_nobody_comes_any_more():
    admission, cells = admission_of()
    admission.left_behind(50, 1.0)
    admission.left_behind(50, 1.0 + 2 * STANDS_AFTER_S)
    assert cells.get("shedding") == 1
    admission.look(1.0 + 2.5 * STANDS_AFTER_S)
    assert cells.get("shedding") == 1
    admission.look(1.0 + 4 * STANDS_AFTER_S)
    assert (cells.get("limit"), cells.get("shedding")) == (10_000, 0)


async def test_turns_that_are_long_for_an_interval_refuse():
    admission, cells = admission_of()

    async def turn(now_s, long_s):
        """Two requests, the second so much later in the same turn."""
        refused = [admission.is_late(now_s), admission.is_late(now_s + long_s)]
        await asyncio.sleep(0)
        return refused

    assert not any([any(await turn(n, TURN_S / 2)) for n in range(10)])
    moments = [20 + n * 2 * TURN_S for n in range(50)]
    late = [await turn(moment, TURN_S) for moment in moments]
    assert late == [[False, moment - 20 >= STANDS_AFTER_S] for moment in moments]
    assert cells.get("shed.turn") == sum(second for _, second in late)
    # One long turn after a calm while is no overload.
    assert not any(await turn(moments[-1] + 3 * STANDS_AFTER_S, TURN_S))


def test_connections_and_memory_are_bounded():
    admission, cells = admission_of(connections_max=2, buffer_max_bytes=1 << 20)
    assert [admission.has_room_for(n) for n in range(4)] == [True, True, False, False]
    half = 1 << 19
    assert [admission.take(half) for _ in range(3)] == [True, True, False]
    admission.give(half)
    assert admission.take(half)
    assert {
        reason: cells.get(f"shed.{reason}") for reason in SHED_REASONS if cells.get(f"shed.{reason}")
    } == {
        "connections": 2,
        "memory": 1,
    }
