"""The service's watch over its store: is it still the one that was seen, in this run and in those before?

It keeps the watermark (scanner/ledger/watermark.py). The workers look for themselves, and do not wait for it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from scanner.errors import ConfigurationError, ScannerError
from scanner.ledger.connection import Store, store_for
from scanner.ledger.embedded import EmbeddedStore
from scanner.ledger.watermark import Mark, advance_mark, look, read_mark
from scanner.service.signals import end
from scanner.settings import Settings

log = logging.getLogger("scanner")

WATCH_EVERY_S = 0.5
LAST_LOOK_S = 2.0


@asynccontextmanager
async def watched(settings: Settings, embedded: EmbeddedStore | None) -> AsyncIterator[None]:
    """Looks at the store, then keeps the watermark for as long as the block runs.

    Raises:
        WentBackError: the store is not the one that was seen by a service with this data directory.
        ConfigurationError: the watermark cannot be read.
        StoreUnavailableError: the store did not answer, or is being restored.
    """
    store = store_for(settings, embedded)
    try:
        watch = _Watch(store, settings)
        await watch.look()
        task = asyncio.create_task(watch.run())
        try:
            yield
        finally:
            await end(task)
            with suppress(ScannerError, TimeoutError):  # what is at hand was written; this is the rest
                async with asyncio.timeout(LAST_LOOK_S):
                    await watch.look()
    finally:
        await store.close()


class _Watch:
    """The newest entry that was seen, in memory and in the file."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._seen: Mark | None = read_mark(settings)
        self._written = self._seen
        self._said = ""

    async def look(self) -> None:
        """Moves the watermark to the stream's last entry. Raises as ``watermark.look`` does."""
        self._seen = await look(self._store, self._seen)
        if self._seen is None or self._seen == self._written:
            return
        try:
            await asyncio.to_thread(advance_mark, self._settings, self._seen)  # it waits for the disk
            self._written = self._seen
        except (OSError, ConfigurationError) as error:
            self._say(f"the watermark cannot be kept, so a loss will not be seen after a restart: {error}")

    async def run(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                await self.look()
                if self._seen == self._written:
                    self._said = ""
            except Exception as error:  # whatever it is: an eye that is shut would not be missed
                self._say(str(error))

    def _say(self, text: str) -> None:
        if text != self._said:
            log.error("%s", text)
        self._said = text
