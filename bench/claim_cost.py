"""What a claim costs the store: CPU of its main thread a claim, in batches of 64, for 1 to 8 pools.

    python -m bench.claim_cost

Prints the median of many short rounds for each number of pools, the cost of one further pool, and beside them
what the bare writes of a claim cost the same store in the same run (one HSET and one XADD of the same size,
pipelined): a unit that makes runs on different machines comparable.

The store is a private, embedded one that does not fsync: fsync is not CPU of the claim function.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path

from scanner.campaigns import parse
from scanner.codes import Keyring, KeyTable
from scanner.ledger import campaigns, lots
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import Store, opened
from scanner.ledger.frames import Claim, Entered
from scanner.settings import load_settings

BATCH = 64
ROUNDS, BATCHES_A_ROUND = 60, 4
POOLS = (1, 2, 4, 8)
PRODUCT = "06901234567892"
CAMPAIGN = """
[campaign]
id = "c{pools}"
title = "Cost"
organiser = "Bench"
claim_rules = "None."
currency = "CNY"
timezone = "Asia/Shanghai"
starts = 2026-01-01T00:00:00+08:00
ends = 2099-12-31T00:00:00+08:00
"""
POOL = """
[[pool]]
id = "deck{no}"
draw = "deck"
[[pool.prize]]
id = "points"
kind = "points"
amount = 5
stock = 1000000
[[pool.prize]]
id = "cash"
kind = "cash"
amount = "0.88"
stock = 1000000
[[pool.prize]]
id = "thanks"
kind = "none"
stock = 1000000
"""

Command = list[str | bytes | int]


async def commands(store: Store, table: KeyTable, kid: int, pools: int) -> list[Command]:
    """Whole batches of claims that are all accepted, each code once."""
    toml = CAMPAIGN.format(pools=pools) + "".join(POOL.format(no=no) for no in range(pools))
    await campaigns.apply(store, parse(toml), by="bench")
    campaign = await campaigns.read(store, f"c{pools}")
    assert campaign is not None
    plan, size = campaign.plan, ROUNDS * BATCHES_A_ROUND * BATCH
    lot = await lots.register(store, by="bench", kid=kid, size=size, product=PRODUCT, campaign=plan.id)
    await lots.activate(store, lot, by="bench", first=0, last=size - 1)

    def claim(serial: int) -> Claim:
        entered = tuple(
            Entered(pool.id, pool.no, table.draw(kid, lot, serial, pool.id.encode())) for pool in plan.pools
        )
        return Claim(
            scan_id=table.scan_id(kid, lot, serial), lot=lot, serial=serial, plan=plan, pools=entered,
            member=f"member-{serial % 500}", channel="bench",
        )  # fmt: skip

    function = ClaimFunction(store)
    return [
        function.command([claim(serial) for serial in range(start, start + BATCH)])
        for start in range(0, size, BATCH)
    ]


async def cpu_us(store: Store) -> float:
    info = await store.client.info("cpu")
    seconds = float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])
    return seconds * 1e6


async def cost_us(store: Store, ways: dict[str, list[Command]]) -> dict[str, float]:
    """CPU a claim of each way, the ways taking turns: medians over the rounds, the first few left out."""
    costs: dict[str, list[float]] = {way: [] for way in ways}
    for start in range(0, ROUNDS * BATCHES_A_ROUND, BATCHES_A_ROUND):
        for way in list(ways) if start // BATCHES_A_ROUND % 2 else reversed(list(ways)):
            before = await cpu_us(store)
            for command in ways[way][start : start + BATCHES_A_ROUND]:
                replies = await store.client.execute_command(*command)
                assert all(reply[:1] == b"A" for reply in replies), replies[0]
            costs[way].append((await cpu_us(store) - before) / (BATCHES_A_ROUND * BATCH))
    return {way: statistics.median(rounds[5:]) for way, rounds in costs.items()}


async def bare_us(store: Store) -> float:
    """CPU of the writes alone that a claim makes: its record and an entry of its size."""
    client, costs = store.client, []
    entry = {f"field{n}": "x" * 16 for n in range(10)} | {"awards": "x" * 120}
    for _ in range(ROUNDS):
        before = await cpu_us(store)
        for batch in range(BATCHES_A_ROUND):
            pipe = client.pipeline(transaction=False)
            for n in range(BATCH):
                pipe.hset(f"bare:{batch}:{n}", "0", "x" * 28)
                pipe.xadd("bare", entry)
            await pipe.execute()
        costs.append((await cpu_us(store) - before) / (BATCHES_A_ROUND * BATCH))
    return statistics.median(costs[5:])


async def measure() -> None:
    keyring = Keyring.new()
    table, kid = keyring.table(), keyring.minting_kid
    with tempfile.TemporaryDirectory() as directory:
        settings = load_settings(data_dir=Path(directory), store_url="", log_level="warning")
        async with opened(settings) as store:
            await store.client.config_set("appendfsync", "no")
            await store.client.config_set(
                "auto-aof-rewrite-percentage", "0"
            )  # a fork makes every write dearer
            ways = {f"{pools} pools": await commands(store, table, kid, pools) for pools in POOLS}
            costs, bare = await cost_us(store, ways), await bare_us(store)
    for way, cost in costs.items():
        print(f"{way:>8}: {cost:6.2f} µs a claim, {cost / bare:.2f} times the bare writes ({bare:.2f} µs)")
    first, *_, last = costs.values()
    further = (last - first) / (POOLS[-1] - POOLS[0])
    print(f"each further pool: {further:.2f} µs, {further / bare:.2f} times the bare writes")


if __name__ == "__main__":
    asyncio.run(measure())
