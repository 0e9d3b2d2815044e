"""What a peer is: how it is started, and what can be asked of it while it serves."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from bench.compare.brand import Brand
from bench.compare.cores import Cores
from bench.compare.process import Address
from scanner.ledger.embedded import EmbeddedStore

# The lot of the only codes there are: the first one of a fresh store.
LOT = 1


@dataclass(frozen=True)
class Place:
    """What a peer is given for one turn: the brand, how many codes its lot has, the cores, a directory."""

    brand: Brand
    codes: int
    cores: Cores
    directory: Path


@dataclass(frozen=True)
class Ledger:
    """What a store holds: events of accepted scans, pool → prize → pieces left, and faults found in it."""

    events: int
    left: dict[str, dict[str, int]]
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class Serving:
    """A peer that serves; without a store it is the empty handler, which knows nothing."""

    address: Address
    pid: int
    store: EmbeddedStore | None = None

    async def ledger(self) -> Ledger:
        """What its store holds now."""
        raise NotImplementedError

    async def batches(self) -> tuple[int, int]:
        """Claims and batches that went to the store so far, where claims travel in batches."""
        return 0, 0

    async def commands(self) -> dict[str, int]:
        """How often the store has executed each command, but for the one that asks."""
        assert self.store is not None
        async with Redis(unix_socket_path=str(self.store.socket_path)) as client:
            stats = await client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        return {name: n for name, n in calls.items() if name not in ("info", "client|setinfo", "hello")}


Start = Callable[[Place], AbstractAsyncContextManager[Serving]]


@dataclass(frozen=True)
class Peer:
    """``does_the_job`` tells the services from the empty handler. ``warm_times`` is how much longer than the
    others it is warmed up: a just-in-time compiler is not at its best before."""

    title: str
    start: Start
    does_the_job: bool = True
    warm_times: int = 1
