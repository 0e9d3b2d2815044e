"""What a service must reach under overload, what it reached, and which gate it fails."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.gates import DEFAULTS, Verdict, read_section
from loadtests.overload.conduct import BASE_LOAD, Round
from loadtests.overload.medians import over_rounds, times_base


@dataclass(frozen=True)
class Gates:
    """``goodput_share`` of the peak is a least, all others are a most. What ends in ``times`` is a multiple
    of the figure at 80 % of the peak; ``normal_again_s`` counts from the end of the last overload."""

    goodput_share: float
    p99_times: float
    refusal_p99_ms: float
    never_answered_share: float
    normal_again_s: float
    memory_times: float


def read_gates(name: str, path: Path = DEFAULTS) -> Gates:
    """The gates of this section. Raises as ``read_section``."""
    return read_section(Gates, name, path)


def judge(gates: Gates, rounds: Sequence[Round], *, only_right: bool = False) -> list[Verdict]:
    """A verdict for each gate, on the medians of the rounds and the worst of the steps from the peak on.

    With ``only_right``, of the gates that have no bound.
    """
    if only_right:
        return _right(rounds)
    steps = [step for step in over_rounds(rounds) if step.times >= 1]
    goodput = {step.times: step.goodput_of_peak for step in steps}
    refusals = {step.times: step.refused_p99_ms for step in steps if step.refused_per_s}
    unanswered = {step.times: step.never_answered_share for step in steps}
    times = f"{{:.2f}} times that at {BASE_LOAD:g}×"
    normal_s = sorted(one.normal_again_s for one in rounds)[len(rounds) // 2]
    return [
        _least("goodput", gates.goodput_share, "{:.0%} of the peak", goodput),
        _most("p99", gates.p99_times, times, times_base(rounds, "accepted_p99_ms")),
        _most("refusals", gates.refusal_p99_ms, "{:,.0f} ms at p99", refusals),
        _most("answered", gates.never_answered_share, "{:.1%} never answered", unanswered),
        Verdict(
            "normal again",
            f"at most {gates.normal_again_s:g} s after the overload",
            f"{normal_s:.2f} s" if math.isfinite(normal_s) else "never",
            normal_s <= gates.normal_again_s,
        ),
        _most("memory", gates.memory_times, times, times_base(rounds, "worker_rss_mb")),
        *_right(rounds),
    ]


def _least(gate: str, bound: float, form: str, came: Mapping[float, float]) -> Verdict:
    at = min(came, key=lambda times: _or(came[times], -math.inf))
    return _verdict(gate, f"at least {form.format(bound)}", form.format(came[at]), at, came[at] >= bound)


def _most(gate: str, bound: float, form: str, came: Mapping[float, float]) -> Verdict:
    if not came:
        return Verdict(gate, f"at most {form.format(bound)}", "there were none", True)
    at = max(came, key=lambda times: _or(came[times], math.inf))
    return _verdict(gate, f"at most {form.format(bound)}", form.format(came[at]), at, came[at] <= bound)


def _or(value: float, worst: float) -> float:
    return worst if math.isnan(value) else value


def _verdict(gate: str, asked: str, came: str, at: float, holds: bool) -> Verdict:
    return Verdict(gate, asked, f"{came}, at {at:g}×", holds)


def _right(rounds: Sequence[Round]) -> list[Verdict]:
    """What has no bound to change: no answer is wrong, and nothing that was acknowledged is lost."""
    wrong = sum(one.wrong_count for one in rounds)
    differences = sum(len(one.ledger) for one in rounds)
    came = f"{differences} differences" if differences else "adds up"
    return [
        Verdict("answers", "none wrong", f"{wrong:,} wrong", not wrong),
        Verdict("ledger", "adds up, and nothing is lost", came, not differences),
    ]
