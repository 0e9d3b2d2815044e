"""One worker process: a loop, a server on the shared port, a batcher, and one eye on the store."""

import asyncio
import gc
import logging
import mmap
import os
import resource
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from scanner.codes import Keyring
from scanner.errors import ConfigurationError, ScannerError
from scanner.identity import TokenKeys
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import Store, prepare, store_for
from scanner.ledger.directory import LOOK_EVERY_S, Directory
from scanner.ledger.packets import sweep
from scanner.ledger.watermark import WentBackError, read_mark
from scanner.service.addresses import Addresses
from scanner.service.admission import Admission
from scanner.service.batcher import Batcher
from scanner.service.desks import Desks
from scanner.service.fast_lane import connections
from scanner.service.guard import SHARED_BYTES, Origins, throttle_in
from scanner.service.key_files import KeyFiles, follow
from scanner.service.listening import Listening, Place, last_answers
from scanner.service.metrics import LAYOUT, ROW_BYTES, Cells
from scanner.service.protocol import Server, require_native_parser
from scanner.service.signals import end, stop_event
from scanner.settings import Settings, load_settings

if TYPE_CHECKING:
    from scanner.service.fast_lane.lane import FastLane

log = logging.getLogger("scanner")

SWEEP_EVERY_S = 1.0
OTHER_FILES_MAX = 256  # the store's connections, sockets, files


def main(place: Place) -> None:
    """Runs a worker until SIGTERM, or until its supervisor is gone."""
    settings = load_settings()
    logging.basicConfig(
        level=settings.log_level.upper(), format=f"%(asctime)s worker {place.row} %(levelname)s %(message)s"
    )
    try:
        uvloop.run(serve(_within_open_files(settings), place))
    except ScannerError as error:
        log.error("%s", error)
        sys.exit(1)


def _within_open_files(settings: Settings) -> Settings:
    """Raises the limit of open files as far as it goes, and takes no more connections than it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connections_max + OTHER_FILES_MAX
    limit = max(soft, wanted if hard == resource.RLIM_INFINITY else min(hard, wanted))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit >= wanted:
        return settings
    log.warning("at most %d open files: takes %d connections", limit, limit - OTHER_FILES_MAX)
    return settings.model_copy(update={"connections_max": max(1, limit - OTHER_FILES_MAX)})


async def serve(settings: Settings, place: Place) -> None:
    """Serves until told to stop, then answers what it took."""
    if place.layout != LAYOUT:
        raise ConfigurationError("another version was installed: run it by `scanner serve --replace`")
    shared = mmap.mmap(place.cells, 0)
    rows = (len(shared) - SHARED_BYTES) // ROW_BYTES
    *slots, service_cells = [Cells(shared, slot) for slot in range(rows)]
    throttle = throttle_in(memoryview(shared)[-SHARED_BYTES:])
    cells = slots[place.slot]
    stop = stop_event()
    _stop_with_supervisor(stop)
    require_native_parser()
    key_files = KeyFiles(settings)
    store = store_for(settings)
    send = ClaimFunction(store)
    directory = Directory(store, lambda: read_mark(settings))
    store.wire.on_open = directory.judge_by  # no claim goes to a store that was not judged
    admission = Admission(cells, settings)
    batcher = Batcher(
        send.replies,
        cells,
        admission,
        batch_max=settings.batch_max,
        away_max=settings.batches_away_max,
        service_cells=service_cells,
    )
    desks_with = partial(
        Desks.of,
        directory=directory,
        batcher=batcher,
        store=store,
        cells=cells,
        throttle=throttle,
        read_timeout_s=settings.store_timeout_ms / 1000,
        throttles=settings.throttling,
    )
    desks = desks_with(key_files.keyring, key_files.token_keys)
    connection = connections(desks.desk, desks.scans, desks.guard, batcher, cells, settings)
    lane: FastLane | None = connection.args[0] if isinstance(connection, partial) else None
    server = Server(
        desks.routes(),
        cells,
        settings,
        admission,
        Origins(Addresses(settings.trusted_proxies), throttle),
        connection,
    )

    def use(keyring: Keyring, token_keys: TokenKeys) -> None:
        others = desks_with(keyring, token_keys)
        server.use(others.routes())
        if lane:
            lane.use(others.desk, others.scans, others.guard)

    runner = web.ServerRunner(server, shutdown_timeout=settings.shutdown_timeout_s)
    await runner.setup()
    listening = Listening(runner, place, slots)
    # What stands now stands for ever: collections need not walk it while scans wait.
    gc.collect()
    gc.freeze()
    tasks = [
        asyncio.create_task(_watch(store, directory, send, cells, settings)),
        asyncio.create_task(_return_packets(store, directory, cells, service_cells)),
        asyncio.create_task(_keep_gauges(server, admission, cells)),
        asyncio.create_task(follow(key_files, use, cells)),
    ]
    accepting = asyncio.create_task(listening.keep())
    try:
        await stop.wait()
    finally:
        await end(accepting)
        await listening.stop()
        server.drain()
        await last_answers(server, min(settings.drain_s, settings.shutdown_timeout_s))
        await runner.cleanup()
        await batcher.drain()
        await end(*tasks)
        cells.set("store_ready", 0)
        await store.close()


async def _keep_gauges(server: Server, admission: Admission, cells: Cells) -> None:
    """What changes when nothing comes any more, and nobody would say so."""
    while True:
        cells.set("connections", len(server.connections))
        admission.look(time.monotonic())
        await asyncio.sleep(LOOK_EVERY_S)


async def _watch(
    store: Store, directory: Directory, send: ClaimFunction, cells: Cells, settings: Settings
) -> None:
    """Keeps the directory fresh, and says in the cells whether the store serves.

    A store that was away may be another one now, or set otherwise: it is looked at anew.
    """
    checked, went_back, sent_again = False, False, 0
    while True:
        try:
            if not checked:
                await prepare(store, settings)
                checked = True
            await directory.refresh()
            ready, went_back = True, False
        except Exception as error:  # whatever it is: an eye that is shut would go on saying "ready"
            was_back, went_back = went_back, isinstance(error, WentBackError)
            if cells.get("store_ready") or (went_back and not was_back):
                log.error("not ready: %s", error, exc_info=not isinstance(error, ScannerError))
            checked = ready = False
        if ready and not cells.get("store_ready"):
            log.info("ready: %d lots, %d campaigns", len(directory.lots), len(directory.campaigns))
        cells.set("store_ready", int(ready))
        cells.set("store_went_back", int(went_back))
        cells.set("beat_ms", time.monotonic_ns() // 1_000_000)
        cells.add("sent_again", send.sent_again - sent_again)  # added, because the row outlives its workers
        sent_again = send.sent_again
        await asyncio.sleep(LOOK_EVERY_S)


async def _return_packets(store: Store, directory: Directory, cells: Cells, service_cells: Cells) -> None:
    """Sends locked packets back when their time is over. Apart from the eye, which must not wait for it."""
    said = ""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        if not cells.get("store_ready") or service_cells.get("full") or not _gives_packets(directory):
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
    main(Place.from_json(sys.argv[1]))
