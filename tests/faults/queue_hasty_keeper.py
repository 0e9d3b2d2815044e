"""`scanner queue keep`, broken in one place: the stream is trimmed before the manifest has its line.

    python -m tests.faults.queue_hasty_keeper

It dies between the two as soon as that makes a difference; else it would get away with it each time.
"""

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

from scanner.ledger.connection import opened
from scanner.ledger.watermark import entry_id
from scanner.queue.archive import START
from scanner.queue.keeper import Keeper
from scanner.service.signals import stop_event
from scanner.settings import load_settings


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
            committed = archive.position.entry if archive.position else START
            last = draft.last[0].decode()
            while (kept := await self._tell_store(archive, last, trims=True)).trimmed:
                if entry_id(kept.floor) > entry_id(committed):
                    os.kill(os.getpid(), signal.SIGKILL)
            commit(draft, added)
        return copied


async def main() -> None:
    settings = load_settings()
    async with opened(settings) as store:
        keeper = HastyKeeper(
            store, settings.archive_path, every_s=settings.archive_every_s, keep_s=settings.stream_keep_s
        )
        await keeper.run(stop_event())


if __name__ == "__main__":
    asyncio.run(main())
