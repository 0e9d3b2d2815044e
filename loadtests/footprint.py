"""What a run cost the service of its own: CPU, memory and bytes on disk, each a scan."""

import asyncio
from dataclasses import dataclass
from typing import Any

import psutil

from scanner.cli.yardstick import cpu_seconds
from scanner.errors import StoreUnavailableError
from scanner.ledger.connection import Store
from scanner.ledger.embedded import EmbeddedStore
from scanner.service.supervisor import Supervisor
from scanner.settings import Settings

KEYS_AT_ONCE = 1000
REWRITE_TIMEOUT_S = 120


@dataclass(frozen=True)
class Reading:
    """The meters at one moment: seconds of CPU, bytes, entries, and what the workers counted."""

    service_cpu_s: float
    service_memory_bytes: int
    store_cpu_s: float
    memory_bytes: int
    aof_bytes: int
    stream_bytes: int
    entries: int
    claims: int
    batches: int


async def read_meters(supervisor: Supervisor, settings: Settings, store: Store) -> Reading:
    """Raises StoreUnavailableError where the embedded store is gone."""
    store_pid = EmbeddedStore(settings.data_dir).pid
    if store_pid is None:
        raise StoreUnavailableError("the embedded store is gone")
    memory, persistence = await store.client.info("memory"), await store.client.info("persistence")
    events = store.keys.events
    claims, batches = (sum(row.get(name) for row in supervisor.rows) for name in ("claims", "batches"))
    return Reading(
        service_cpu_s=sum(cpu_seconds(pid) for pid in supervisor.worker_pids),
        service_memory_bytes=sum(psutil.Process(pid).memory_info().rss for pid in supervisor.worker_pids),
        store_cpu_s=cpu_seconds(store_pid),
        memory_bytes=memory["used_memory"],
        aof_bytes=persistence["aof_current_size"],
        stream_bytes=await store.client.execute_command("MEMORY", "USAGE", events, "SAMPLES", 0) or 0,
        entries=await store.client.xlen(events),
        claims=claims,
        batches=batches,
    )


async def claim_record_bytes(store: Store) -> int:
    """Memory of all claim buckets, their keys included."""
    total, cursor, pattern = 0, 0, f"{store.keys.prefix}claims:*"
    while True:
        cursor, keys = await store.client.scan(cursor, match=pattern, count=KEYS_AT_ONCE)
        for key in keys:
            total += await store.client.execute_command("MEMORY", "USAGE", key, "SAMPLES", 0) or 0
        if not cursor:
            return total


async def rewritten_bytes(store: Store) -> int:
    """The append-only file's size after it was written anew: what the store needs on disk at the least."""
    await store.client.execute_command("BGREWRITEAOF")
    async with asyncio.timeout(REWRITE_TIMEOUT_S):
        while True:
            now = await store.client.info("persistence")
            if not now["aof_rewrite_in_progress"] and not now["aof_rewrite_scheduled"]:
                return int(now["aof_base_size"])
            await asyncio.sleep(0.05)


def footprint(
    before: Reading, after: Reading, *, records_bytes: int, rewritten_bytes: int, requests: int
) -> dict[str, Any]:
    """CPU in microseconds a request, bytes an accepted scan. The store had no scans before."""
    scans = after.entries - before.entries
    claims, batches = after.claims - before.claims, after.batches - before.batches

    def a_scan(amount: float) -> float:
        return round(amount / max(scans, 1), 1)

    return {
        "accepted_scans": scans,
        "service_cpu_us_per_request": round(
            (after.service_cpu_s - before.service_cpu_s) * 1e6 / max(requests, 1), 1
        ),
        "store_cpu_us_per_request": round(
            (after.store_cpu_s - before.store_cpu_s) * 1e6 / max(requests, 1), 1
        ),
        "service_memory_mb": round(after.service_memory_bytes / 1e6, 1),
        "claims_per_batch": round(claims / max(batches, 1), 1),
        "memory_bytes_per_scan": a_scan(after.memory_bytes - before.memory_bytes),
        "stream_bytes_per_entry": a_scan(after.stream_bytes - before.stream_bytes),
        "claim_record_bytes": a_scan(records_bytes),
        "aof_bytes_per_scan": a_scan(after.aof_bytes - before.aof_bytes),
        "rewritten_aof_bytes_per_scan": a_scan(rewritten_bytes),
    }
