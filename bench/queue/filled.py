"""A private store with a stream to read: as many accepted scans as are asked for, all of them real claims."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from bench.brand import KID, campaign_file, claim
from bench.growth.cost import claim_all
from bench.store import PrivateStore, private_store, stop_if_cancelled
from scanner.ledger.claims import ClaimFunction

BATCH: Final = 512
FILLERS: Final = 2  # one batch is made while the other one is away

Advance = Callable[[int], None]
"""Told of so many further entries."""


@asynccontextmanager
async def filled_store(events: int, advance: Advance) -> AsyncIterator[PrivateStore]:
    """Its log is not synced while it is filled, and is afterwards."""
    async with private_store() as private:
        await private.set("appendfsync", "no")
        await fill(private, events, advance, kid=KID)
        await private.set("appendfsync", "always")
        yield private


async def fill(private: PrivateStore, events: int, advance: Advance, *, kid: int) -> None:
    """So many claims of a lot of its own, in order."""
    plan = await private.apply(campaign_file())
    lot = await private.lot(plan.id, events, kid=kid)
    function = ClaimFunction(private.store)
    claims = (claim(plan, lot, serial) for serial in range(events))

    async def go_on() -> None:
        while batch := list(islice(claims, BATCH)):
            stop_if_cancelled()
            await claim_all(function, batch)
            advance(len(batch))

    async with asyncio.TaskGroup() as fillers:
        for _ in range(FILLERS):
            fillers.create_task(go_on())
