"""Yardsticks: known work that a cost is divided by.

Microseconds of a shared machine say little. A yardstick runs right before each round of what is measured, in
the same process, and a slow moment or a slow machine slows both. Each is made of the same kind of work as
what is held against it, so that the ratio also lasts from one processor, and one Python, to the next.
"""

import asyncio
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
from blake3 import blake3

KEY: Final = bytes(range(32))
MESSAGE: Final = b"15 bytes, a code"[:15]
BODY: Final = {
    "code": "2W4WWNA7XW7FAJKB9WWYZFR7",
    "channel": "mini",
    "location": {"lat": 31.23, "lng": 121.47},
}
TIMES: Final = 100
TURNS: Final = 10
FUTURES: Final = TURNS * TIMES
_PAIR = struct.Struct(">HI")


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Work that makes ``of`` units at each call."""

    name: str
    work: Callable[[], object]
    of: int


def python() -> None:
    """What the service's own Python is made of: a look into a dict, a tuple, a text, some bytes."""
    seen: dict[str, tuple[int, bytes]] = {}
    for n in range(TIMES):
        name = f"key:{n & 15}"
        count, data = seen.get(name, (0, b""))
        seen[name] = count + 1, b"".join((_PAIR.pack(count, n), data[:16]))


def blake3_package() -> None:
    """The keyed hash of a code by the package that everybody can install: one short call into native code."""
    for _ in range(TIMES):
        blake3(MESSAGE, key=KEY).digest(8)


def lanes() -> None:
    """The same hash over 64 KiB, one unit a block of 64 bytes: it fills the processor's widest vectors."""
    blake3(_LONG, key=KEY).digest(8)


_LONG: Final = bytes(64 * 1024)


def sha256() -> None:
    """HMAC with SHA-256, as it signs tokens."""
    for _ in range(TIMES):
        hmac.digest(KEY, MESSAGE, "sha256")


def json() -> None:
    """A small body to text and back."""
    for _ in range(TIMES):
        orjson.loads(orjson.dumps(BODY))


async def futures() -> None:
    """So many that the next turn of the loop answers: the least that asynchronous code can cost."""
    loop = asyncio.get_running_loop()
    for _ in range(TURNS):
        waiting = [loop.create_future() for _ in range(TIMES)]
        loop.call_soon(_answer, waiting)
        await asyncio.gather(*waiting)


def _answer(waiting: list[asyncio.Future[None]]) -> None:
    for future in waiting:
        future.set_result(None)


PYTHON: Final = Yardstick("python", python, TIMES)
BLAKE3: Final = Yardstick("blake3", blake3_package, TIMES)
LANES: Final = Yardstick("lanes", lanes, len(_LONG) // 64)
SHA256: Final = Yardstick("sha256", sha256, TIMES)
JSON: Final = Yardstick("json", json, TIMES)
