"""The whole measurement: the peak, then a step for each multiple of it, round after round, in turn."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadtests.errors import LoadTestError
from loadtests.overload.analysis import Bin, Step, bins_after, normal_again_s, step_of
from loadtests.overload.records import FOUND_NO_CONNECTION, End
from loadtests.overload.run import Load, Run, closed_loop, open_loop
from loadtests.overload.service import Target, target
from loadtests.overload.share import Phase

# Closed loops that look for the peak have so many full batches' worth of connections.
PEAK_BATCHES = (2, 4, 8)
PEAK_SECONDS, PEAK_WARM_S = 2.5, 0.5
PEAK_PER_S_MAX = 30_000
PEAK_HALVINGS, ACCEPTED_SHARE = 5, 0.97
CALM_LOAD, BASE_LOAD = 0.5, 0.8
LATENCY_TIMES_NORMAL = 2.0
# At low rates most connections are silent for longer than a service puts up with; here that is no fault.
SILENT_MS_MAX = 600_000


@dataclass(frozen=True)
class Plan:
    """What is measured, in every round alike. ``hold_s`` is 0 where the store is as fast as it is."""

    times: Sequence[float]
    seconds: float
    after_s: float
    rounds: int
    load: Load
    workers: int
    hold_s: float
    batch_max: int


@dataclass
class Round:
    """One round against one service. ``normal_again_s`` is infinite where it did not come; ``refused`` has by
    step how many the workers refused, and why."""

    peak_per_s: float
    steps: list[Step] = field(default_factory=list)
    bins: list[Bin] = field(default_factory=list)
    normal_again_s: float = 0.0
    store_memory_mb: float = 0.0
    refused: dict[str, dict[str, int]] = field(default_factory=dict)
    wrong_count: int = 0
    wrong: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count_wrong(self, run: Run) -> None:
        """Counts the answers that were not to be."""
        self.wrong_count += run.wrong_count
        self.wrong += run.wrong


async def measure(plan: Plan, variants: Mapping[str, Mapping[str, object]]) -> dict[str, list[Round]]:
    """So many rounds of each variant, which take turns; a variant is a service with these settings."""
    rounds: dict[str, list[Round]] = {name: [] for name in variants}
    for number in range(plan.rounds):
        for name, settings in variants.items():
            say(f"round {number + 1} of {plan.rounds}{f', {name}' if len(variants) > 1 else ''}")
            async with target(
                workers=plan.workers,
                hold_s=plan.hold_s,
                settings={"batch_max": plan.batch_max, "head_timeout_ms": SILENT_MS_MAX, **settings},
            ) as service:
                rounds[name].append(await _round(service, plan, seed=number))
    return rounds


async def _round(service: Target, plan: Plan, *, seed: int) -> Round:
    found = Round(0.0)
    found.peak_per_s = await _peak(service, plan, found)
    say(f"  peak {found.peak_per_s:,.0f} scans/s")
    base_p99_ms = None
    for times in plan.times:
        phases = [Phase(times * found.peak_per_s, plan.seconds)]
        is_last = times == plan.times[-1]
        if is_last:
            phases.append(Phase(CALM_LOAD * found.peak_per_s, plan.after_s))
        before = service.refused
        run = await open_loop(service, plan.load, phases, seed=seed)
        found.refused[f"{times:g}"] = dict(service.refused - before)
        step = step_of(
            run.records,
            run.samples,
            times=times,
            seconds=plan.seconds,
            peak_per_s=found.peak_per_s,
            busy_share=run.busy_share,
        )
        found.steps.append(step)
        found.count_wrong(run)
        if run.worker_died:
            found.notes.append(f"a worker died at {times:g} times the peak")
        if times == BASE_LOAD:
            base_p99_ms = step.accepted_p99_ms
        if is_last and base_p99_ms is not None:
            found.bins = bins_after(run.records, plan.seconds, plan.seconds + plan.after_s)
            found.normal_again_s = normal_again_s(found.bins, p99_ms_most=LATENCY_TIMES_NORMAL * base_p99_ms)
        say(f"  {times:g}×: {step.goodput_per_s:,.0f} of {step.offered_per_s:,.0f} accepted a second")
    await service.calm()
    memory = await service.own.store.client.info("memory")
    found.store_memory_mb = memory["used_memory"] / 1e6
    found.ledger = await service.faults()
    return found


async def _peak(service: Target, plan: Plan, found: Round) -> float:
    """The most that was accepted a second, of closed loops of several sizes.

    Of the smallest nothing is refused, so the peak does not depend on the admission. Where the machine is the
    bottleneck, a closed loop finds more than there is: its requests come in step with the batches. There, it
    is the highest rate found in open loop of which nearly all is accepted at once.
    """
    best = 0.0
    for batches in PEAK_BATCHES:
        connections = batches * plan.batch_max * plan.workers
        load = replace(plan.load, connections=connections, evenly=True)
        run = await closed_loop(service, load, seconds=PEAK_SECONDS, codes=int(PEAK_PER_S_MAX * PEAK_SECONDS))
        found.count_wrong(run)
        best = max(best, accepted_per_s(run, min(run.seconds, PEAK_SECONDS)))
    if not best:
        raise LoadTestError("nothing was accepted in closed loop, so there is no peak")
    if plan.hold_s:
        return best
    low, high = 0.0, best
    for seed in range(PEAK_HALVINGS):
        rate = (low + high) / 2
        run = await open_loop(service, plan.load, [Phase(rate, PEAK_SECONDS)], seed=seed)
        found.count_wrong(run)
        if accepted_per_s(run, PEAK_SECONDS) >= ACCEPTED_SHARE * rate:
            low = rate
        else:
            high = rate
    return low or high


def accepted_per_s(run: Run, last_s: float) -> float:
    """Scans that were accepted a second, from ``PEAK_WARM_S`` on."""
    accepted = sum(
        PEAK_WARM_S <= ended_s < last_s and End(byte & ~FOUND_NO_CONNECTION) is End.ACCEPTED
        for ended_s, byte in zip(run.records.ended_s, run.records.ends, strict=True)
    )
    return accepted / (last_s - PEAK_WARM_S)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
