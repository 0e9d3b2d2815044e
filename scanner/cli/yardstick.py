"""The demo's unit of cost: what an empty aiohttp handler takes on this machine, at this moment.

Microseconds of a shared machine say little; how many empty handlers a scan costs says the same everywhere.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE

import aiohttp
import psutil
import uvloop
from aiohttp import web

REQUESTS = 5_000


async def empty_handler_cpu_us(connections: int) -> float:
    """CPU of an empty handler in microseconds a request, user and system, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"from {__name__} import serve; serve()", stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
            await _post(session, url, connections, REQUESTS // 10)  # connections open, code warm
            before = cpu_seconds(process.pid)
            await _post(session, url, connections, REQUESTS)
            return (cpu_seconds(process.pid) - before) * 1e6 / REQUESTS
    finally:
        process.stdin.close()
        await process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU that a process took so far, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def _post(session: aiohttp.ClientSession, url: str, connections: int, requests: int) -> None:
    queue = iter(range(requests))
    body = b'{"code":"000000000000000000000000","channel":"demo"}'
    headers = {"Authorization": "Bearer " + "x" * 200, "Content-Type": "application/json"}

    async def phone() -> None:
        for _ in queue:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()

    await asyncio.gather(*(phone() for _ in range(connections)))


def serve() -> None:
    """Serves the empty handler until standard input ends; prints its address first."""
    uvloop.run(_serve())


async def _serve() -> None:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"outcome":"accepted"}', content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/scans", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}/v1/scans\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the demo is done with it
    await runner.cleanup()
