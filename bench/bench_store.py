"""What a claim costs the store, as CPU of its main thread: by batch size, with and without fsync, by pools.

Each is held against the bare writes of as many claims in the same batches, on the same store.
"""

import asyncio
import random
from collections.abc import Iterator
from itertools import count, islice

import pytest

from bench.brand import campaign_file, claim
from bench.cost import WARMUP_ROUNDS, Cost
from bench.store import Fsync, PrivateStore
from bench.yardsticks import Yardstick
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.frames import Claim

# Batches a round, by size: as many claims as make a round longer than what it costs to ask for the CPU.
BATCHES = {1: 24, 8: 12, 25: 6, 64: 3, 256: 1}
ROUNDS = 15
_campaigns = count()


def measure(
    cost: Cost, runner: asyncio.Runner, private: PrivateStore, *, batch: int, pools: int, fsync: Fsync
) -> None:
    function, batches = ClaimFunction(private.store), BATCHES[batch]
    claims = runner.run(_claims(private, pools, batch * batches * (ROUNDS + WARMUP_ROUNDS)))
    runner.run(private.set("appendfsync", fsync))

    async def scans() -> None:
        for _ in range(batches):
            answers = await function(list(islice(claims, batch)))
            assert all(answer.verdict is Verdict.ACCEPTED for answer in answers)

    async def bare() -> None:
        for _ in range(batches):
            await private.bare_writes(batch)

    yardstick = Yardstick("bare", lambda: runner.run(bare()), batch * batches)
    cost.rounds(lambda: runner.run(scans()), of=batch * batches, against=yardstick, rounds=ROUNDS)


async def _claims(private: PrivateStore, pools: int, size: int) -> Iterator[Claim]:
    """Every code of a new lot, in the order in which a crowd scans: none."""
    id = f"c{next(_campaigns)}"
    plan = await private.apply(campaign_file(id, pools=pools))
    lot = await private.lot(id, size)
    serials = random.Random(size).sample(range(size), size)
    return iter([claim(plan, lot, serial) for serial in serials])


@pytest.mark.parametrize("fsync", ["no", "always"])
@pytest.mark.parametrize("batch", BATCHES)
def bench_batch(
    store_cost: Cost, runner: asyncio.Runner, private: PrivateStore, batch: int, fsync: Fsync
) -> None:
    measure(store_cost, runner, private, batch=batch, pools=2, fsync=fsync)


@pytest.mark.parametrize("pools", [1, 4, 8])
def bench_pools(store_cost: Cost, runner: asyncio.Runner, private: PrivateStore, pools: int) -> None:
    measure(store_cost, runner, private, batch=64, pools=pools, fsync="no")
