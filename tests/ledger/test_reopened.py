"""A connection for claims that is opened anew may lead to another store: it is judged before it is used."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from scanner.ledger.embedded import embedded_store
from tests.brand import brand_in, campaign_toml


@pytest.mark.parametrize("is_judged", [True, False], ids=["judged", "control"])
async def test_no_claim_goes_to_an_older_copy(tmp_path: Path, is_judged: bool) -> None:
    """The store is put back between two looks of a worker, which has seen nothing of it."""
    log, older = tmp_path / "store" / "appendonlydir", tmp_path / "older"
    async with (
        embedded_store(tmp_path / "store") as embedded,
        brand_in(tmp_path / "data", store_url=embedded.url) as brand,
    ):
        await brand.apply(campaign_toml())
        code = brand.code(await brand.lot(1), 0)
        scanner = brand.scanner()
        await scanner.directory.refresh()
        if is_judged:
            brand.store.wire.on_open = scanner.directory.judge_by
        shutil.copytree(log, older)
        assert (await scanner.scan("alice", code))["outcome"] == "accepted"
        await scanner.directory.refresh()
        pid = embedded.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(log)
        shutil.copytree(older, log)
        await embedded.join()
        outcome = (await scanner.scan("bob", code))["outcome"]
        assert outcome == ("unavailable" if is_judged else "accepted")
