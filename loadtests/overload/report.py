"""What was found, as a table for people and as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer

from loadtests.gates import Verdict
from loadtests.overload.analysis import Step
from loadtests.overload.conduct import Plan, Round
from loadtests.overload.medians import median_of, over_rounds, refusal_us, times_base
from scanner.cli.console import print_rows

HEADINGS = (
    "load", "offered/s", "accepted/s", "of peak", "p50 ms", "p99 ms", "settled", "× p99 at 0.8", "refused/s",
    "p50 ms", "p99 ms", "settled", "no answer", "waiting", "cores", "MB", "",
)  # fmt: skip


def data(
    plan: Plan, found: Mapping[str, Sequence[Round]], verdicts: Mapping[str, Sequence[Verdict]]
) -> dict[str, Any]:
    """All of it: the plan, and of each variant the verdicts, the medians and every round."""
    return {
        "plan": asdict(plan),
        "variants": {
            name: {
                "gates": [verdict._asdict() for verdict in verdicts[name]],
                "peak_per_s": median_of(one.peak_per_s for one in rounds),
                "normal_again_s": sorted(one.normal_again_s for one in rounds)[len(rounds) // 2],
                "steps": [asdict(step) for step in over_rounds(rounds)],
                "rounds": [asdict(one) for one in rounds],
            }
            for name, rounds in found.items()
        },
    }


def show(name: str, rounds: Sequence[Round], verdicts: Sequence[Verdict]) -> None:
    """Prints a variant's table, its verdicts, and what is to be said about it."""
    steps = over_rounds(rounds)
    peak = median_of(one.peak_per_s for one in rounds)
    many = f"medians of {len(rounds)} rounds" if len(rounds) > 1 else "one round"
    typer.echo(f"\n{name}: peak {peak:,.0f} scans/s, {many}\n")
    times = times_base(rounds, "accepted_p99_ms")
    print_rows(HEADINGS, [_row(step, times) for step in steps])
    accepted_us, refused_us = refusal_us(steps)
    typer.echo()
    for line in [
        f"CPU of the workers: an accepted scan {accepted_us:,.0f} µs (at 0.8×), "
        f"a refusal {_number(refused_us)} µs (at {steps[-1].times:g}×)",
        f"normal again: {', '.join(_seconds(one.normal_again_s) for one in rounds)} after the overload",
        f"store memory at the end: {median_of(one.store_memory_mb for one in rounds):,.0f} MB",
        f"refused, last round: {_reasons(rounds[-1].refused)}",
        *dict.fromkeys(note for one in rounds for note in one.notes),
        *(f"fault: {fault}" for one in rounds for fault in [*one.wrong[:5], *one.ledger]),
    ]:
        typer.echo(line)
    typer.echo()
    verdict_rows = [(one.gate, one.asked, one.came, "holds" if one.holds else "FAILS") for one in verdicts]
    print_rows(("gate", "asked", "came", ""), verdict_rows)


def _row(step: Step, times: Mapping[float, float]) -> tuple[str, ...]:
    return (
        f"{step.times:g}×",
        f"{step.offered_per_s:,.0f}",
        f"{step.goodput_per_s:,.0f}",
        f"{step.goodput_of_peak:.2f}",
        _number(step.accepted_p50_ms),
        _number(step.accepted_p99_ms),
        _number(step.accepted_p99_settled_ms),
        _number(times.get(step.times, math.nan)),
        f"{step.refused_per_s:,.0f}",
        _number(step.refused_p50_ms),
        _number(step.refused_p99_ms),
        _number(step.refused_p99_settled_ms),
        f"{step.never_answered_share:.1%}",
        f"{step.waiting_most:,.0f}",
        f"{step.worker_busy:.2f}",
        f"{step.worker_rss_mb:,.0f}",
        step.mark,
    )


def _reasons(refused: Mapping[str, Mapping[str, int]]) -> str:
    said = (
        f"at {times}× " + ", ".join(f"{reason} {n:,}" for reason, n in reasons.items())
        for times, reasons in refused.items()
        if reasons
    )
    return "; ".join(said) or "none"


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if math.isfinite(value) else "not within the time"
