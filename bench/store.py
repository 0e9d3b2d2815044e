"""A private store to measure: its CPU, its memory, and the bare writes that a claim is held against."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.brand import KID, PRODUCT
from scanner.campaigns import CampaignFile, Plan
from scanner.ledger import campaigns, lots
from scanner.ledger.connection import Store, opened
from scanner.settings import load_settings

Fsync = Literal["always", "no"]
TIMEOUT_MS = 10_000  # a store that weighs or trims a long stream answers late

SETTLE_LOOK_S, SETTLED_LOOKS, SETTLED_SHARE, SETTLE_TIMEOUT_S = 0.25, 12, 1e-4, 60

# As much as a claim writes: its record, and an entry of ten fields and two awards.
_RECORD = "x" * 28
_ENTRY: dict[Any, Any] = {f"field{n}": "x" * 16 for n in range(10)} | {"awards": "x" * 120}


@dataclass(frozen=True, slots=True)
class PrivateStore:
    """A store that nobody else uses."""

    store: Store

    async def cpu_s(self) -> float:
        """CPU of the main thread so far, in seconds: commands, functions, and fsync where it is always."""
        info = await self.store.client.info("cpu")
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])

    async def memory_bytes(self) -> int:
        """What the data takes, but for the stream. Waits until it moves no more: buffers of large batches are
        given back some seconds after them, and tables that grow do so bit by bit."""
        used, steady = 0, 0
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while steady < SETTLED_LOOKS:
                stop_if_cancelled()
                await asyncio.sleep(SETTLE_LOOK_S)
                before, used = used, int((await self.store.client.info("memory"))["used_memory"])
                steady = steady + 1 if abs(used - before) < used * SETTLED_SHARE else 0
        return used - await self.stream_bytes()

    async def stream_bytes(self) -> int:
        command, events = self.store.client.execute_command, self.store.keys.events
        return int(await command("MEMORY", "USAGE", events, "SAMPLES", 0) or 0)

    async def trim(self, entries: int) -> None:
        """Drops all but about so many of the stream's newest entries."""
        await self.store.client.execute_command("XTRIM", self.store.keys.events, "MAXLEN", "~", entries)

    async def set(self, name: str, value: str) -> None:
        await self.store.client.config_set(name, value)
        stop_if_cancelled()

    async def apply(self, file: CampaignFile) -> Plan:
        await campaigns.apply(self.store, file, by="bench")
        campaign = await campaigns.read(self.store, file.campaign.id)
        assert campaign is not None
        return campaign.plan

    async def lot(self, campaign: str, size: int, *, kid: int = KID) -> int:
        """A new lot, all of it active."""
        no = await lots.register(
            self.store, by="bench", kid=kid, size=size, product=PRODUCT, campaign=campaign
        )
        await lots.activate(self.store, no, by="bench", first=0, last=size - 1)
        stop_if_cancelled()
        return no

    async def bare_writes(self, claims: int) -> None:
        """The least that so many claims could cost, in one batch: an HSET and an XADD each, pipelined.

        They travel as one transaction, because a batch of claims does too: one fsync, where there is any.
        """
        pipe = self.store.client.pipeline(transaction=True)
        for n in range(claims):
            pipe.hset(f"bare:{n}", "0", _RECORD)
            pipe.xadd("bare", _ENTRY, maxlen=10_000)
        await pipe.execute()


def stop_if_cancelled() -> None:
    """Raises CancelledError where this task was cancelled and goes on all the same. Ctrl-C comes once, and it
    can get lost while the store is asked: redis-py sends by `asyncio.wait_for`, and before Python 3.12 that
    drops a cancellation where what it waits for is done."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@asynccontextmanager
async def private_store() -> AsyncIterator[PrivateStore]:
    """An embedded store in a directory of its own, both gone when the block ends, however it ends."""
    with tempfile.TemporaryDirectory(prefix="scanner-bench-") as directory:
        settings = load_settings(
            data_dir=Path(directory), store_url="", log_level="warning", store_timeout_ms=TIMEOUT_MS
        )
        async with opened(settings) as store:
            private = PrivateStore(store)
            await private.set("auto-aof-rewrite-percentage", "0")  # a fork makes every write dearer
            yield private
