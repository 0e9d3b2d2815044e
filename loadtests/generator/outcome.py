"""What came of a run: latencies, statuses, failures, and whether the generator itself was too slow."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram

LATENCY_US_MAX = 3_600_000_000  # an hour
SIGNIFICANT_DIGITS = 3
SUB_BUCKET_BITS = (
    11  # 2,048 sub-buckets tell three digits apart; from the second bucket on the upper half is used
)
PERCENTILES = (50.0, 75.0, 90.0, 99.0, 99.9, 100.0)
# Past these the figures are the generator's own, and no longer the service's.
LATE_SHARE_MAX = 0.01
BUSY_SHARE_MAX = 0.9


def empty_histogram() -> HdrHistogram:
    """Of microseconds, exact to three digits, up to an hour."""
    return HdrHistogram(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS)


def histogram_of(latencies_us: Iterable[int]) -> HdrHistogram:
    histogram = empty_histogram()
    for value, count in Counter(latencies_us).items():
        histogram.record_value(min(max(value, 1), LATENCY_US_MAX), count)
    return histogram


@dataclass
class Outcome:
    """The outcome of one generator, or of several that were merged.

    ``latency_us`` holds answers only; what failed is counted by its reason in ``failures``. ``late`` are the
    requests that went out more than 5 ms after they were due because the generator lagged, and not because
    all connections were busy. ``cpu_s`` is the CPU of the ``generators``' threads. ``intervals`` has one
    encoded histogram for each second that requests were due in (in closed loop: sent in).
    """

    latency_us: HdrHistogram = field(default_factory=empty_histogram)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    late: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    generators: int = 1
    intervals: dict[int, bytes] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        return self.statuses.total()

    @property
    def requests(self) -> int:
        return self.statuses.total() + self.failures.total()

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds if self.seconds else 0.0

    @property
    def busy_share(self) -> float:
        """How much of a core each generator used: at 1.0 it could not have sent more."""
        return self.cpu_s / (self.seconds * self.generators) if self.seconds else 0.0

    def percentile_us(self, percentile: float) -> int:
        """0 where nothing was answered."""
        return int(self.latency_us.get_value_at_percentile(percentile)) if self.answers else 0

    def bottleneck(self) -> str:
        """Why the generator, and not the service, set the pace; empty where it did not."""
        if self.late > self.requests * LATE_SHARE_MAX:
            return (
                f"the generator lagged: {self.late:,} of {self.requests:,} requests left it more than 5 ms "
                "late; give it more processes or more of the machine"
            )
        if self.busy_share > BUSY_SHARE_MAX:
            return (
                f"the generator used {self.busy_share:.0%} of a core a process: the service may be faster; "
                "give it more processes"
            )
        return ""

    def merge(self, other: "Outcome") -> None:
        """Adds what another generator saw in the same time."""
        self.latency_us = merged(self.latency_us, other.latency_us)
        self.statuses += other.statuses
        self.failures += other.failures
        self.late += other.late
        self.seconds = max(self.seconds, other.seconds)
        self.cpu_s += other.cpu_s
        self.generators += other.generators
        for second, encoded in other.intervals.items():
            mine = self.intervals.get(second)
            if mine is not None:
                encoded = merged(HdrHistogram.decode(mine), HdrHistogram.decode(encoded)).encode()
            self.intervals[second] = encoded

    def summary(self) -> dict[str, Any]:
        """For people and for JSON; latencies in milliseconds."""
        at = self.latency_us.get_percentile_to_value_dict(list(PERCENTILES)) if self.answers else {}
        return {
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "answers_per_second": round(self.rate, 1),
            "statuses": {str(status): n for status, n in sorted(self.statuses.items())},
            "failures": dict(sorted(self.failures.items())),
            "latency_ms": {f"p{percentile:g}": value / 1000 for percentile, value in sorted(at.items())},
            "generator": {
                "processes": self.generators,
                "late": self.late,
                "busy_share": round(self.busy_share, 3),
                "cpu_us_per_request": round(self.cpu_s * 1e6 / max(self.requests, 1), 2),
                "bottleneck": self.bottleneck(),
            },
        }

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it, to hand to another process."""
        return {
            "latency_us": self.latency_us.encode().decode(),
            "statuses": list(self.statuses.items()),
            "failures": dict(self.failures),
            "late": self.late,
            "seconds": self.seconds,
            "cpu_s": self.cpu_s,
            "generators": self.generators,
            "intervals": [(second, encoded.decode()) for second, encoded in self.intervals.items()],
        }

    @classmethod
    def load(cls, data: dict[str, Any]) -> "Outcome":
        return cls(
            latency_us=HdrHistogram.decode(data["latency_us"].encode()),
            statuses=Counter(dict(data["statuses"])),
            failures=Counter(data["failures"]),
            late=data["late"],
            seconds=data["seconds"],
            cpu_s=data["cpu_s"],
            generators=data["generators"],
            intervals={second: encoded.encode() for second, encoded in data["intervals"]},
        )


def merged(one: HdrHistogram, other: HdrHistogram) -> HdrHistogram:
    """A new histogram. An empty one is left out: added to, it would keep 0 as its least value."""
    both = empty_histogram()
    parts = [part for part in (one, other) if part.get_total_count()]
    for part in parts:
        both.add(part)
    if parts:
        both.min_value = min(part.get_min_value() for part in parts)
    return both
