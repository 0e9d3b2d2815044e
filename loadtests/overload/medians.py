"""The figures of several rounds as one; ratios are formed within a round, because machines drift."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from statistics import median
from typing import Any

from loadtests.overload.analysis import Step
from loadtests.overload.conduct import BASE_LOAD, Round

# With fewer refusals for each accepted scan, what is left when those are taken off is mostly their noise.
REFUSALS_LEAST = 5


def median_of(values: Iterable[float]) -> float:
    """NaN, which stands for none, is left out; where all are, it is NaN."""
    there = [value for value in values if not math.isnan(value)]
    return median(there) if there else math.nan


def over_rounds(rounds: Sequence[Round]) -> list[Step]:
    """The steps, each figure the median of its rounds; a mark of any round stays."""
    together = []
    for same in zip(*(one.steps for one in rounds), strict=True):
        figures: dict[str, Any] = {
            field.name: median_of(getattr(step, field.name) for step in same)
            for field in fields(Step)
            if field.name != "mark"
        }
        marks = {mark for step in same for mark in step.mark.split(", ") if mark}
        together.append(replace(same[0], **figures, mark=", ".join(sorted(marks))))
    return together


def times_base(rounds: Sequence[Round], name: str) -> dict[float, float]:
    """By step, from the peak on: a figure over the same at 80 % of the peak. Infinite where it is none."""
    found: dict[float, list[float]] = {}
    for one in rounds:
        by_times: Mapping[float, Step] = {step.times: step for step in one.steps}
        base = getattr(by_times[BASE_LOAD], name)
        for times, step in by_times.items():
            if times >= 1:
                ratio = getattr(step, name) / base if base else math.nan
                found.setdefault(times, []).append(math.inf if math.isnan(ratio) else ratio)
    return {times: median(ratios) for times, ratios in found.items()}


def refusal_us(steps: Sequence[Step]) -> tuple[float, float]:
    """CPU of the workers in microseconds: of an accepted scan at 80 % of the peak, and of a refusal.

    That of a refusal is what is left at the highest load when the accepted scans are taken off: rough, and
    NaN where not many times more are refused than accepted.
    """
    [base] = [step for step in steps if step.times == BASE_LOAD]
    accepted_us = base.worker_busy * 1e6 / base.goodput_per_s if base.goodput_per_s else math.nan
    last = steps[-1]
    if last.refused_per_s < REFUSALS_LEAST * last.goodput_per_s:
        return accepted_us, math.nan
    return accepted_us, (last.worker_busy * 1e6 - last.goodput_per_s * accepted_us) / last.refused_per_s
