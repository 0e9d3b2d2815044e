"""A store that fills: what a claim costs it, and how many bytes a claim takes, at each decade of claims.

Claims are real ones, made by the claim function, up to a bound. Nothing is logged or fsynced meanwhile,
because CPU and memory are asked, not the disk; and the stream is trimmed, because its entries are weighed by
themselves.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Final

from bench.brand import campaign_file, claim
from bench.growth.cost import StoreCost, claim_all, measured_claims, store_cost
from bench.growth.places import Kind, decades, lots_of, place_of, shuffled_last
from bench.growth.written import write
from bench.store import PrivateStore, private_store, stop_if_cancelled
from scanner.campaigns import Plan
from scanner.codes.format import SERIAL_MAX
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.frames import Claim

FILL_BATCH: Final = 512
FILLERS: Final = 2  # one batch is made while the other one is away
ENTRIES_MAX: Final = 100_000
"""The stream is trimmed to so many entries now and then."""

Advance = Callable[[int], None]
"""Told of so many further claims."""


@dataclass(frozen=True, slots=True)
class Decade:
    """So many claims, and what they have come to. ``growth`` is how much more one costs than at the first
    decade, 0.1 for a tenth; bytes are the store's own count, an entry's the stream's."""

    kind: Kind
    claims: int
    cost: StoreCost
    growth: float
    claim_bytes: float
    entry_bytes: float


async def grow(kind: Kind, claims: int, advance: Advance, *, claimed_max: int) -> AsyncIterator[Decade]:
    """Fills a private store, and measures at each decade. Of dense lots only ``claimed_max`` codes are
    claimed to fill it, and the records of further ones are written straight into their buckets."""
    async with AsyncExitStack() as stack:
        filled, small = [await stack.enter_async_context(private_store()) for _ in range(2)]
        for store in (filled, small):
            await store.set("appendonly", "no")
        plan = await filled.apply(campaign_file())
        lots = [await filled.lot(plan.id, SERIAL_MAX + 1) for _ in range(lots_of(kind, claims))]
        make, done, first = _maker(kind, plan, lots), 0, 0.0
        empty_bytes = await filled.memory_bytes()
        for decade in decades(claims):
            in_order, last = shuffled_last(done, decade, measured_claims(decade - done))
            if kind == "dense" and decade > claimed_max:
                place = place_of(kind, len(lots))
                await write(filled, lots, map(place, in_order), len(plan.pools), advance)
            else:
                await _fill(filled, map(make, in_order), advance)
            cost = await store_cost(filled, small, map(make, last))
            advance(len(last))
            first = first or cost.ratio
            claim_bytes = (await filled.memory_bytes() - empty_bytes) / decade
            yield Decade(kind, decade, cost, cost.ratio / first - 1, claim_bytes, await _entry_bytes(filled))
            done = decade


def _maker(kind: Kind, plan: Plan, lots: list[int]) -> Callable[[int], Claim]:
    place = place_of(kind, len(lots))

    def make(n: int) -> Claim:
        lot, serial = place(n)
        return claim(plan, lots[lot], serial)

    return make


async def _fill(filled: PrivateStore, claims: Iterator[Claim], advance: Advance) -> None:
    function = ClaimFunction(filled.store)

    async def fill() -> None:
        made = 0
        while batch := list(islice(claims, FILL_BATCH)):
            stop_if_cancelled()
            await claim_all(function, batch)
            advance(len(batch))
            made += len(batch)
            if made >= ENTRIES_MAX:
                await filled.trim(ENTRIES_MAX)
                made = 0

    async with asyncio.TaskGroup() as fillers:
        for _ in range(FILLERS):
            fillers.create_task(fill())


async def _entry_bytes(filled: PrivateStore) -> float:
    return await filled.stream_bytes() / await filled.store.client.xlen(filled.store.keys.events)
