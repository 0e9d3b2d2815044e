"""`scanner queue keep`, broken in one place: the stream is trimmed before the manifest has its line.

    python -m tests.faults.queue_hasty_keeper

It dies between the two, once that makes a difference; else it would get away with it each time.
"""

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

from scanner.ledger.connection import opened
from scanner.ledger.watermark import entry_id
from scanner.queue.keeper import Keeper
from scanner.service.signals import stop_event
from scanner.settings import load_settings
from tests.running import eventually


class HastyKeeper(Keeper):
    async def _copy(self, archive: Any, stream: Any) -> int:
        drafts: list[Any] = []

        def later(draft: Any, added: int) -> Any:
            drafts.append((draft, added))
            return SimpleNamespace(entries=draft.entries, last="?", no=0, files=())

        commit, archive.commit = archive.commit, later
        try:
            copied = await super()._copy(archive, stream)
        finally:
            archive.commit = commit
        for draft, added in drafts:
            if draft.entries > 1:  # one that is the last is never trimmed
                await self._trim(archive, draft)
            commit(draft, added)
        return copied

    async def _trim(self, archive: Any, draft: Any) -> None:
        """Until something of the draft is gone, however late the consumers are; then it is killed."""
        first, last = (entry[0].decode() for entry in (draft.first, draft.last))

        async def is_gone() -> bool:
            kept = await self._tell_store(archive, last, trims=True)
            return not kept.trimmed and entry_id(kept.floor) > entry_id(first)

        await eventually(is_gone, 60)
        os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    settings = load_settings()
    async with opened(settings) as store:
        keeper = HastyKeeper(
            store, settings.archive_path, every_s=settings.archive_every_s, keep_s=settings.stream_keep_s
        )
        await keeper.run(stop_event())


if __name__ == "__main__":
    asyncio.run(main())
