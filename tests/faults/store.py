"""A store of the test's own, set up as the embedded one is, that may be killed and started again."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from scanner.ledger.embedded import EmbeddedStore, embedded_store
from tests.faults.strace import traced, unsynced_bytes
from tests.running import eventually


class DoomedStore:
    """Nobody but the test starts it again: the service knows it by its address only."""

    def __init__(self, embedded: EmbeddedStore) -> None:
        self._embedded = embedded
        self.kills = 0

    @property
    def url(self) -> str:
        return self._embedded.url

    @property
    def socket(self) -> Path:
        return self._embedded.socket_path

    @property
    def pid(self) -> int:
        pid = self._embedded.pid
        assert pid is not None, "the store does not run"
        return pid

    @property
    def log(self) -> str:
        return (self._embedded.data_dir / "store.log").read_text()

    @property
    def aof(self) -> Path:
        """The append-only file that is written to now."""
        [*_, newest] = sorted(
            (self._embedded.data_dir / "appendonlydir").glob("*.incr.aof"),
            key=lambda path: int(path.name.split(".")[-3]),
        )
        return newest

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.dead()

    async def dead(self) -> None:
        """Waits until it is gone, whoever ended it."""

        async def is_dead() -> bool:
            return not self._embedded._is_alive()

        await eventually(is_dead, 60)
        self.kills += 1

    async def start(self) -> None:
        await self._embedded.join()

    def traced(self, inject: str = "", *, aof_only: bool = False):
        """strace beside it; see ``traced``."""
        return traced(self.pid, self._trace, inject=inject, path=self.aof if aof_only else None)

    @asynccontextmanager
    async def losing_power(self, inject: str = "") -> AsyncIterator["Loss"]:
        """The store is to die inside the block; then its file loses what was not synced.

        A power cut leaves nothing of the writes that were not synced, or a part: the loss's ``keep``, 0 to 1.
        """
        aof, loss = self.aof, Loss()
        async with traced(self.pid, self._trace, inject=inject, path=aof):
            yield loss
        loss.unsynced = unsynced_bytes(self._trace)
        loss.bytes = loss.unsynced - int(loss.keep * loss.unsynced)
        os.truncate(aof, aof.stat().st_size - loss.bytes)

    @property
    def _trace(self) -> Path:
        return self._embedded.data_dir / "strace.log"


@dataclass
class Loss:
    """What a power cut took: ``bytes`` of ``unsynced``."""

    keep: float = 0
    bytes: int = 0
    unsynced: int = 0


@asynccontextmanager
async def doomed_store(directory: Path) -> AsyncIterator[DoomedStore]:
    async with embedded_store(directory) as embedded:
        yield DoomedStore(embedded)
