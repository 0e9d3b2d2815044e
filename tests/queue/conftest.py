"""What several tests of the queue begin with: a story that is played once, a stream, an archive's place."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scanner.ledger.client import Entry
from tests.brand import brand_in
from tests.queue.story import entries_of, play
from tests.queue.streams import Stream, stream_in


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """The entries of a story in which every type has every field; the audit finds nothing in it."""

    async def run() -> list[Entry]:
        async with brand_in(tmp_path_factory.mktemp("story") / "data") as brand:
            await play(brand)
            assert not (await brand.audit()).differences
            return await entries_of(brand)

    return asyncio.run(run())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where an archive is to be."""
    return tmp_path / "archive"


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    """An empty stream on a store of its own."""
    async with stream_in(tmp_path / "data") as stream:
        yield stream
