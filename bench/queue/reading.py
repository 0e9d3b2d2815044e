"""Rounds of readers over one filled stream, each in a process of its own."""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bench.queue.filled import Advance, filled_store
from bench.queue.reader import FORMS, Took
from bench.store import TIMEOUT_MS, PrivateStore, stop_if_cancelled
from bench.suites import BenchError
from scanner.ledger.connection import Store

BARE: Final = FORMS[0]
LONGEST_S: Final = 3_600
ENDS_IN_S: Final = 10


@dataclass(frozen=True, slots=True)
class Read:
    """One reader's turn. CPU is in microseconds an event, of its process and of the store's main thread.
    ``ratio`` is the process's CPU in times the bare loop's of the same round, ``pace`` the rate so."""

    round: int
    form: str
    events: int
    rate: float
    client_us: float
    store_us: float
    ratio: float
    pace: float


async def readings(
    events: int, rounds: int, forms: Sequence[str], advance: Advance, *, inbox_events: int
) -> AsyncIterator[Read]:
    """Every form in each round, the bare loop first; of the inbox fewer events, where that is said."""
    async with filled_store(events, advance) as private:
        for number in range(1, rounds + 1):
            unit: Took | None = None
            for form in (BARE, *(form for form in forms if form != BARE)):
                stop_if_cancelled()
                asked = min(events, inbox_events) if form == "inbox" else events
                took, store_s = await read(private, form, f"{form}-{number}", asked)
                unit = unit or took
                yield Read(
                    round=number,
                    form=form,
                    events=took.events,
                    rate=took.events / took.seconds,
                    client_us=took.cpu_s * 1e6 / took.events,
                    store_us=store_s * 1e6 / took.events,
                    ratio=(took.cpu_s / took.events) / (unit.cpu_s / unit.events),
                    pace=(took.events / took.seconds) / (unit.events / unit.seconds),
                )


async def read(private: PrivateStore, form: str, group: str, events: int) -> tuple[Took, float]:
    """One turn, and the store's CPU meanwhile. The group is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="scanner-bench-") as name:
        arguments = ("--events", str(events), "--group", group, "--database", str(Path(name, "effects.db")))
        began_s, output = await private.cpu_s(), b""
        async with reading(await environment_of(private.store), form, *arguments) as process:
            assert process.stdout is not None
            async with asyncio.timeout(LONGEST_S):
                output = await process.stdout.read()
                await process.wait()
        store_s = await private.cpu_s() - began_s
    await private.store.client.xgroup_destroy(private.store.keys.events, group)
    return Took(**json.loads(output)), store_s


async def environment_of(store: Store) -> dict[str, str]:
    """Ours without the settings of a developer's own service, with the private store's address, and patience:
    how long it waits is not what is measured."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCANNER_")}
    path = (await store.client.config_get("unixsocket"))["unixsocket"]
    return {
        **inherited,
        "SCANNER_STORE_URL": f"unix://{quote(path)}",
        "SCANNER_STORE_TIMEOUT_MS": str(TIMEOUT_MS),
        "SCANNER_BRAND": store.keys.brand,
    }


@asynccontextmanager
async def reading(environment: Mapping[str, str], *arguments: str) -> AsyncIterator[Process]:
    """``bench.queue.reader`` for as long as the block runs; told to end after it, if it has not.

    Raises:
        BenchError: it failed; its last words are the message.
    """
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.queue.reader", *arguments),
            cwd=Path(__file__).parents[2],
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        try:
            yield process
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(ENDS_IN_S):
                code = await process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if code:
            errors.seek(0)
            raise BenchError(f"the reader {arguments[0]} failed: {errors.read().decode()[-1000:]}")
