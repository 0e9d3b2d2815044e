"""Cells that processes share, and their sum as Prometheus reads it."""

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from scanner.service.metrics import (
    BATCH_OUTCOMES,
    CELL,
    LATENCY_US,
    REQUEST_OUTCOMES,
    ROW_BYTES,
    Cells,
    ServiceCollector,
)
from scanner.service.problems import OUTCOMES


@pytest.fixture
def rows():
    shared = bytearray(3 * ROW_BYTES)
    return [Cells(shared, row) for row in range(3)]


def samples(rows):
    """What Prometheus reads: (name, labels) → value."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(rows))
    return read(registry)


def read(registry):
    text = generate_latest(registry).decode()
    found = [
        ((sample.name, *sample.labels.values()), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_cells_begin_at_zero_and_are_added_to_and_set(rows):
    cells = rows[1]
    assert {cells.get(name) for name in CELL} == {0}
    cells.add("claims", 5)
    cells.add("claims")
    cells.set("waiting", 7)
    cells.set("waiting", 3)
    assert (cells.get("claims"), cells.get("waiting")) == (6, 3)


def test_each_cell_is_its_own(rows):
    for row, cells in enumerate(rows):
        for name in CELL:
            cells.set(name, row * 1000 + CELL[name])
    assert all(cells.get(name) == row * 1000 + CELL[name] for row, cells in enumerate(rows) for name in CELL)


def test_a_cell_holds_64_bits(rows):
    rows[0].set("beat_ms", 2**63 - 1)
    assert rows[0].get("beat_ms") == 2**63 - 1


def test_a_row_that_does_not_fit_is_a_fault():
    with pytest.raises(IndexError):
        Cells(bytearray(ROW_BYTES), 1).add("claims")


def test_what_one_map_writes_another_reads(tmp_path):
    # As the supervisor and a worker do, each with a map of its own.
    with (tmp_path / "cells").open("w+b") as file:
        file.truncate(2 * ROW_BYTES)
        worker, supervisor = mmap.mmap(file.fileno(), 0), mmap.mmap(file.fileno(), 0)
    Cells(worker, 1).add("batches", 4)
    assert [Cells(supervisor, row).get("batches") for row in range(2)] == [0, 4]


@pytest.mark.parametrize("outcome", REQUEST_OUTCOMES)
def test_a_request_is_counted_under_its_outcome(rows, outcome):
    rows[0].observe(outcome, 0.001)
    counted = {name: rows[0].get(f"outcome.{name}") for name in REQUEST_OUTCOMES}
    assert counted == dict.fromkeys(REQUEST_OUTCOMES, 0) | {outcome: 1}


def test_every_refusal_can_be_counted():
    assert set(OUTCOMES) < set(REQUEST_OUTCOMES)
    assert set(OUTCOMES) < set(BATCH_OUTCOMES)


@pytest.mark.parametrize("outcome", BATCH_OUTCOMES)
def test_a_scan_of_a_batch_is_counted_apart(rows, outcome):
    rows[0].count_in_batch(outcome)
    rows[2].count_in_batch(outcome)
    found = samples(rows)
    assert found["scanner_batch_scans_total", outcome] == 2
    assert sum(value for name, value in found.items() if name[0] == "scanner_batch_scans_total") == 2
    assert found[("scanner_request_seconds_count",)] == 0
    assert all(found["scanner_requests_total", name] == 0 for name in REQUEST_OUTCOMES)


def test_an_unknown_outcome_is_a_fault(rows):
    with pytest.raises(KeyError):
        rows[0].observe("perhaps", 0.001)


@pytest.mark.parametrize(
    ("micros", "cell"),
    [
        (0, "latency.500"),
        (500, "latency.500"),
        (501, "latency.1000"),
        (1_000, "latency.1000"),
        (2_000_000, "latency.2000000"),
        (2_000_001, "latency.inf"),
        (3_600_000_000, "latency.inf"),
    ],
)
def test_a_latency_falls_into_the_bucket_that_ends_at_or_above_it(rows, micros, cell):
    rows[0].observe("accepted", micros / 1e6)
    assert {name for name in CELL if name.startswith("latency.") and rows[0].get(name)} == {cell}
    assert rows[0].get("latency_sum_us") == micros


def test_rows_are_summed(rows):
    for n, cells in enumerate(rows, 1):
        cells.observe("accepted", 0.0004)
        cells.observe("unknown_code", 1.5)
        for name in ("claims", "batches", "sent_again", "waiting", "away"):
            cells.add(name, n)
        cells.set("store_ready", int(n > 1))
    found = samples(rows)
    assert found["scanner_requests_total", "accepted"] == found["scanner_requests_total", "unknown_code"] == 3
    assert found["scanner_requests_total", "claimed"] == 0
    for name in ("claims_total", "batches_total", "sent_again_total", "waiting", "away"):
        assert found[(f"scanner_{name}",)] == 6
    assert found[("scanner_workers_ready",)] == 2
    assert found[("scanner_request_seconds_sum",)] == pytest.approx(3 * 1.5004)
    assert found[("scanner_request_seconds_count",)] == 6


def test_restarts_are_counted(rows):
    collector = ServiceCollector(rows)
    registry = CollectorRegistry()
    registry.register(collector)
    assert read(registry)[("scanner_worker_restarts_total",)] == 0
    collector.restarts += 2
    assert read(registry)[("scanner_worker_restarts_total",)] == 2


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3_000_000)), max_size=50))
def test_the_histogram_is_cumulative_and_loses_nothing(observed):
    shared = bytearray(3 * ROW_BYTES)
    rows = [Cells(shared, row) for row in range(3)]
    for row, micros in observed:
        rows[row].observe("accepted", micros / 1e6 + 1e-8)  # so that micros survive the division
    found = samples(rows)
    for bound in LATENCY_US:
        below = sum(micros <= bound for _, micros in observed)
        assert found["scanner_request_seconds_bucket", str(bound / 1e6)] == below
    assert found["scanner_request_seconds_bucket", "+Inf"] == len(observed)
    assert found[("scanner_request_seconds_count",)] == len(observed)
    total = sum(micros for _, micros in observed)
    assert found[("scanner_request_seconds_sum",)] == pytest.approx(total / 1e6)
