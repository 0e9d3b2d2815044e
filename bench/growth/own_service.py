"""A service of its own to measure: its workers, its private store, and phones that scan fresh codes."""

import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.brand import MEMBERS
from bench.store import TIMEOUT_MS, PrivateStore
from bench.suites import BenchError
from loadtests.generator import drive
from loadtests.generator.scans import scan_requests
from scanner.cli.console import keyring_of, token_keys_of
from scanner.cli.keys import create_missing_keys
from scanner.codes import KeyTable
from scanner.errors import StoreUnavailableError
from scanner.identity import Member
from scanner.ledger.connection import opened
from scanner.service.supervisor import Supervisor, service
from scanner.settings import load_settings

CONNECTIONS: Final = 64
READY_TIMEOUT_S: Final = 60
TOKEN_TTL_S: Final = 7 * 86_400


@dataclass(frozen=True, slots=True)
class OwnService:
    """A running service, and what phones need to scan there."""

    supervisor: Supervisor
    private: PrivateStore
    table: KeyTable
    kid: int
    tokens: Sequence[str]

    async def scan(self, codes: Sequence[str]) -> None:
        """Scans each of these codes, which must all be accepted.

        Raises:
            BenchError: something else came back.
        """
        settings = self.supervisor.settings
        outcome = await drive(
            (settings.host, settings.port), scan_requests(codes, self.tokens), connections=CONNECTIONS
        )
        if outcome.statuses != {200: len(codes)}:
            raise BenchError(f"of {len(codes)} scans: {dict(outcome.statuses)}, {dict(outcome.failures)}")

    def minted(self, lot: int, first: int, count: int) -> list[str]:
        return self.table.mint(self.kid, lot, first, count).decode().split()

    def counted(self, name: str) -> int:
        """What the workers have counted by now."""
        return sum(row.get(name) for row in self.supervisor.rows)


@asynccontextmanager
async def own_service(*, workers: int, logged: bool = True) -> AsyncIterator[OwnService]:
    """A ready service in a directory of its own, gone when the block ends. Where its store is not ``logged``,
    it writes nothing to disk, however many scans come."""
    with tempfile.TemporaryDirectory(prefix="scanner-bench-") as name:
        directory = Path(name)
        settings = load_settings(
            data_dir=directory, store_url="", host="127.0.0.1", port=0, ops_port=0, workers=workers,
            brand="bench", keys_file=directory / "keys.json", token_keys_file=directory / "token-keys.json",
            log_level="warning", accept_volatile_store=not logged, shedding=False,
        )  # fmt: skip
        create_missing_keys(settings)
        keyring, token_keys = keyring_of(settings), token_keys_of(settings)
        patient = settings.model_copy(update={"store_timeout_ms": TIMEOUT_MS})
        async with opened(patient) as store:
            private = PrivateStore(store)
            await private.set("auto-aof-rewrite-percentage", "0")
            if not logged:
                await private.set("appendonly", "no")
            async with service(settings) as supervisor:
                if not await supervisor.ready(READY_TIMEOUT_S):
                    raise StoreUnavailableError("the workers did not become ready; the log says why")
                now_s = int(time.time())
                tokens = [
                    token_keys.issue(Member(f"member-{n}"), now_s=now_s, ttl_s=TOKEN_TTL_S)
                    for n in range(MEMBERS)
                ]
                yield OwnService(supervisor, private, keyring.table(), keyring.minting_kid, tokens)
