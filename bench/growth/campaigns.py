"""Many campaigns at once: what a claim costs the store where each batch is of so many of them."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from bench.brand import campaign_file, claim
from bench.growth.cost import ROUND, ROUNDS_MAX, WARMUP_ROUNDS, StoreCost, store_cost
from bench.store import PrivateStore, private_store

CAMPAIGNS: Final = (1, 10, 100)
CLAIMS: Final = (ROUNDS_MAX + WARMUP_ROUNDS) * ROUND


@dataclass(frozen=True, slots=True)
class Crowd:
    """The cost of a claim while so many campaigns run, each with two pools and a lot of its own."""

    campaigns: int
    cost: StoreCost


async def crowds() -> AsyncIterator[Crowd]:
    """1, 10 and 100 campaigns, on one store; nothing is fsynced."""
    async with AsyncExitStack() as stack:
        measured, small = [await stack.enter_async_context(private_store()) for _ in range(2)]
        for store in (measured, small):
            await store.set("appendfsync", "no")
        for campaigns in CAMPAIGNS:
            yield await _crowd(measured, small, campaigns)


async def _crowd(measured: PrivateStore, small: PrivateStore, campaigns: int) -> Crowd:
    places = []
    for no in range(campaigns):
        plan = await measured.apply(campaign_file(f"of{campaigns}-{no}"))
        lot = await measured.lot(plan.id, size := -(-CLAIMS // campaigns))
        places += [(plan, lot, serial) for serial in range(size)]
    chosen = random.Random(campaigns).sample(places, CLAIMS)
    return Crowd(campaigns, await store_cost(measured, small, (claim(*place) for place in chosen)))
