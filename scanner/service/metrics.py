"""Counting: plain integers in memory that all processes of the service share, summed when somebody asks.

A worker adds to cells of its own row, without a lock and without a call; the supervisor reads all rows. A row
outlives its worker, so no count goes back when one is restarted.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf
from zlib import crc32

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from scanner.service.alarm import ForgeryAlarm
from scanner.service.problems import OUTCOMES

# Upper bounds of the latency histogram, in microseconds.
LATENCY_US = (
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
)
# What was done comes before what was refused. A grant is counted as accepted.
REQUEST_OUTCOMES = ("accepted", "replayed", "genuine", "batch", "described", *OUTCOMES)
BATCH_OUTCOMES = ("accepted", "replayed", *OUTCOMES)
GAUGES = (
    *("waiting", "away", "limit", "shedding", "connections"),
    *("accepts_row", "store_ready", "store_went_back", "keys_stale", "beat_ms"),
    "full",  # in the service's own row only
)
SHED_REASONS = ("queue", "turn", "deadline", "reads", "connections", "memory")
_NAMES = (
    *(f"outcome.{outcome}" for outcome in REQUEST_OUTCOMES),
    *(f"in_batch.{outcome}" for outcome in BATCH_OUTCOMES),
    "batches",
    "claims",
    "sent_again",
    "refused_full",
    *(f"shed.{reason}" for reason in SHED_REASONS),
    *GAUGES,
    *(f"latency.{bound}" for bound in (*LATENCY_US, "inf")),
    "latency_sum_us",
)
CELL = {name: index for index, name in enumerate(_NAMES)}
ROW_BYTES = 8 * len(_NAMES)
# Processes that share cells must agree about what each of them is.
LAYOUT = crc32(" ".join(_NAMES).encode())


class Cells:
    """One worker's row of 64-bit integers."""

    def __init__(self, shared: mmap.mmap | bytearray, row: int) -> None:
        self._cells = memoryview(shared)[row * ROW_BYTES : (row + 1) * ROW_BYTES].cast("q")

    @property
    def values(self) -> memoryview:
        """The integers themselves, by the indices in :data:`CELL`."""
        return self._cells

    def add(self, name: str, n: int = 1) -> None:
        self._cells[CELL[name]] += n

    def set(self, name: str, value: int) -> None:
        self._cells[CELL[name]] = value

    def get(self, name: str) -> int:
        return self._cells[CELL[name]]

    def observe(self, outcome: str, seconds: float) -> None:
        """Counts one answered request."""
        cells, micros = self._cells, int(seconds * 1e6)
        cells[CELL["outcome.accepted"] + _OUTCOME[outcome]] += 1
        cells[_LATENCY + bisect_left(LATENCY_US, micros)] += 1
        cells[CELL["latency_sum_us"]] += micros

    def count_in_batch(self, outcome: str) -> None:
        """Counts one scan of a batch; the batch itself is the request."""
        self.add(f"in_batch.{outcome}")


_OUTCOME = {outcome: index for index, outcome in enumerate(REQUEST_OUTCOMES)}
_LATENCY = CELL[f"latency.{LATENCY_US[0]}"]


class ServiceCollector(Collector):
    """The sum over all rows, in the form that Prometheus reads."""

    def __init__(self, rows: list[Cells], forgeries_alarm_per_s: float = inf) -> None:
        self._rows = rows
        self.restarts = 0
        self.alarm = ForgeryAlarm(forgeries_alarm_per_s)

    @property
    def forgeries(self) -> int:
        """Codes and tokens that were not genuine, so far."""
        cells = "outcome.unknown_code", "in_batch.unknown_code", "outcome.unauthorized"
        return sum(self._sum(cell) for cell in cells)

    def _sum(self, name: str) -> int:
        return sum(row.get(name) for row in self._rows)

    def collect(self) -> Iterator[Metric]:
        yield self._by_outcome("requests", "Requests answered, by outcome", "outcome", REQUEST_OUTCOMES)
        yield self._by_outcome("batch_scans", "Scans in batches, by outcome", "in_batch", BATCH_OUTCOMES)
        for name, text in (
            ("batches", "Batches sent to the store"),
            ("claims", "Claims sent to the store"),
            ("sent_again", "Batches sent a second time because the reply was lost"),
            ("refused_full", "Claims refused because the stream or the store was at its limit"),
        ):
            yield CounterMetricFamily(f"scanner_{name}", text, value=self._sum(name))
        yield CounterMetricFamily(
            "scanner_worker_restarts", "Workers started again after they died", value=self.restarts
        )
        shed = CounterMetricFamily("scanner_shed", "Requests refused as too much", labels=["reason"])
        for reason in SHED_REASONS:
            shed.add_metric([reason], self._sum(f"shed.{reason}"))
        yield shed
        for name, text in (
            ("waiting", "Claims that wait for a batch"),
            ("away", "Batches under way"),
            ("limit", "Claims that may wait for a batch, as things stand"),
            ("shedding", "Workers that refuse scans as too much"),
            ("connections", "Open connections"),
        ):
            yield GaugeMetricFamily(f"scanner_{name}", text, value=self._sum(name))
        yield GaugeMetricFamily(
            "scanner_forgeries_per_second", "Codes and tokens that are not genuine", value=self.alarm.per_s
        )
        yield GaugeMetricFamily(
            "scanner_forgeries_alarm", "Whether these are too many", value=int(self.alarm.ringing)
        )
        ready = sum(row.get("store_ready") for row in self._rows)
        yield GaugeMetricFamily("scanner_workers_ready", "Workers that reach the store", value=ready)
        yield GaugeMetricFamily(
            "scanner_keys_stale",
            "Workers that could not take the newest key file",
            value=self._sum("keys_stale"),
        )
        yield self._latency()

    def _by_outcome(self, name: str, text: str, cell: str, outcomes: Sequence[str]) -> Metric:
        counter = CounterMetricFamily(f"scanner_{name}", text, labels=["outcome"])
        for outcome in outcomes:
            counter.add_metric([outcome], self._sum(f"{cell}.{outcome}"))
        return counter

    def _latency(self) -> Metric:
        total, buckets = 0, []
        for bound in LATENCY_US:
            total += self._sum(f"latency.{bound}")
            buckets.append((str(bound / 1e6), total))
        buckets.append(("+Inf", total + self._sum("latency.inf")))
        return HistogramMetricFamily(
            "scanner_request_seconds",
            "Time from a request's headers to its answer",
            buckets=buckets,
            sum_value=self._sum("latency_sum_us") / 1e6,
        )
