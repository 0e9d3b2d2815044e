"""Measuring: rounds of a yardstick and rounds of the work take turns, and their ratio is the figure.

Time is CPU time, because others run on the same machine. What a slow moment does to one round it does to the
yardstick right before it; the median over the rounds drops the rest.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Final

from pytest_benchmark.fixture import BenchmarkFixture

from bench.yardsticks import Yardstick

ROUNDS: Final = 21
WARMUP_ROUNDS: Final = 2
ROUND_S: Final = 0.002
"""Long beside what the clock itself costs, short beside a busy machine's changes of mind."""

Work = Callable[[], object]
Timer = Callable[[], float]
"""CPU seconds so far."""


class Cost:
    """Measures one bench: called once, with the work."""

    def __init__(self, benchmark: BenchmarkFixture, timer: Timer = time.process_time) -> None:
        self._benchmark = benchmark
        self._timer = timer

    def __call__(self, work: Work, *, of: int, against: Yardstick) -> None:
        """Measures work that does ``of`` operations at each call; inputs are built before, by the caller."""
        lasting, times = self._lasting(work)
        measure, of_measure = self._lasting(against.work)
        self.rounds(lasting, of=of * times, against=Yardstick(against.name, measure, against.of * of_measure))

    def rounds(self, work: Work, *, of: int, against: Yardstick, rounds: int = ROUNDS) -> None:
        """The same for work that lasts as it is, and each call of which is one round."""
        timer, yardstick_s = self._timer, []

        def yardstick_round() -> None:
            began = timer()
            against.work()
            yardstick_s.append((timer() - began) / against.of)

        benchmark = self._benchmark
        benchmark.pedantic(work, setup=yardstick_round, rounds=rounds, warmup_rounds=WARMUP_ROUNDS)
        stats = benchmark.stats.stats
        stats.data = [seconds / of for seconds in stats.data]  # shown as seconds an operation, not a round
        ratios = [s / unit_s for s, unit_s in zip(stats.data, yardstick_s[WARMUP_ROUNDS:], strict=True)]
        benchmark.extra_info.update(
            yardstick=against.name, yardstick_ns=median(yardstick_s) * 1e9, ratio=median(ratios)
        )

    def _lasting(self, work: Work) -> tuple[Work, int]:
        """Work repeated so that it lasts a round, and how often that is."""
        work()  # caches filled, code warm
        began, calls = self._timer(), 0
        while self._timer() - began < ROUND_S:
            work()
            calls += 1

        def lasting() -> None:
            for _ in range(calls):
                work()

        return lasting, calls
