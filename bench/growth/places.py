"""Which code is claimed when: in a dense lot all of them are in the end, in a sparse one few ever are."""

import random
from collections.abc import Callable, Iterator
from typing import Final, Literal

from scanner.codes.format import SERIAL_MAX

Kind = Literal["dense", "sparse"]
KINDS: Final[tuple[Kind, ...]] = ("dense", "sparse")
LOT: Final = SERIAL_MAX + 1
SPARSE_CLAIMED_MAX: Final = LOT // 4
"""Claims in a sparse lot; more make another lot."""
_BITS: Final = LOT.bit_length() - 1
_ODD: Final = 0x2545F4D  # any odd number permutes; this one scatters neighbours

Place = tuple[int, int]
"""The how manieth lot, from 0, and the serial in it."""


def lots_of(kind: Kind, claims: int) -> int:
    """How many lots so many claims are spread over."""
    return -(-claims // (LOT if kind == "dense" else SPARSE_CLAIMED_MAX))


def place_of(kind: Kind, lots: int) -> Callable[[int], Place]:
    """Where the n-th claim falls, n from 0; no two fall on the same code."""
    if kind == "dense":
        return lambda n: divmod(n, LOT)
    return lambda n: (n % lots, scattered(n // lots))


def scattered(n: int) -> int:
    """A permutation of all serials that looks like chance: each step can be undone, so none repeats."""
    for _ in range(3):
        n = n * _ODD % LOT
        n ^= n >> _BITS // 2
    return n


def decades(claims: int) -> list[int]:
    """10,000 and each ten times as many up to ``claims``, which is the last."""
    steps, step = [], 10_000
    while step < claims:
        steps.append(step)
        step *= 10
    return [*steps, claims]


def shuffled_last(start: int, end: int, last: int) -> tuple[Iterator[int], list[int]]:
    """The numbers from ``start`` to ``end``: most of them in order, and so many from anywhere, shuffled.

    What is measured are claims somewhere in a lot that is nearly full, not at its end, where all is warm.
    """
    held = random.Random(end).sample(range(start, end), last)
    left_out = frozenset(held)
    return (n for n in range(start, end) if n not in left_out), held
