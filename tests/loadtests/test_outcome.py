"""Outcomes: merged over processes, handed over as JSON, and honest about the generator itself."""

import io
import random
from collections import Counter

import orjson
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from loadtests.generator.log import write_log, write_percentiles
from loadtests.generator.outcome import LATENCY_US_MAX, Outcome, empty_histogram, histogram_of

DICE = random.Random(7)


def outcome_of(latencies: dict[int, list[int]], **values: object) -> Outcome:
    """Of the latencies in microseconds of each second."""
    everything = [value for second in latencies.values() for value in second]
    return Outcome(
        latency_us=histogram_of(everything),
        statuses=Counter({200: len(everything)}),
        intervals={second: histogram_of(values).encode() for second, values in latencies.items()},
        **values,  # type: ignore[arg-type]
    )


def latencies(count: int) -> list[int]:
    return [int(DICE.lognormvariate(9, 1)) for _ in range(count)]


def test_what_is_out_of_range_is_counted_at_its_end() -> None:
    histogram = histogram_of([0, -5, 10**12])
    assert histogram.get_total_count() == 3
    assert histogram.get_min_value() == 1
    assert histogram.values_are_equivalent(histogram.get_max_value(), LATENCY_US_MAX)


def test_merged_outcomes_are_as_one_that_saw_it_all() -> None:
    mine, yours = {0: latencies(300), 1: latencies(200)}, {1: latencies(100), 2: latencies(50)}
    both = {0: mine[0], 1: mine[1] + yours[1], 2: yours[2]}
    merged = outcome_of(mine, seconds=2.0, cpu_s=0.5, late=3)
    merged.failures["timed out"] = 2
    other = outcome_of(yours, seconds=3.0, cpu_s=0.25, late=4)
    other.failures["timed out"] = 1
    other.statuses[503] = 7
    merged.merge(other)
    everything = [value for values in both.values() for value in values]
    assert merged.latency_us.encode() == histogram_of(everything).encode()
    assert merged.latency_us.get_min_value() == min(everything)
    assert {
        second: HdrHistogram.decode(data).get_total_count() for second, data in merged.intervals.items()
    } == {second: len(values) for second, values in both.items()}
    assert merged.statuses == {200: 650, 503: 7}
    assert merged.failures == {"timed out": 3}
    assert (merged.seconds, merged.cpu_s, merged.late, merged.generators) == (3.0, 0.75, 7, 2)


def test_an_empty_outcome_merges_and_says_nothing() -> None:
    nothing = Outcome()
    assert nothing.percentile_us(99) == 0
    assert nothing.summary()["latency_ms"] == {}
    something = outcome_of({0: [100, 200]})
    nothing.merge(something)
    assert nothing.latency_us.encode() == something.latency_us.encode()
    assert nothing.latency_us.get_min_value() == 100
    something.merge(Outcome())
    assert something.latency_us.get_min_value() == 100


def test_an_outcome_travels_as_json() -> None:
    sent = outcome_of({0: latencies(100), 5: latencies(10)}, seconds=6.0, cpu_s=0.1, late=1, generators=3)
    sent.failures["broken answer"] = 2
    came = Outcome.load(orjson.loads(orjson.dumps(sent.dump())))
    assert came.latency_us.encode() == sent.latency_us.encode()
    assert vars(came) | {"latency_us": None} == vars(sent) | {"latency_us": None}
    assert came.summary() == sent.summary()


@pytest.mark.parametrize(
    ("late", "cpu_s", "text"),
    [(0, 1.0, ""), (10, 1.0, ""), (11, 1.0, "the generator lagged"), (0, 1.9, "of a core a process")],
)
def test_the_generator_says_when_it_was_the_bottleneck(late: int, cpu_s: float, text: str) -> None:
    outcome = outcome_of({0: latencies(1000)}, seconds=1.0, cpu_s=cpu_s, late=late, generators=2)
    assert (outcome.bottleneck() != "") == (text != "")
    assert text in outcome.bottleneck()
    assert outcome.summary()["generator"]["bottleneck"] == outcome.bottleneck()


def test_hdrhistogram_tools_read_the_files(tmp_path) -> None:
    outcome = outcome_of({0: latencies(400), 3: latencies(100)}, seconds=4.0)
    write_percentiles(tmp_path / "latency.hgrm", outcome)
    write_log(tmp_path / "latency.hlog", outcome, began_s=1_795_000_000.25)

    expected = io.BytesIO()
    outcome.latency_us.output_percentile_distribution(expected, 1000.0)
    assert (tmp_path / "latency.hgrm").read_bytes() == expected.getvalue()

    reader = HistogramLogReader(str(tmp_path / "latency.hlog"), empty_histogram())
    first = reader.get_next_interval_histogram()
    later = reader.get_next_interval_histogram()
    assert reader.get_next_interval_histogram() is None
    assert reader.get_start_time_sec() == 1_795_000_000.25
    reader.close()
    assert (first.get_total_count(), later.get_total_count()) == (400, 100)
    assert later.get_start_time_stamp() - first.get_start_time_stamp() == 3000.0
    first.add(later)
    assert first.get_value_at_percentile(99) == outcome.percentile_us(99)
