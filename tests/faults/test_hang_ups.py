"""Who hangs up gets nobody else into trouble: no answer to the wrong connection, and nothing stays behind.

Once against a worker process, whose open files and memory are looked at from outside; once against a server
in the test's own loop, where tasks and connections can be counted, and where the control breaks the batcher.
"""

import asyncio
import gc
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from scanner.ledger.embedded import embedded_store
from scanner.service.batcher import Batcher
from scanner.service.connection import Protocol
from scanner.service.fast_lane._native import Scan
from scanner.service.metrics import CELL
from tests.brand import Brand, brand_in, campaign_toml
from tests.faults.figures import say
from tests.faults.hanging_up import STAGES, TELLING, WAYS, Codes, Crowd
from tests.faults.interposed import Interposed, name_of
from tests.faults.seeds import seeded, share
from tests.phone import scan_request
from tests.running import Running, eventually, serving
from tests.service.lanes import Side, served

CLIENTS, PHONES, ROUNDS = share(1_000, 10_000), 8, 4
AWAY_S = 0.01
# A connection that stays behind takes some 10 KiB; what grows otherwise does not grow with the clients.
GROWTH_KIB_MAX = 4.0
# The store's client opens another connection where two commands meet.
STORE_CONNECTIONS = 2
PATIENT = {"waiting_max": 100_000, "shedding": False, "keepalive_timeout_s": 600}


