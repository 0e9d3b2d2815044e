"""Restoring, to test with: everything a store holds, in a form to compare, and a restore that asks nobody."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from scanner.codes import KeyTable
from scanner.ledger.connection import Store
from scanner.ledger.restore import Exports, Restored, Surplus, restore


async def everything(store: Store) -> dict[str, Any]:
    """All keys of the brand by their names, with when they expire; but for wrong PINs."""
    prefix, client = store.keys.prefix, store.client
    held = {}
    for raw in await client.execute_command("KEYS", f"{prefix}*"):
        name = raw.decode().removeprefix(prefix)
        if not name.startswith("tries:"):
            held[name] = (await _value(client, raw), await client.execute_command("PEXPIRETIME", raw))
    return held


async def _value(client: Any, key: bytes) -> Any:
    match await client.execute_command("TYPE", key):
        case b"hash":
            return await client.hgetall(key)
        case b"zset":
            return await client.execute_command("ZRANGE", key, 0, -1, "WITHSCORES")
        case b"stream":
            return await client.xrange(key, "-", "+", count=1_000_000)
    return await client.execute_command("GET", key)


async def restore_into(
    store: Store,
    files: Sequence[Path],
    table: KeyTable | None = None,
    *,
    may_discard: Callable[[Surplus], bool] = lambda surplus: False,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Restored:
    exports = Exports(files, store.keys.brand)
    return await restore(store, exports, table, may_discard=may_discard, progress=progress)


class Dying:
    """A store's client that dies at its n-th call, in the middle of what it was about to send."""

    def __init__(self, client: Any, calls: int) -> None:
        self._client, self.calls_left = client, calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pipeline(self, *, transaction: bool) -> Any:
        pipe, dying = self._client.pipeline(transaction=transaction), self
        whole = pipe.execute

        async def execute(raise_on_error: bool = True) -> Any:
            if dying.calls_left == 1 and not transaction:
                del pipe.command_stack[len(pipe.command_stack) // 2 :]
                await whole(raise_on_error=raise_on_error)
            dying.count()
            return await whole(raise_on_error=raise_on_error)

        pipe.execute = execute
        return pipe

    async def execute_command(self, *args: Any) -> Any:
        self.count()
        return await self._client.execute_command(*args)

    async def scan(self, cursor: int, **options: Any) -> Any:
        self.count()
        return await self._client.scan(cursor, **options)

    def count(self) -> None:
        self.calls_left -= 1
        if self.calls_left <= 0:
            raise RedisConnectionError("killed")
