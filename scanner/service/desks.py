"""Every endpoint of the public port: what it is made of, and where it is reached."""

from dataclasses import dataclass
from time import time
from typing import Self

from scanner.codes import Keyring
from scanner.identity import TokenKeys
from scanner.ledger.connection import Store
from scanner.ledger.directory import Directory
from scanner.service.batcher import Batcher
from scanner.service.batches import BODY_MAX_BYTES, Batches
from scanner.service.desk import Clock, Desk
from scanner.service.draws import Draws
from scanner.service.grants import Grants
from scanner.service.guard import Guard
from scanner.service.lookups import Lookups
from scanner.service.metrics import Cells
from scanner.service.openapi import description
from scanner.service.protocol import Route, Routes
from scanner.service.scans import Scans
from scanner.service.shares import Shares
from scanner.service.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Desks:
    """One worker's endpoints."""

    desk: Desk
    guard: Guard
    scans: Scans
    batches: Batches
    draws: Draws
    grants: Grants
    shares: Shares
    lookups: Lookups

    @classmethod
    def of(
        cls,
        keyring: Keyring,
        token_keys: TokenKeys,
        directory: Directory,
        batcher: Batcher,
        store: Store,
        cells: Cells,
        throttle: Throttle,
        *,
        read_timeout_s: float,
        throttles: bool = True,
        clock: Clock = time,
    ) -> Self:
        desk = Desk(keyring.table(), token_keys, store.keys, directory, batcher, clock)
        share_keys, kid = keyring.share_keys(), keyring.minting_kid
        return cls(
            desk,
            Guard(desk, throttle, counts=throttles),
            Scans(desk, share_keys),
            Batches(desk, share_keys, batcher.bulk, cells),
            Draws(desk, kid),
            Grants(desk, kid),
            Shares(desk, share_keys),
            Lookups(desk, store, read_timeout_s),
        )

    def routes(self) -> Routes:
        guard, batches = self.guard, self.batches
        return {
            "/v1/scans": {"POST": Route(self.scans.answer, guard=guard)},
            "/v1/scans/batch": {
                "POST": Route(batches.answer, body_max_bytes=BODY_MAX_BYTES, admit=batches.admit, guard=guard)
            },
            "/v1/draws": {"POST": Route(self.draws.answer, guard=guard)},
            "/v1/grants": {"POST": Route(self.grants.answer, guard=guard)},
            "/v1/shares/{token}/claims": {"POST": Route(self.shares.answer, may_be_empty=True, guard=guard)},
            "/v1/codes/{code}": {"GET": Route(self.lookups.answer, has_body=False, guard=guard)},
            "/openapi.json": {"GET": Route(description(), has_body=False)},
        }
