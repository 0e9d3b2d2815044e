"""The files that HdrHistogram's tools read: a percentile table (.hgrm) and an interval log (.hlog)."""

from datetime import UTC, datetime
from pathlib import Path

from hdrh.histogram import HdrHistogram

from loadtests.generator.outcome import Outcome

US_PER_MS = 1000.0


def write_percentiles(path: Path, outcome: Outcome) -> None:
    """The distribution in milliseconds, as the HdrHistogram plotter takes it."""
    with path.open("wb") as file:
        outcome.latency_us.output_percentile_distribution(file, US_PER_MS)


def write_log(path: Path, outcome: Outcome, *, began_s: float) -> None:
    """One line for each second, its histogram compressed and in base64 (log format 1.2).

    ``began_s`` is Unix time. Times in the lines are seconds from then; the third column is in milliseconds,
    the histograms are in microseconds.
    """
    moment = datetime.fromtimestamp(began_s, UTC)
    lines = [
        "#[Histogram log format version 1.2]",
        f"#[StartTime: {began_s:.3f} (seconds since epoch), {moment:%a %b %d %H:%M:%S UTC %Y}]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for second, encoded in sorted(outcome.intervals.items()):
        max_ms = HdrHistogram.decode(encoded).get_max_value() / US_PER_MS
        lines.append(f"{second:.3f},1.000,{max_ms:.3f},{encoded.decode()}")
    path.write_text("\n".join([*lines, ""]), "ascii")
