"""One worker process: a loop, a server on the shared port, a batcher, and one eye on the store."""

import asyncio
import gc
import logging
import mmap
import os
import sys
import time

import uvloop
from aiohttp import web

from scanner.codes import Keyring
from scanner.errors import ScannerError
from scanner.identity import TokenKeys
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import Store, prepare, store_for
from scanner.ledger.directory import LOOK_EVERY_S, Directory
from scanner.ledger.packets import sweep
from scanner.service.batcher import Batcher
from scanner.service.desks import Desks
from scanner.service.fast_lane import connections
from scanner.service.metrics import Cells
from scanner.service.port import shared_socket
from scanner.service.protocol import Server, require_native_parser
from scanner.service.signals import stop_event
from scanner.settings import Settings, load_settings, read_key_file

log = logging.getLogger("scanner")

BACKLOG = 4096
SWEEP_EVERY_S = 1.0


def main(row: int, cells_descriptor: int) -> None:
    """Runs a worker until SIGTERM, or until its supervisor is gone."""
    settings = load_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format=f"%(asctime)s worker {row} %(levelname)s %(message)s"
    )
    cells = Cells(mmap.mmap(cells_descriptor, 0), row)
    try:
        uvloop.run(serve(settings, cells))
    except ScannerError as error:
        log.error("%s", error)
        sys.exit(1)


async def serve(settings: Settings, cells: Cells) -> None:
    """Serves until told to stop, then answers what it took."""
    stop = stop_event()
    _stop_with_supervisor(stop)
    require_native_parser()
    keyring = Keyring.parse(read_key_file(settings.keys_path))
    token_keys = TokenKeys.parse(read_key_file(settings.token_keys_path))
    store = store_for(settings)
    send = ClaimFunction(store)
    directory = Directory(store)
    batcher = Batcher(
        send.replies,
        cells,
        batch_max=settings.batch_max,
        away_max=settings.batches_away_max,
        waiting_max=settings.waiting_max,
    )
    read_timeout_s = settings.store_timeout_ms / 1000
    desks = Desks.of(keyring, token_keys, directory, batcher, store, cells, read_timeout_s=read_timeout_s)
    runner = web.ServerRunner(
        Server(
            desks.routes(), cells, settings, connections(desks.desk, desks.scans, batcher, cells, settings)
        ),
        shutdown_timeout=settings.shutdown_timeout_s,
    )
    await runner.setup()
    # What stands now stands for ever: collections need not walk it while scans wait.
    gc.collect()
    gc.freeze()
    tasks = [
        asyncio.create_task(_watch(store, directory, send, cells, settings)),
        asyncio.create_task(_return_packets(store, directory, cells)),
    ]
    try:
        await web.SockSite(runner, shared_socket(settings.host, settings.port), backlog=BACKLOG).start()
        await stop.wait()
    finally:
        await runner.cleanup()
        await batcher.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        cells.set("store_ready", 0)
        await store.close()


async def _watch(
    store: Store, directory: Directory, send: ClaimFunction, cells: Cells, settings: Settings
) -> None:
    """Keeps the directory fresh, and says in the cells whether the store serves.

    A store that was away may be another one now, or set otherwise: it is looked at anew.
    """
    checked, sent_again = False, 0
    while True:
        try:
            if not checked:
                await prepare(store, settings)
                checked = True
            await directory.refresh()
            ready = True
        except Exception as error:  # whatever it is: an eye that is shut would go on saying "ready"
            if cells.get("store_ready"):
                log.error("not ready: %s", error, exc_info=not isinstance(error, ScannerError))
            checked = ready = False
        if ready and not cells.get("store_ready"):
            log.info("ready: %d lots, %d campaigns", len(directory.lots), len(directory.campaigns))
        cells.set("store_ready", int(ready))
        cells.set("beat_ms", time.monotonic_ns() // 1_000_000)
        cells.add("sent_again", send.sent_again - sent_again)  # added, because the row outlives its workers
        sent_again = send.sent_again
        await asyncio.sleep(LOOK_EVERY_S)


async def _return_packets(store: Store, directory: Directory, cells: Cells) -> None:
    """Sends locked packets back when their time is over. Apart from the eye, which must not wait for it."""
    said = ""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        if not cells.get("store_ready") or not _gives_packets(directory):
            continue
        try:
            await sweep(store, directory.campaigns)
            said = ""
        except Exception as error:  # whatever it is: the packets after it, and the next second's, matter more
            if str(error) != said:
                log.error("expired packets stay: %s", error, exc_info=not isinstance(error, ScannerError))
            said = str(error)


def _gives_packets(directory: Directory) -> bool:
    return any(pool.draw == "locked" for known in directory.campaigns.values() for pool in known.plan.pools)


def _stop_with_supervisor(stop: asyncio.Event) -> None:
    """Sets the event at the end of standard input: the supervisor holds its other end."""
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 64):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, readable)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
