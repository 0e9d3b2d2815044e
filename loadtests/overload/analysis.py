"""From records to figures: what a step came to, and when a service was normal again after an overload."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.overload.records import FOUND_NO_CONNECTION, End, Records
from loadtests.overload.run import Sample

# The generator was too slow where more than this share left it more than LATE_S after they were due.
LATE_S = 0.005
LATE_SHARE_MAX = 0.01
BUSY_SHARE_MAX = 0.9
# Of a step its first second apart: a service may need a moment to find out what it can do.
SETTLED_AFTER_S = 1.0
BIN_S = 0.25
# So long all must be normal, to count as normal again.
CALM_S = 1.0
REFUSED_SHARE_NORMAL = 0.01


@dataclass(frozen=True)
class Step:
    """What a load of ``times`` the peak came to, a second or of all that fell due in it.

    ``goodput_per_s`` are the scans that were accepted before the step was over; latencies are of all that
    fell due in it, from then on, the settled ones of what did after its first second. NaN where there was
    none. ``waiting_most`` are the claims that waited in the workers by their own count, ``worker_busy`` the
    cores they used. ``mark`` says where the generator itself fell short.
    """

    times: float
    offered_per_s: float
    goodput_per_s: float
    goodput_of_peak: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    accepted_p99_settled_ms: float
    refused_per_s: float
    refused_p50_ms: float
    refused_p99_ms: float
    refused_p99_settled_ms: float
    never_answered_share: float
    no_connection_share: float
    late_share: float
    generator_busy: float
    worker_busy: float
    worker_rss_mb: float
    waiting_most: int
    mark: str = ""


def step_of(
    records: Records,
    samples: Sequence[Sample],
    *,
    times: float,
    seconds: float,
    peak_per_s: float,
    busy_share: float,
) -> Step:
    """The figures of the requests that fell due within the first so many seconds."""
    latencies: dict[End, list[float]] = {end: [] for end in End}
    settled: dict[End, list[float]] = {end: [] for end in End}
    in_time = without = late = 0
    for due_s, sent_s, ended_s, byte in zip(
        records.due_s, records.sent_s, records.ended_s, records.ends, strict=True
    ):
        if due_s >= seconds:
            continue
        end = End(byte & ~FOUND_NO_CONNECTION)
        latencies[end].append(ended_s - due_s)
        if due_s >= SETTLED_AFTER_S:
            settled[end].append(ended_s - due_s)
        if byte & FOUND_NO_CONNECTION:
            without += 1
        elif sent_s - due_s > LATE_S:
            late += 1
        if end is End.ACCEPTED:
            in_time += ended_s < seconds
    due = sum(map(len, latencies.values()))
    accepted, refused = sorted(latencies[End.ACCEPTED]), sorted(latencies[End.REFUSED])
    unanswered = len(latencies[End.NEVER_ANSWERED]) + len(latencies[End.NEVER_SENT])
    within = [sample for sample in samples if 0 <= sample.at_s <= seconds]
    goodput = in_time / seconds
    late_share, without_share = late / max(due, 1), without / max(due, 1)
    marks = []
    if late_share > LATE_SHARE_MAX or busy_share > BUSY_SHARE_MAX:
        marks.append("generator lagged")
    if without_share > LATE_SHARE_MAX:
        marks.append("no free connection")
    return Step(
        times=times,
        offered_per_s=due / seconds,
        goodput_per_s=goodput,
        goodput_of_peak=goodput / peak_per_s,
        accepted_p50_ms=percentile(accepted, 50) * 1e3,
        accepted_p99_ms=percentile(accepted, 99) * 1e3,
        accepted_p99_settled_ms=percentile(sorted(settled[End.ACCEPTED]), 99) * 1e3,
        refused_per_s=len(refused) / seconds,
        refused_p50_ms=percentile(refused, 50) * 1e3,
        refused_p99_ms=percentile(refused, 99) * 1e3,
        refused_p99_settled_ms=percentile(sorted(settled[End.REFUSED]), 99) * 1e3,
        never_answered_share=unanswered / max(due, 1),
        no_connection_share=without_share,
        late_share=late_share,
        generator_busy=busy_share,
        worker_busy=_busy(within),
        worker_rss_mb=max((sample.rss_bytes for sample in within), default=0) / 1e6,
        waiting_most=max((sample.waiting for sample in within), default=0),
        mark=", ".join(marks),
    )


def _busy(samples: Sequence[Sample]) -> float:
    if len(samples) < 2:
        return math.nan
    first, last = samples[0], samples[-1]
    return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The least value that so many percent do not exceed; NaN of none."""
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


@dataclass(frozen=True)
class Bin:
    """A quarter of a second after the overload: how much was not accepted, and how long the rest took."""

    at_s: float
    due: int
    failed_share: float
    accepted_p99_ms: float


def bins_after(records: Records, overload_s: float, until_s: float) -> list[Bin]:
    """What fell due after the overload, by when; ``at_s`` counts from its end."""
    count = math.floor((until_s - overload_s) / BIN_S)
    accepted: list[list[float]] = [[] for _ in range(count)]
    due = [0] * count
    for due_s, ended_s, byte in zip(records.due_s, records.ended_s, records.ends, strict=True):
        at = math.floor((due_s - overload_s) / BIN_S)
        if 0 <= at < count:
            due[at] += 1
            if End(byte & ~FOUND_NO_CONNECTION) is End.ACCEPTED:
                accepted[at].append(ended_s - due_s)
    return [
        Bin(
            at_s=at * BIN_S,
            due=due[at],
            failed_share=1 - len(accepted[at]) / due[at] if due[at] else 0.0,
            accepted_p99_ms=percentile(sorted(accepted[at]), 99) * 1e3,
        )
        for at in range(count)
    ]


def normal_again_s(bins: Sequence[Bin], *, p99_ms_most: float) -> float:
    """Seconds from the end of the overload until a whole second was normal: next to nothing refused, and the
    99th percentile within the bound. Infinite where that did not come."""
    needed, calm = round(CALM_S / BIN_S), 0
    for one in bins:
        is_normal = one.failed_share <= REFUSED_SHARE_NORMAL and one.accepted_p99_ms <= p99_ms_most
        calm = calm + 1 if is_normal else 0
        if calm == needed:
            return one.at_s - (needed - 1) * BIN_S
    return math.inf
