"""The service that is overloaded: our own, behind a store of its own that may be slow, with fresh codes."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from loadtests.footprint import read_meters
from loadtests.overload.slow_store import slow_store
from loadtests.own_service import BY, READY_TIMEOUT_S, OwnService, write_tokens
from scanner.cli.campaign import DEMO_PRODUCT, demo_campaign
from scanner.cli.console import keyring_of, token_keys_of
from scanner.cli.keys import create_missing_keys
from scanner.errors import StoreUnavailableError
from scanner.ledger import campaigns, lots
from scanner.ledger.connection import opened
from scanner.ledger.directory import LOOK_EVERY_S
from scanner.ledger.embedded import EmbeddedStore
from scanner.service.admission import Reason
from scanner.service.supervisor import service
from scanner.settings import load_settings

CALM_TIMEOUT_S = 120.0
TOKENS_LAST_S = 6 * 3600
MEMORY = Path("/dev/shm")


@dataclass
class Target:
    """A service to overload. ``minted`` are the codes that were handed out so far."""

    own: OwnService
    directory: Path
    minted: int = 0
    acknowledged: list[Path] = field(default_factory=list)

    async def codes(self, count: int) -> Path:
        """A file of so many fresh codes, one a line, of a lot of their own that the workers know."""
        store, table = self.own.store, self.own.keyring.table()
        kid, campaign = self.own.keyring.minting_kid, demo_campaign().campaign.id
        lot = await lots.register(store, by=BY, kid=kid, size=count, product=DEMO_PRODUCT, campaign=campaign)
        await lots.activate(store, lot, by=BY, first=0, last=count - 1)
        path = self.directory / "codes.txt"
        path.write_bytes(table.mint(kid, lot, 0, count))
        self.minted += count
        await asyncio.sleep(3 * LOOK_EVERY_S)
        return path

    @property
    def waiting(self) -> int:
        """Claims that wait in the workers, by their own count."""
        return sum(row.get("waiting") for row in self.own.supervisor.rows)

    @property
    def refused(self) -> Counter[str]:
        """How many were refused so far, by the workers' own reasons."""
        rows = self.own.supervisor.rows
        return Counter(
            {reason: sum(row.get(f"shed.{reason}") for row in rows) for reason in get_args(Reason)}
        )

    async def calm(self) -> None:
        """Returns when nothing waits and nothing is under way.

        Raises:
            StoreUnavailableError: that does not come.
        """
        try:
            async with asyncio.timeout(CALM_TIMEOUT_S):
                while self.waiting or any(row.get("away") for row in self.own.supervisor.rows):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise StoreUnavailableError(f"claims still wait after {CALM_TIMEOUT_S:.0f} s") from None

    async def faults(self) -> list[str]:
        """What the ledger holds against what callers were told."""
        told = [line for path in self.acknowledged for line in path.read_text("ascii").splitlines()]
        return await self.own.faults(filter(None, told), self.minted)


@asynccontextmanager
async def target(*, workers: int, hold_s: float, settings: Mapping[str, object]) -> AsyncIterator[Target]:
    """A ready service. Its store holds each reply to claims for ``hold_s``, or none where that is 0."""
    async with AsyncExitStack() as stack:
        # How fast the disk is must not matter where the store's time is set.
        room = MEMORY if hold_s and MEMORY.is_dir() else None  # noqa: ASYNC240
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scanner-load-", dir=room)))
        embedded = load_settings(
            data_dir=directory, store_url="", host="127.0.0.1", port=0, ops_port=0, workers=workers,
            brand="load", keys_file=directory / "keys.json",
            token_keys_file=directory / "token-keys.json", log_level="warning", **settings,
        )  # fmt: skip
        create_missing_keys(embedded)
        store = await stack.enter_async_context(opened(embedded))
        await campaigns.apply(store, demo_campaign(), by=BY)
        where = EmbeddedStore(directory)
        url = where.url
        if hold_s:
            url = await stack.enter_async_context(
                slow_store(where.socket_path, directory / "slow.sock", hold_s)
            )
        supervisor = await stack.enter_async_context(
            service(embedded.model_copy(update={"store_url": SecretStr(url)}))
        )
        tokens = directory / "tokens.txt"
        write_tokens(token_keys_of(embedded), tokens, ttl_s=TOKENS_LAST_S)
        if not await supervisor.ready(READY_TIMEOUT_S):
            raise StoreUnavailableError("the workers did not become ready; the log says why")
        meters = await read_meters(supervisor, embedded, store)
        own = OwnService(
            embedded, supervisor, store, keyring_of(embedded), directory / "codes.txt", tokens, meters
        )
        yield Target(own, directory)
