"""Keys that change while a service runs: the key files, phones that scan meanwhile, and phones that try."""

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from scanner.codes import Keyring, KeyTable, to_text
from scanner.identity import Member, TokenKeys
from scanner.settings import read_key_file, write_key_file
from tests.brand import Brand
from tests.phone import Phone, Reply, scan_request
from tests.running import Running, eventually

PHONES, TRIERS, WORKERS = 8, 8, 2
PATIENT = {"workers": WORKERS, "shedding": False, "throttling": False, "wait_max_ms": 60_000}
"""Settings for a machine that may be busy: what is refused is refused because of its key."""
LOT, TRIED = 100_000, range(TRIERS)
PACE_S, TRY_EVERY_S = 0.01, 0.005


def change_codes(brand: Brand, change: Callable[[Keyring], Keyring]) -> None:
    """Changes the file of the master keys, as the command line does."""
    brand.keyring = change(Keyring.parse(read_key_file(brand.settings.keys_path)))
    write_key_file(brand.settings.keys_path, brand.keyring.dump())


def change_tokens(brand: Brand, change: Callable[[TokenKeys], TokenKeys]) -> None:
    """The same with the keys of tokens."""
    brand.token_keys = change(TokenKeys.parse(read_key_file(brand.settings.token_keys_path)))
    write_key_file(brand.settings.token_keys_path, brand.token_keys.dump())


def broken_workers(monkeypatch: pytest.MonkeyPatch, directory: Path, variant: str) -> None:
    """Workers that are started from now on run these lines first."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(variant, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(directory), prepend=os.pathsep)


@dataclass(frozen=True)
class Live:
    """A lot of one master key, and tokens of one token key: what phones scan with."""

    table: KeyTable
    kid: int
    token_keys: TokenKeys
    lot: int

    @classmethod
    async def of(cls, brand: Brand) -> "Live":
        """Of the newest keys in the files."""
        keyring = brand.keyring
        return cls(keyring.table(), keyring.minting_kid, brand.token_keys, await brand.lot(LOT))

    def code(self, serial: int) -> str:
        return to_text(self.table.seal(self.kid, self.lot, serial))

    def token(self, member: str) -> str:
        return self.token_keys.issue(Member(member), now_s=int(time.time()), ttl_s=3600)


@dataclass
class Load:
    """Phones that scan all the while, each code twice: it is to be accepted, then replayed."""

    run: Running
    live: Live
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[Reply] = field(default_factory=list)
    _serials: "itertools.count[int]" = field(default_factory=lambda: itertools.count(TRIERS))
    _used: list[Live | None] = field(default_factory=lambda: [None] * PHONES)

    async def use(self, live: Live) -> None:
        """Returns when no phone uses anymore what was live before."""
        self.live = live

        async def all_use_it() -> bool:
            return all(used is live for used in self._used)

        await eventually(all_use_it)

    async def scan(self, number: int) -> None:
        async with self.run.phone() as phone:
            while True:
                if self._used[number] is not self.live:
                    live = self.live
                    token = live.token(f"phone-{number}")
                    self._used[number] = live
                request = scan_request(token, live.code(next(self._serials)))
                for outcome in ("accepted", "replayed"):
                    reply = await phone.send(request)
                    self.outcomes[reply.outcome] += 1
                    if reply.outcome != outcome:
                        self.wrong.append(reply)
                await asyncio.sleep(PACE_S)


@asynccontextmanager
async def loaded(run: Running, live: Live) -> AsyncIterator[Load]:
    """A steady load of scans, over connections that stay open."""
    load = Load(run, live)
    tasks = [asyncio.create_task(load.scan(number)) for number in range(PHONES)]
    try:
        await load.use(live)
        yield load
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def triers(run: Running) -> AsyncIterator[list[Phone]]:
    """Phones that stay connected, some to each worker."""
    pids = run.supervisor.worker_pids
    assert len(pids) == WORKERS
    async with AsyncExitStack() as stack:
        while True:
            phones = [await stack.enter_async_context(run.phone()) for _ in range(TRIERS)]
            ours = {phone._writer.get_extra_info("sockname")[1] for phone in phones}
            for phone in phones:  # a worker has accepted a connection once it has answered on it
                await phone.send(scan_request("none", "none"))
            if all(ours & _ports_connected_to(pid) for pid in pids):
                yield phones
                return


def _ports_connected_to(pid: int) -> set[int]:
    return {one.raddr.port for one in psutil.Process(pid).net_connections("tcp") if one.raddr}


async def until(phones: Sequence[Phone], requests: Sequence[bytes], outcome: str, *before: str) -> float:
    """Each phone sends its request until this is the outcome; every other one must be of those before.

    Gives the moment when the last of them had it, as time.perf_counter tells it.
    """

    async def sent(phone: Phone, request: bytes) -> None:
        while (reply := await phone.send(request)).outcome != outcome:
            assert reply.outcome in before, reply
            await asyncio.sleep(TRY_EVERY_S)

    await asyncio.gather(*(sent(phone, request) for phone, request in zip(phones, requests, strict=True)))
    return time.perf_counter()


async def outcomes(phones: Sequence[Phone], requests: Sequence[bytes]) -> set[str]:
    """What all of them are answered, once."""
    replies = [await phone.send(request) for phone, request in zip(phones, requests, strict=True)]
    return {reply.outcome for reply in replies}
