"""A private store whose time the test sets, for many brands, one after another."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from blake3 import blake3

from scanner.codes import Keyring
from scanner.codes.keyring import Key
from scanner.identity import Member, TokenKeys
from scanner.ledger.connection import load_functions, opened
from scanner.ledger.functions import Library, library
from tests.brand import Brand, settings_for
from tests.clock import FROZEN, NOW

KEYS = Keyring(tuple(Key(kid, "live", datetime(2027, 1, 1, tzinfo=UTC), bytes([kid] * 32)) for kid in (1, 2)))
SHARE_KEYS = KEYS.share_keys()
PACKETS_MAX = 3
"""In place of a hundred, in the store's functions and in the model, so that it is reached."""


class _Client:
    """The store's client, but for the time."""

    def __init__(self, client: Any, now: Callable[[], int]) -> None:
        self._client, self._now = client, now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def time(self) -> tuple[int, int]:
        return self._now() // 1000, self._now() % 1000 * 1000

    def pipeline(self, *, transaction: bool) -> Any:
        pipe = self._client.pipeline(transaction=transaction)
        return _Pipeline(pipe, self._now) if transaction else pipe


class _Pipeline(_Client):
    def execute_command(self, *args: Any) -> Any:
        return self._client.execute_command(*(("ECHO", self._now()) if args == ("TIME",) else args))

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        asked = [command[0] for command in self._client.command_stack]
        replies = await self._client.execute(raise_on_error=raise_on_error)
        return [
            (int(reply) // 1000, int(reply) % 1000 * 1000) if args[0] == "ECHO" else reply
            for args, reply in zip(asked, replies, strict=True)
        ]


def planted(*plants: tuple[str, str]) -> Library:
    """The library with the test's time in it, and with texts replaced, each of which stands there once."""
    code = library().code
    packets = f"local PACKETS_MAX = {PACKETS_MAX}"
    for old, new in ((NOW, FROZEN), ("local PACKETS_MAX = 100", packets), *plants):
        assert code.count(old) == 1, f"it stands there {code.count(old)} times: {old}"
        code = code.replace(old, new)
    version = blake3(code.encode()).hexdigest(6)
    return Library(version, code.replace(library().version, version))


class Engine:
    """One private store for many worlds, one after another, and the loop they live in."""

    def __init__(self, data_dir: Path) -> None:
        self.loop = uvloop.new_event_loop()
        self.run = self.loop.run_until_complete
        self._opened = opened(settings_for(data_dir))
        self._store = self.run(self._opened.__aenter__())
        # Nothing here outlives the test; a write need not wait for the disk.
        self.run(self._store.client.execute_command("CONFIG", "SET", "appendonly", "no"))
        self._settings = settings_for(data_dir)
        self._token_keys = TokenKeys({"t": bytes(32)})
        self._tokens: dict[Member, str] = {}
        self.table = KEYS.table()

    def close(self) -> None:
        self.run(self._opened.__aexit__(None, None, None))
        self.loop.close()

    def load(self, library: Library) -> None:
        self.run(load_functions(replace(self._store, library=library)))

    def brand(self, library: Library, now: Callable[[], int], clock: Callable[[], float]) -> Brand:
        """The brand, on the store that was emptied."""
        self.run(self._store.client.execute_command("FLUSHALL"))
        store = replace(self._store, client=_Client(self._store.client, now), library=library)
        return Brand(self._settings, store, KEYS, self._token_keys, clock)

    def token(self, member: Member) -> str:
        if member not in self._tokens:
            self._tokens[member] = self._token_keys.issue(member, now_s=0, ttl_s=10**10)
        return self._tokens[member]
