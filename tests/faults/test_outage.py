"""The store dies under load: answered in time, nothing lost, nothing double, served again by itself.

The harness keeps a ledger of its own: what was sent, and what was answered. The control holds the same check
against a claim that is made in two steps, and must fail.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
import pytest

from scanner.errors import StoreUnavailableError
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import Store
from scanner.ledger.embedded import EmbeddedStore, embedded_store
from scanner.ledger.frames import Asked
from scanner.ledger.functions import Library
from tests.brand import POINTS, Brand, brand_in, campaign_toml, deck_toml
from tests.phone import Reply, scan_request
from tests.running import Running, eventually, serving

CODES, PHONES = 4_000, 32
DECK = POINTS + deck_toml(3_000)


@dataclass
class Witness:
    """What the phones saw: by code, the answer of an accepted scan; and how many had no answer at first."""

    accepted: dict[str, bytes] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    slowest_s: float = 0.0
    refusals: list[Reply] = field(default_factory=list)


async def scan_until_answered(run: Running, witness: Witness, codes: Iterator[str]) -> None:
    """A phone: scans, and scans again where the answer was `unavailable`."""
    token = run.brand.token("alice")
    async with run.phone() as phone:
        for code in codes:
            while True:
                began = time.perf_counter()
                reply = await phone.send(scan_request(token, code))
                witness.slowest_s = max(witness.slowest_s, time.perf_counter() - began)
                if reply.status == 200:
                    witness.accepted[code] = reply.body
                    break
                witness.unknown.add(code)
                witness.refusals.append(reply)
                await asyncio.sleep(0.01)


async def faults_of(brand: Brand, witness: Witness) -> list[str]:
    """What was lost, doubled or does not add up: the acknowledged against the stream, and the audit."""
    stream: Counter[str] = Counter()
    last = "0-0"
    while entries := await brand.store.client.xrange(brand.store.keys.events, f"({last}", "+", count=1000):
        last = entries[-1][0].decode()
        stream.update(fields[b"id"].decode() for _, fields in entries if fields[b"type"] == b"scan.accepted")
    faults = [f"{id} stands {n} times in the stream" for id, n in stream.items() if n != 1]
    faults += [
        f"{code} was acknowledged and is not in the stream"
        for code, body in witness.accepted.items()
        if orjson.loads(body)["scan_id"] not in stream
    ]
    report = await brand.audit()
    return faults + [f"{found.where}: {found.text}" for found in report.differences]


@pytest.mark.parametrize("death", ["killed", "hangs"])
async def test_a_store_that_dies_under_load(tmp_path: Path, death: str) -> None:
    """The store is not the service's own, so that nobody starts it again but we.

    How long answers and recovery took is printed: `pytest -s` shows it.
    """
    async with (
        embedded_store(tmp_path / "store") as embedded,
        brand_in(tmp_path / "data", store_url=embedded.url) as brand,
        serving(brand) as run,
    ):
        await brand.apply(campaign_toml(pools=DECK))
        lot = await brand.lot(CODES)
        witness, codes = Witness(), iter(brand.codes(lot, range(CODES)))
        phones = [asyncio.create_task(scan_until_answered(run, witness, codes)) for _ in range(PHONES)]

        async def half_way() -> bool:
            return len(witness.accepted) > CODES // 3

        async def is_not_ready() -> bool:
            return not await run.is_ready()

        async def everybody_is_refused() -> bool:
            return len(witness.refusals) >= 2 * PHONES

        await eventually(half_way, 60)
        pid = embedded.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL if death == "killed" else signal.SIGSTOP)
        await eventually(everybody_is_refused)
        await eventually(is_not_ready)
        if death == "killed":
            await embedded.join()
        else:
            os.kill(pid, signal.SIGCONT)
        back = time.perf_counter()
        await eventually(run.is_ready)
        ready_after_s = time.perf_counter() - back
        async with asyncio.timeout(60):
            await asyncio.gather(*phones)

        assert {(reply.status, reply.outcome) for reply in witness.refusals} == {(503, "unavailable")}
        assert all(reply.headers["retry-after"] for reply in witness.refusals)
        assert len(run.supervisor.worker_pids) == 1
        assert run.supervisor.collector.restarts == 0
        assert len(witness.accepted) == CODES
        assert await faults_of(brand, witness) == []
        left = await brand.store.client.hgetall(brand.store.keys.pool("spring", "deck"))
        assert left == {b"p": b"0"}
        sys.stdout.write(
            f"\nstore {death}: slowest answer {witness.slowest_s:.2f} s, "
            f"ready {ready_after_s:.2f} s after its return\n"
        )


class TwoSteps(ClaimFunction):
    """The broken variant: the claim first, the stream afterwards; here the store dies in between."""

    def __init__(self, store: Store, embedded: EmbeddedStore) -> None:
        write = "      add_scan(session, accepted[4], accepted[5], accepted[6], accepted[7])\n"
        code = store.library.code.replace(store.library.version, "two_steps")
        assert write in code
        super().__init__(replace(store, library=Library("two_steps", code.replace(write, ""))))
        self._embedded = embedded
        self._dies = True

    async def replies(self, batch: Sequence[Asked]) -> list[bytes]:
        answers = await super().replies(batch)
        if self._dies:
            self._dies = False
            os.kill(self._embedded.pid, signal.SIGKILL)
            async with embedded_store(self._embedded.data_dir):
                pass  # somebody starts it again; the brand still uses it
            raise StoreUnavailableError("died before the second step")
        return answers


async def test_control_a_claim_in_two_steps_is_caught(tmp_path: Path) -> None:
    async with brand_in(tmp_path / "data") as brand:
        await brand.apply(campaign_toml(pools=DECK))
        lot = await brand.lot(1)
        code = brand.code(lot, 0)
        scanner = brand.scanner()
        scanner.batcher._send = TwoSteps(brand.store, EmbeddedStore(tmp_path / "data")).replies
        witness = Witness()
        assert (await scanner.scan("alice", code))["outcome"] == "unavailable"
        answer = await scanner.scans.answer(f"Bearer {brand.token('alice')}", f'{{"code":"{code}"}}'.encode())
        assert answer.outcome == "replayed"
        witness.accepted[code] = answer.body
        faults = await faults_of(brand, witness)
        assert any("acknowledged and is not in the stream" in fault for fault in faults)
        assert any("claimed, but no entry says so" in fault for fault in faults)
