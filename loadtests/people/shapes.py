"""How many people are there at which moment of a run."""

import math
from collections.abc import Callable, Mapping


def _spike(part: float) -> float:
    """A quiet evening, the spot at a fifth of the time, the crowd, and how it loses interest."""
    if part < 0.2:
        return 0.1
    if part < 0.3:
        return 0.1 + 0.9 * (part - 0.2) / 0.1
    if part < 0.7:
        return 1.0
    return max(0.2, math.exp2(-(part - 0.7) / 0.1))


def _steady(part: float) -> float:
    return 1.0


def _soak(part: float) -> float:
    """Slowly up, and then for long: what leaks or grows is seen here."""
    return min(1.0, part / 0.1)


def _staircase(part: float) -> float:
    """Five steps of the same height: the one at which latency leaves the floor is the capacity."""
    return (int(part * 5) + 1) / 5


SHAPES: Mapping[str, Callable[[float], float]] = {
    "spike": _spike,
    "steady": _steady,
    "soak": _soak,
    "staircase": _staircase,
}


def people_at(shape: str, at_s: float, *, seconds: float, users: int) -> int | None:
    """People at ``at_s`` of a run of ``seconds`` with ``users`` at its height; None when it is over."""
    if at_s >= seconds:
        return None
    return max(1, round(users * SHAPES[shape](at_s / seconds)))
