"""Holds figures against what is expected of them, and looks again before it calls anything a regression."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.expected import Expected
from bench.suites import Figure

LOOKS_MAX: Final = 4
"""A figure over its limit is measured again, so often in all, and the best ratio counts: noise only adds."""

Measure = Callable[[Sequence[str]], list[Figure]]
"""Measures the figures of these names, or all of the run."""


@dataclass
class Judgement:
    """What came of a check: the best look at each figure, and what there is to say."""

    figures: dict[str, Figure]
    faults: list[str] = field(default_factory=list)
    improvements: list[str] = field(default_factory=list)


def check(expected: Mapping[str, Expected], measure: Measure) -> Judgement:
    """Measures, looks again where a figure is over its limit, and judges.

    ``expected`` has what belongs to this run, and nothing else.
    """
    best = {figure.name: figure for figure in measure(())}
    for _ in range(LOOKS_MAX - 1):
        over = [name for name, figure in best.items() if name in expected and _over(figure, expected[name])]
        if not over:
            break
        for again in measure(over):
            best[again.name] = min(best[again.name], again, key=lambda figure: figure.ratio)
    judgement = Judgement(best)
    _judge(judgement, expected)
    return judgement


def _over(figure: Figure, expected: Expected) -> bool:
    return figure.yardstick == expected.yardstick and figure.ratio > expected.limit


def _judge(judgement: Judgement, expected: Mapping[str, Expected]) -> None:
    for name, figure in judgement.figures.items():
        one = expected.get(name)
        if one is None:
            judgement.faults.append(f"{name}: is measured, and not expected: see --update")
        elif figure.yardstick != one.yardstick:
            judgement.faults.append(
                f"{name}: is held against {figure.yardstick}, and expected against {one.yardstick}"
            )
        elif figure.ratio > one.limit:
            judgement.faults.append(f"{name}: {_compared(figure, one)}: a regression")
        elif figure.ratio < one.improved:
            judgement.improvements.append(f"{name}: {_compared(figure, one)}: better, keep it by --update")
    missing: Iterable[str] = expected.keys() - judgement.figures.keys()
    judgement.faults += [f"{name}: is expected, and not measured" for name in sorted(missing)]


def _compared(figure: Figure, expected: Expected) -> str:
    return (
        f"expected {expected.ratio:.3g} times {figure.yardstick}, measured {figure.ratio:.3g},"
        f" limit {expected.limit:.3g}"
    )
