"""The operations port: whether the service lives, whether it is ready, and its figures."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from scanner.service.metrics import Cells, ServiceCollector
from scanner.service.pressure import QueueWatch
from scanner.service.queue_metrics import QueueCollector

# A worker beats every quarter of a second; one that has not for this long is stuck.
BEAT_MAX_MS = 3000
WENT_BACK = "it has gone back to an older state, and is not served from"


def readiness(rows: list[Cells], alive: int) -> tuple[bool, dict[str, str]]:
    """Whether every worker runs and reaches the store, and which part does not.

    A key file that cannot be used makes nobody unready: the keys of before are in force.
    """
    now_ms = time.monotonic_ns() // 1_000_000
    beating = [row for row in rows if now_ms - row.get("beat_ms") < BEAT_MAX_MS]
    reaching = sum(row.get("store_ready") for row in beating)
    parts = {
        "workers": "ok"
        if alive == len(beating) == len(rows)
        else f"{min(alive, len(beating))} of {len(rows)} run",
        "store": "ok"
        if beating and reaching == len(beating)
        else f"{reaching} of {len(rows)} workers reach it",
    }
    if any(row.get("store_went_back") for row in beating):
        parts["store"] = f"{WENT_BACK}; the log says what was found"
    ready = all(part == "ok" for part in parts.values())
    stale = sum(row.get("keys_stale") for row in beating)
    parts["keys"] = (
        f"{stale} of {len(rows)} workers keep the keys of before: mend the key file that the log names"
        if stale
        else "ok"
    )
    return ready, parts


def operations_app(
    rows: list[Cells],
    collector: ServiceCollector,
    alive: Callable[[], int],
    is_stopping: Callable[[], bool] = lambda: False,
    queue: QueueWatch | None = None,
) -> web.Application:
    registry = CollectorRegistry()
    registry.register(collector)
    if queue is not None:
        registry.register(QueueCollector(queue))

    async def livez(request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(request: web.Request) -> web.Response:
        ready, parts = readiness(rows, alive())
        if queue is not None:
            has_room, parts["queue"] = queue.part()
            ready = ready and has_room
        if is_stopping():
            ready, parts = False, {**parts, "service": "stopping"}
        return web.json_response({"ready": ready, "parts": parts}, status=200 if ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def sign(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "scanner"  # aiohttp would name itself and Python, with their versions

    app = web.Application()
    app.on_response_prepare.append(sign)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
