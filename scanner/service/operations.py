"""The operations port: whether the service lives, whether it is ready, and its figures."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from scanner.service.metrics import Cells, ServiceCollector

# A worker beats every quarter of a second; one that has not for this long is stuck.
BEAT_MAX_MS = 3000


def readiness(rows: list[Cells], alive: int) -> tuple[bool, dict[str, str]]:
    """Whether every worker runs and reaches the store, and which part does not."""
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
    return all(part == "ok" for part in parts.values()), parts


def operations_app(
    rows: list[Cells], collector: ServiceCollector, alive: Callable[[], int]
) -> web.Application:
    registry = CollectorRegistry()
    registry.register(collector)

    async def livez(request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(request: web.Request) -> web.Response:
        ready, parts = readiness(rows, alive())
        return web.json_response({"ready": ready, "parts": parts}, status=200 if ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
