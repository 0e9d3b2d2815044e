"""A service of the load test's own: private store, fresh keys, a campaign, codes, members; then the audit.

Nothing of it stays behind, and nothing of the developer's is touched.
"""

import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.footprint import Reading, claim_record_bytes, footprint, read_meters, rewritten_bytes
from loadtests.generator.target import Address
from scanner.cli.campaign import DEMO_PRODUCT, demo_campaign
from scanner.cli.console import keyring_of, token_keys_of
from scanner.cli.keys import create_missing_keys
from scanner.codes import Keyring
from scanner.codes.format import SERIAL_MAX
from scanner.errors import StoreUnavailableError
from scanner.identity import Member, TokenKeys
from scanner.ledger import campaigns, lots
from scanner.ledger.audit import audit
from scanner.ledger.connection import Store, opened
from scanner.queue.events import ScanAccepted
from scanner.queue.tail import tail
from scanner.service.supervisor import Supervisor, service
from scanner.settings import Settings, load_settings

BY = "loadtests"
MEMBERS = 500
READY_TIMEOUT_S = 60
TOKEN_SPARE_S = 3600
MINTED_AT_ONCE = 100_000
FAULTS_SHOWN = 5


@dataclass(frozen=True)
class OwnService:
    """Where it listens, and the files with its codes and with its members' tokens, one a line."""

    settings: Settings
    supervisor: Supervisor
    store: Store
    keyring: Keyring
    codes_file: Path
    tokens_file: Path
    at_first: Reading

    @property
    def address(self) -> Address:
        return self.settings.host, self.supervisor.settings.port

    async def footprint(self, requests: int) -> dict[str, Any]:
        """What so many requests have cost since the start; see :func:`loadtests.footprint.footprint`."""
        now = await read_meters(self.supervisor, self.settings, self.store)
        return footprint(
            self.at_first,
            now,
            records_bytes=await claim_record_bytes(self.store),
            rewritten_bytes=await rewritten_bytes(self.store),
            requests=requests,
        )

    async def faults(self, acknowledged: Iterable[str], codes_sent: int) -> list[str]:
        """What the ledger holds against what callers were told; empty where it adds up.

        ``acknowledged`` are the scan_ids that callers were told are accepted, ``codes_sent`` how many codes
        were sent at all: a scan whose answer never came may have been accepted or not.
        """
        stream: Counter[str] = Counter()
        async for event in tail(self.store.client, self.store.keys.events):
            if isinstance(event, ScanAccepted):
                stream[event.id] += 1
        faults = [f"{id} stands {n} times in the stream" for id, n in stream.items() if n != 1]
        faults += [
            f"{id} was told to be accepted and is not in the stream"
            for id in sorted(set(acknowledged) - stream.keys())
        ]
        if len(stream) > codes_sent:
            faults.append(f"{len(stream)} scans in the stream, of {codes_sent} codes that were sent")
        report = await audit(self.store, self.keyring.table())
        faults += [f"audit: {found.where}: {found.text}" for found in report.differences]
        if report.claims != stream.total():
            faults.append(f"{report.claims} claims in the store, {stream.total()} in the stream")
        return faults[:FAULTS_SHOWN]


@asynccontextmanager
async def own_service(
    *, codes: int, seconds: float, workers: int, printed: int = 1
) -> AsyncIterator[OwnService]:
    """A ready service with so many fresh codes, and tokens that outlast a run of ``seconds``.

    One code in ``printed`` of the lot is handed out, as not every code that is printed is scanned.
    """
    with tempfile.TemporaryDirectory(prefix="scanner-load-") as name:
        directory = Path(name)
        settings = load_settings(
            data_dir=directory, store_url="", host="127.0.0.1", port=0, ops_port=0, workers=workers,
            brand="load", keys_file=directory / "keys.json",
            token_keys_file=directory / "token-keys.json", log_level="warning",
        )  # fmt: skip
        create_missing_keys(settings)
        keyring = keyring_of(settings)
        codes_file, tokens_file = directory / "codes.txt", directory / "tokens.txt"
        async with service(settings) as supervisor, opened(settings) as store:
            await _mint(store, keyring, codes, printed, codes_file)
            write_tokens(token_keys_of(settings), tokens_file, ttl_s=int(seconds) + TOKEN_SPARE_S)
            if not await supervisor.ready(READY_TIMEOUT_S):
                raise StoreUnavailableError("the workers did not become ready; the log says why")
            meters = await read_meters(supervisor, settings, store)
            yield OwnService(settings, supervisor, store, keyring, codes_file, tokens_file, meters)


async def _mint(store: Store, keyring: Keyring, count: int, printed: int, path: Path) -> None:
    campaign, size = demo_campaign(), count * printed
    if size > SERIAL_MAX + 1:
        raise LoadTestError(f"a lot has at most {SERIAL_MAX + 1:,} codes; this run needs {size:,}")
    await campaigns.apply(store, campaign, by=BY)
    table, kid = keyring.table(), keyring.minting_kid
    lot = await lots.register(
        store, by=BY, kid=kid, size=size, product=DEMO_PRODUCT, campaign=campaign.campaign.id
    )
    await lots.activate(store, lot, by=BY, first=0, last=size - 1)
    at_once = MINTED_AT_ONCE // printed * printed
    with path.open("wb") as file:
        for first in range(0, size, at_once):
            codes = table.mint(kid, lot, first, min(at_once, size - first))
            file.writelines(codes.splitlines(keepends=True)[::printed])


def write_tokens(keys: TokenKeys, path: Path, *, ttl_s: int) -> None:
    """One token a line, of so many members as take turns."""
    now_s = int(time.time())
    tokens = [keys.issue(Member(f"member-{n}"), now_s=now_s, ttl_s=ttl_s) for n in range(MEMBERS)]
    path.write_text("\n".join([*tokens, ""]), "ascii")
