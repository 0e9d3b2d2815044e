"""A store whose time stands still until a test moves it. The time of what expires by itself goes on."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from scanner.ledger.connection import load_functions
from scanner.ledger.functions import Library
from tests.brand import Brand

KEY = "test:now_ms"
NOW = """  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
"""
FROZEN = f"  return tonumber(redis.call('GET', '{KEY}'))\n"
# Ahead of the real time, by which the store drops counters: earlier days would be over as they are written.
START = "2090-06-01T12:00:00+08:00"


@dataclass
class FrozenClock:
    """``brand`` is the brand on the frozen store. As a function, the time as a worker's clock tells it."""

    brand: Brand
    now_ms: int

    def __call__(self) -> float:
        return self.now_ms / 1000

    async def set(self, moment: str | int) -> None:
        """Moves to an RFC 3339 time, or to milliseconds since 1970."""
        self.now_ms = (
            moment if isinstance(moment, int) else round(datetime.fromisoformat(moment).timestamp() * 1000)
        )
        await self.brand.store.client.execute_command("SET", KEY, self.now_ms)

    async def forward(self, seconds: float) -> None:
        await self.set(self.now_ms + round(seconds * 1000))


class _Client:
    """The store's client, but for the time."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def time(self) -> tuple[int, int]:
        now_ms = int(await self._client.get(KEY))
        return now_ms // 1000, now_ms % 1000 * 1000


async def frozen_clock(brand: Brand, start: str | int = START) -> FrozenClock:
    """The brand with its store's time, and its workers' clocks, in the test's hand.

    Tokens are issued and checked by the same clock. A worker of another time is
    ``replace(clock.brand, clock=…).scanner()``.
    """
    library = brand.store.library
    assert library.code.count(NOW) == 1
    code = library.code.replace(NOW, FROZEN).replace(library.version, "frozen")
    store = replace(brand.store, client=_Client(brand.store.client), library=Library("frozen", code))
    await load_functions(store)
    clock = FrozenClock(replace(brand, store=store), 0)
    clock.brand.clock = clock
    await clock.set(start)
    return clock
