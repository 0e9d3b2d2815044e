"""Scanner: ``scanner serve`` with one worker, as it is installed."""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.compare.brand import CAMPAIGN_TOML, PLAN, PRODUCT
from bench.compare.peers.serving import LOT, Ledger, Place, Serving
from bench.compare.process import LOG, CompareError, address_of, running
from scanner.campaigns import parse
from scanner.codes import KeyTable
from scanner.ledger import campaigns, lots
from scanner.ledger.audit import audit
from scanner.ledger.connection import Store, opened
from scanner.ledger.embedded import EmbeddedStore
from scanner.settings import load_settings, write_key_file

# The others wait for their store as long as it takes: a disk that stalls for a second ends nobody's turn.
STORE_TIMEOUT_MS = 10_000
# What a scan and a forgery cost is compared, and not what refusing them does.
ENVIRONMENT = {
    "SCANNER_OPS_PORT": "0",
    "SCANNER_STORE_TIMEOUT_MS": str(STORE_TIMEOUT_MS),
    "SCANNER_SHEDDING": "false",
    "SCANNER_THROTTLING": "false",
}
_OPERATIONS = re.compile(r"operations on (http://\S+)")
_COUNTERS = re.compile(r"^scanner_(claims|batches)_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class _Scanner(Serving):
    connection: Store | None = None
    table: KeyTable | None = None
    operations_url: str = ""

    async def ledger(self) -> Ledger:
        """The whole audit: the ledger is replayed, and must arrive at what the store holds."""
        assert self.connection is not None
        report = await audit(self.connection, self.table)
        left = await campaigns.remaining(self.connection, PLAN)
        pieces = {pool: {id: n or 0 for id, n in prizes.items()} for pool, prizes in left.items()}
        return Ledger(report.claims, pieces, [f"{one.where}: {one.text}" for one in report.differences])

    async def batches(self) -> tuple[int, int]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.operations_url}/metrics") as answer,
        ):
            found = dict(_COUNTERS.findall(await answer.text()))
        return int(float(found["claims"])), int(float(found["batches"]))


@asynccontextmanager
async def scanner(place: Place) -> AsyncIterator[Serving]:
    """The service on an embedded store that fsyncs before each answer: its default."""
    data_dir, log = place.directory / "data", place.directory / LOG
    settings = load_settings(
        data_dir=data_dir, store_url="", brand="main", accept_volatile_store=False,
        store_timeout_ms=STORE_TIMEOUT_MS, keys_file=data_dir / "keys.json",
        token_keys_file=data_dir / "token-keys.json",
    )  # fmt: skip
    write_key_file(settings.keys_path, place.brand.keyring.dump())
    write_key_file(settings.token_keys_path, place.brand.token_keys.dump())
    async with opened(settings) as store:
        await _fill(store, place)
        with log.open("wb") as file:
            arguments: list[str | Path] = [sys.executable, "-m", "scanner", "--data-dir", data_dir, "serve"]
            async with running(
                [*arguments, "--port", "0", "--workers", "1"], core=place.cores.service, log=file,
                directory=place.directory, environment=ENVIRONMENT,
            ) as process:  # fmt: skip
                address = await address_of(process, log)
                found = _OPERATIONS.search(log.read_text())
                if found is None:
                    raise CompareError("scanner did not say where its operations port is")
                yield _Scanner(
                    address, process.pid, EmbeddedStore(data_dir), store, place.brand.table, found[1]
                )


async def _fill(store: Store, place: Place) -> None:
    await campaigns.apply(store, parse(CAMPAIGN_TOML), by="compare")
    lot = await lots.register(
        store, by="compare", kid=place.brand.kid, size=place.codes, product=PRODUCT, campaign=PLAN.id
    )
    assert lot == LOT, "the store was not fresh"
    await lots.activate(store, lot, by="compare", first=0, last=place.codes - 1)
