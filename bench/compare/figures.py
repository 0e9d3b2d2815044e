"""Figures of all rounds: medians with the least and the most, and ratios, each formed within one round."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.compare.turn import Figures

Round = Mapping[str, Figures]
"""A round's figures by peer."""

# What scanner's CPU a scan shall be at most, as a share of another's; and a forgery's, of a scan's.
AIMS = {"scanner/empty": 0.40, "scanner/fastify": 0.30, "scanner/fastapi": 0.05, "forgery/scan": 0.80}


class Spread(NamedTuple):
    """The median of a figure, and its least and most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


def spreads(rounds: Sequence[Round]) -> dict[str, dict[str, Spread]]:
    """Peer → figure → its spread over the rounds."""
    return {
        peer: {name: Spread.of([one[peer][name] for one in rounds]) for name in figures}
        for peer, figures in rounds[0].items()
    }


def ratios(rounds: Sequence[Round]) -> dict[str, Spread]:
    """Scanner's CPU a scan as a share of each other's, and a refused forgery's as a share of a scan's.

    A machine that is slow for a while is so for a whole round, so each ratio is of one round.
    """
    if "scanner" not in rounds[0]:
        return {}
    others = {name: name.partition("/")[2] for name in AIMS}
    found = {
        name: Spread.of([one["scanner"]["service_us"] / one[other]["service_us"] for one in rounds])
        for name, other in others.items()
        if other in rounds[0]
    }
    found["forgery/scan"] = Spread.of(
        [one["scanner"]["forged_service_us"] / one["scanner"]["service_us"] for one in rounds]
    )
    return found