class Calls:
    """Says when a batch is on its way to the store."""

    def __init__(self, between: Interposed) -> None:
        self._waiters: list[asyncio.Future[None]] = []
        between.reply = self

    def __call__(self, command: Sequence[bytes]) -> None:
        if name_of(command) == "FCALL":
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def next(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


async def opened(brand: Brand, port: int, rng: Any, calls: Calls) -> Crowd:
    await brand.apply(campaign_toml(pools=TELLING))
    return Crowd(port, Codes(brand, await brand.lot(1 << 24), count()), rng, calls.next)


async def at_rest(run: Running, worker: psutil.Process, files_max: int) -> None:
    """Returns when the worker has nothing under way, and no more open files than that."""
    [cells] = run.supervisor.rows

    async def is_at_rest() -> bool:
        quiet = cells.get("waiting") == cells.get("away") == 0
        return quiet and worker.num_fds() <= files_max

    await eventually(is_at_rest, 60)


async def test_a_service_that_people_hang_up_on(tmp_path: Path) -> None:
    with seeded() as rng:
        async with (
            embedded_store(tmp_path / "store") as embedded,
            Interposed(embedded.socket_path) as between,
            brand_in(tmp_path / "data", store_url=between.url, **PATIENT) as brand,
            serving(brand) as run,
        ):
            crowd = await opened(brand, run.port, rng, Calls(between))
            between.delay_s = AWAY_S
            [pid] = run.supervisor.worker_pids
            worker = psutil.Process(pid)
            files = worker.num_fds() + STORE_CONNECTIONS
            memory = []
            for _ in range(ROUNDS):
                is_over = asyncio.Event()
                phones = [asyncio.create_task(crowd.phone(is_over)) for _ in range(PHONES)]
                await crowd.hang_ups(CLIENTS // ROUNDS)
                is_over.set()
                await asyncio.gather(*phones)
                await at_rest(run, worker, files)
                memory.append(worker.memory_info().rss)
            between.delay_s = 0
            await crowd.ask_those_who_left(share(300, 2_000))
            assert crowd.wrong == []
            assert len(crowd.hung_up) == len(STAGES) * len(WAYS)
            growth_kib = (memory[-1] - memory[0]) / 1024 / (CLIENTS * (ROUNDS - 1) / ROUNDS)
            assert growth_kib < GROWTH_KIB_MAX
            assert run.supervisor.worker_pids == [pid]
            _, metrics = await run.operations("/metrics")
            assert 'scanner_requests_total{outcome="internal_error"} 0.0' in metrics
            assert (await brand.audit()).differences == []
            say(
                f"hang-ups: {CLIENTS} clients at {len(STAGES)} stages, by FIN and RST; "
                f"{crowd.answered - crowd.unknown} answers to others, 0 to the wrong connection; "
                f"0 files left open, memory {growth_kib:+.2f} KiB a client"
            )


def connections_alive() -> int:
    gc.collect()
    return sum(isinstance(one, Protocol) for one in gc.get_objects())


async def play(side: Side, crowd: Crowd, clients: int) -> None:
    """Clients hang up while phones scan, until all have gone and what they asked for is done."""
    is_over = asyncio.Event()
    phones = [asyncio.create_task(crowd.phone(is_over)) for _ in range(PHONES)]
    await crowd.hang_ups(clients)
    is_over.set()
    await asyncio.gather(*phones)
    await side.scanner.batcher.drain()

    async def are_gone() -> bool:
        return not side.server.connections

    await eventually(are_gone)


async def test_no_task_and_no_connection_stays_behind(tmp_path: Path) -> None:
    with seeded() as rng:
        async with (
            embedded_store(tmp_path / "store") as embedded,
            Interposed(embedded.socket_path) as between,
            brand_in(tmp_path / "data", store_url=between.url, **PATIENT) as brand,
            served(brand, waiting_max=100_000) as side,
        ):
            crowd = await opened(brand, side.port, rng, Calls(between))
            between.delay_s = AWAY_S
            await play(side, crowd, 32)  # the store's connections, which stay
            side.taps.clear()
            tasks, alive = len(asyncio.all_tasks()), connections_alive()
            await play(side, crowd, share(200, 2_000))

            async def nothing_is_left() -> bool:
                side.taps.clear()  # the test's own hold on them
                return len(asyncio.all_tasks()) <= tasks + STORE_CONNECTIONS and connections_alive() <= alive

            await eventually(nothing_is_left)
            cells = side.scanner.cells
            assert cells.get("waiting") == cells.get("away") == 0
            assert crowd.wrong == []


async def test_who_goes_before_the_body_is_read_is_no_fault_of_ours(brand: Brand) -> None:
    """Part of a body has come, and the connection is lost before anybody reads it."""
    await brand.apply(campaign_toml())
    async with served(brand) as side:
        wire, tap = await side.wire()
        for _ in range(10):
            await asyncio.sleep(0)  # aiohttp's task waits for the request by now
        request = scan_request(brand.token("alice"), brand.code(await brand.lot(1), 0))
        tap.connection.data_received(request[:-1])
        tap.connection.transport.abort()
        await wire.until(lambda: False)

        async def is_counted() -> bool:
            return any(side.scanner.cells.get(name) for name in CELL if name.startswith("outcome."))

        await eventually(is_counted)
        assert side.scanner.cells.get("outcome.internal_error") == 0


class Slipping(Batcher):
    """The broken variant: who hung up is taken out of the batch, and their reply is not."""

    async def _travel(self, batch: list[Any]) -> None:
        replies = await self._send([claim for *_, claim, _ in batch])
        here = [asker for *_, asker in batch if not _has_gone(asker)]
        for asker, data in zip(here, replies, strict=False):
            asker.reply(data)


def _has_gone(asker: Any) -> bool:
    """Of a scan in the fast lane; of others it is not known here."""
    return isinstance(asker, Scan) and asker.connection.transport is None


async def test_control_replies_that_slip_are_caught(tmp_path: Path) -> None:
    with seeded() as rng:
        async with (
            embedded_store(tmp_path / "store") as embedded,
            Interposed(embedded.socket_path) as between,
            brand_in(tmp_path / "data", store_url=between.url, **PATIENT, fast_lane=True) as brand,
            served(brand, waiting_max=100_000) as side,
        ):
            crowd = await opened(brand, side.port, rng, Calls(between))
            between.delay_s = AWAY_S
            side.scanner.batcher.__class__ = Slipping
            await play(side, crowd, 100)
            assert crowd.wrong
