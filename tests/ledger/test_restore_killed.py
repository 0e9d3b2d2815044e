"""A restore that leaves a part in the archive, killed at each call of the store: nothing half is read."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.errors import StoreUnavailableError
from scanner.ledger.connection import Store
from scanner.ledger.restore import rebuild
from scanner.ledger.restore.files import START
from scanner.ledger.watermark import RestoringError, look
from tests.brand import Brand
from tests.ledger.restoring import DifferenceError, Dying, Ledger, at, but_the_stream, counted


@pytest.fixture
async def ledger(brand: Brand) -> Ledger:
    # Nothing here depends on fsync, and every restore would wait for many.
    await brand.store.client.config_set("appendfsync", "no")
    return await Ledger.played(brand)


AT_ONCE = rebuild._Rebuild._at_once


async def until_it_ends(
    restore: Callable[[Store], Awaitable[object]], store: Store, is_right: Callable[[], Awaitable[bool]]
) -> int:
    """Restores again and again, killed one call later each time, until one comes to its end; how many were
    killed. A stream that can be read meanwhile must be right."""
    for calls in range(1, 1000):
        try:
            await restore(replace(store, client=Dying(store.client, calls)))
        except StoreUnavailableError:
            await store.client.execute_command("DEL", store.keys.restoring)  # as time does
        else:
            return calls - 1
        try:
            await look(store, None)
        except RestoringError:
            continue
        if not await is_right():
            raise DifferenceError(f"after call {calls}")
    raise AssertionError("it never ends")


async def killed_at_every_call(ledger: Ledger, room: Path) -> int:
    store, told = ledger.store, ledger.told
    await ledger.restore(30, START, room)
    state, old = await but_the_stream(store), await counted(store)
    await store.client.execute_command("XTRIM", store.keys.events, "MINID", at(told, 20))
    new = await counted(store)
    await ledger.restore(30, START, room)

    async def is_right() -> bool:
        return await counted(store) in (old, new) and await but_the_stream(store) == state

    killed = await until_it_ends(
        lambda dying: replace(ledger, brand=replace(ledger.brand, store=dying)).restore(
            30, at(told, 20), room
        ),
        store,
        is_right,
    )
    assert await counted(store) == new
    assert await but_the_stream(store) == state
    return killed


async def test_it_may_be_killed_at_every_call(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "AT_ONCE", 25)
    assert await killed_at_every_call(ledger, tmp_path) > 30


async def test_control_counters_that_come_a_step_later_are_caught(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "AT_ONCE", 25)

    async def a_step_later(self: Any, commands: Any) -> None:
        later = [one for one in commands if one[0] == "XSETID"]
        await AT_ONCE(self, [one for one in commands if one[0] != "XSETID"])
        for name, _, *rest in later:
            await self._ask(name, self._keys.events, *rest)

    monkeypatch.setattr(rebuild._Rebuild, "_at_once", a_step_later)
    with pytest.raises(DifferenceError, match="after call"):
        await killed_at_every_call(ledger, tmp_path)
