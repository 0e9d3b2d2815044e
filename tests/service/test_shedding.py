"""A worker with more to do than there is time: requests that come late in a long turn are refused unread."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop

from scanner.service.admission import TURN_S, Admission
from scanner.service.batcher import Batcher
from tests.service.lanes import Shop, shop_in

PHONES = 12


async def outcomes_of_a_long_turn(shop: Shop) -> list[str]:
    """All phones scan in the same turn, and each scan that is judged takes half of a turn's time."""
    wires = [(await shop.side.wire())[0] for _ in range(PHONES)]
    for k, wire in enumerate(wires):
        wire.transport.write(shop.scan(k))
    for wire in wires:
        await wire.until(lambda wire=wire: bool(wire.data))
    return ["overloaded" if b'"overloaded"' in wire.data else "accepted" for wire in wires]


@pytest.mark.parametrize("has_lane", [True, False], ids=["lane", "aiohttp"])
@pytest.mark.parametrize("shedding", [True, False], ids=["sheds", "control"])
def test_what_comes_late_in_turns_that_are_all_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_lane: bool, shedding: bool
) -> None:
    find = Admission.is_late

    def is_late(admission: Admission, now_s: float) -> bool:
        admission._late_since, admission._late_at = now_s - 1, now_s  # as were all turns of the last second
        return find(admission, now_s)

    async def play() -> tuple[list[str], int]:
        async with shop_in(tmp_path / "data", {"shedding": shedding}, fast_lane=has_lane) as shop:
            return await outcomes_of_a_long_turn(shop), shop.side.scanner.cells.get("shed.turn")

    offer = Batcher.offer

    def held_up(*args: Any) -> None:
        time.sleep(TURN_S / 2)
        offer(*args)

    monkeypatch.setattr(Admission, "is_late", is_late)
    monkeypatch.setattr(Batcher, "offer", held_up)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes, shed = runner.run(play())
    assert shed == outcomes.count("overloaded")
    if shedding:
        assert 0 < shed < PHONES
    else:
        assert not shed
