"""What every endpoint answers while the store does not, or has lost what it knew; and past the bounds."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from scanner.errors import StoreUnavailableError
from scanner.ledger.embedded import EmbeddedStore
from tests.brand import BATCH, CODES, DRAWS, GRANTS, SCANS, SHARES, Brand, InProcess, campaign_toml
from tests.running import PATIENCE_S
from tests.service.pools import friends, locked, wheel

Ask = Callable[[int], Any]


async def asks(brand: Brand, scanner: InProcess) -> dict[str, Ask]:
    """By path, a good request with a number of its own; the first of each has been answered."""
    await brand.apply(campaign_toml(pools=wheel() + locked(stock=50) + friends(slots=50)))
    lot = await brand.lot(50)
    share = str((await scanner.scan("alice", brand.code(lot, 49)))["share"])
    alice, crm = brand.token("alice"), brand.service_token()

    def of(n: int, pool: str) -> dict[str, Any]:
        return {"campaign": "spring", "pool": pool, "request_id": f"r{n}", "member": "alice"}

    found: dict[str, Ask] = {
        SCANS: lambda n: scanner.send(SCANS, alice, {"code": brand.code(lot, n)}),
        BATCH: lambda n: scanner.send(
            BATCH, crm, {"scans": [{"member": "bob", "code": brand.code(lot, 20 + n)}]}
        ),
        DRAWS: lambda n: scanner.send(DRAWS, crm, of(n, "wheel") | {"paid": {"points": 100}}),
        GRANTS: lambda n: scanner.send(GRANTS, crm, of(n, "locked")),
        SHARES: lambda n: scanner.send(SHARES, brand.token(f"f{n}"), b"", parameter=share),
        CODES: lambda n: scanner.send(CODES, alice, parameter=brand.code(lot, n)),
    }
    for ask in found.values():
        assert (await ask(0)).status == 200
    return found


def outcome(answer: Any) -> str:
    if answer.outcome == "batch":
        [result] = orjson.loads(answer.body)["results"]
        return "replayed" if result.get("replayed") else str(result["outcome"])
    return str(answer.outcome)


async def test_a_store_that_does_not_answer(brand: Brand) -> None:
    found = await asks(brand, brand.scanner())
    pid = EmbeddedStore(brand.settings.data_dir).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE_S):
            answers = await asyncio.gather(*(ask(1) for ask in found.values()))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert {path: outcome(answer) for path, answer in zip(found, answers, strict=True)} == dict.fromkeys(
        found, "unavailable"
    )
    for path, ask in found.items():
        assert outcome(await ask(1)) in ("accepted", "replayed", "genuine"), path
    assert not (await brand.audit()).differences


async def test_a_store_that_went_back(brand: Brand) -> None:
    """What was done looks as if it had not been: nothing is done again."""
    scanner = brand.scanner()
    found = await asks(brand, scanner)
    await scanner.directory.refresh()
    await brand.store.client.execute_command("FLUSHALL")
    with pytest.raises(StoreUnavailableError, match="gone back"):
        await scanner.directory.refresh()
    await brand.apply(campaign_toml(pools=wheel() + locked() + friends()))
    for path, ask in found.items():
        for n in (0, 1):
            assert outcome(await ask(n)) == "unavailable", path


@pytest.mark.parametrize("path", [SCANS, BATCH, DRAWS, GRANTS, SHARES])
async def test_past_the_bound_requests_are_shed(brand: Brand, path: str) -> None:
    scanner = brand.scanner(batch_max=1, away_max=1, waiting_max=2)
    ask = (await asks(brand, scanner))[path]
    answers = await asyncio.gather(*(ask(n) for n in range(1, 9)))
    outcomes = [outcome(answer) for answer in answers]
    assert set(outcomes) == {"accepted", "overloaded"}
    # Nothing of what was shed was done: it is done now.
    for n, before in enumerate(outcomes, 1):
        assert outcome(await ask(n)) == {"accepted": "replayed", "overloaded": "accepted"}[before]
