"""What a batch of claims costs a store, held against bare writes into another one of the same moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Final

from bench.store import PrivateStore, stop_if_cancelled
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.frames import Claim

BATCH: Final = 64
ROUND: Final = 2 * BATCH
ROUNDS_MAX: Final = 40
WARMUP_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class StoreCost:
    """CPU of the stores' main threads, in microseconds: medians. ``ratio`` is the median over the rounds."""

    claim_us: float
    bare_us: float
    ratio: float


def measured_claims(claims: int) -> int:
    """How many of so many claims are measured: whole rounds, so few that the lot is nearly full before."""
    return min(ROUNDS_MAX + WARMUP_ROUNDS, max(claims // 5 // ROUND, 1)) * ROUND


async def store_cost(filled: PrivateStore, small: PrivateStore, claims: Iterator[Claim]) -> StoreCost:
    """Makes these claims, whole rounds of them, all of them to be accepted.

    ``small`` never grows: what the machine does to a moment it does to both, what claims do only to one.
    """
    function, rounds = ClaimFunction(filled.store), []
    while batches := [batch for _ in range(ROUND // BATCH) if (batch := list(islice(claims, BATCH)))]:
        stop_if_cancelled()
        began_s = await small.cpu_s()
        for batch in batches:
            await small.bare_writes(len(batch))
        bare_s = await small.cpu_s() - began_s
        began_s = await filled.cpu_s()
        for batch in batches:
            await claim_all(function, batch)
        rounds.append((await filled.cpu_s() - began_s, bare_s))
    kept = rounds[WARMUP_ROUNDS:] or rounds
    return StoreCost(
        claim_us=median(claim_s for claim_s, _ in kept) * 1e6 / ROUND,
        bare_us=median(bare_s for _, bare_s in kept) * 1e6 / ROUND,
        ratio=median(claim_s / bare_s for claim_s, bare_s in kept),
    )


async def claim_all(function: ClaimFunction, batch: list[Claim]) -> None:
    """One batch, of claims that must all be accepted: anything else would cost less, and be no claim."""
    answers = await function(batch)
    refused = [answer for answer in answers if answer.verdict is not Verdict.ACCEPTED]
    assert not refused, refused[0]
