"""Row 6 of the sheet: ten times as many scans as prizes, a budget of money, and a store that keeps dying."""

from itertools import islice
from pathlib import Path

import pytest

from tests.faults.books import given_of, read_books
from tests.faults.figures import say
from tests.faults.rig import Rig, rig
from tests.faults.seeds import seeded, share

SCANS = share(5_000, 100_000)
PRIZES = SCANS // 10
CRASHES = share(5, 100)
PHONES = 32


def pools(prizes: int) -> str:
    """Prizes by odds of 20 % until they run out; lucky amounts, of which the budget has room for 90 %."""
    return f"""
[[pool]]
id = "prizes"
draw = "odds"
[[pool.prize]]
id = "cap"
kind = "physical"
value = "9.90"
odds = "0.2"
stock = {prizes}
[[pool]]
id = "money"
draw = "odds"
budget = "{prizes * 9 // 10}.37"
[[pool.prize]]
id = "packet"
kind = "cash"
amount = {{ min = "0.01", max = "20.00", total = "{prizes}.00" }}
odds = "0.5"
stock = {prizes}
"""


async def spend(on: Rig, scans: int, crashes: int, timeout_s: float) -> None:
    """All the scans, by as many phones, with crashes spread over them."""
    async with on.crowd(codes=islice(on.codes, scans), phones=PHONES) as crowd:
        for _ in range(crashes):
            await crowd.more(on.dice.randrange(1, scans // (crashes + 1)))
            await on.store.kill()
            await on.store.start()
        await crowd.done(timeout_s)


async def test_the_last_prizes(tmp_path: Path) -> None:
    with seeded() as dice:
        async with rig(tmp_path / "rig", dice, pools=pools(PRIZES), codes=SCANS) as on:
            await spend(on, SCANS, CRASHES, 1800)
            assert (await on.judged()).all == []
            books = await read_books(on.brand)
            given, left = given_of(books), books.left
            assert len(books.entries) == SCANS
            assert given["pool:prizes", "cap"] == PRIZES
            assert left["pool:prizes"] == {"cap": 0}
            budget = on.left_before["budget"]["money"]
            assert given["budget", "money"] + left["budget"]["money"] == budget
            assert 0 <= left["budget"]["money"] < 2000, "a packet that fits into the budget was withheld"
            say(
                f"row 6: {SCANS} codes, {on.store.kills} crashes: {given['pool:prizes', 'cap']} of {PRIZES} "
                f"prizes, {given['budget', 'money'] / 100:.2f} of a budget of {budget / 100:.2f}, "
                f"{left['budget']['money'] / 100:.2f} left; 0 lost, 0 double, 0 overspent"
            )


BUGS = {
    "the budget is not looked at": (
        """      if worth > (left[rule.id] or worth) or worth > (left['*'] or worth) then
        return nil, prize
      end
""",
        "",
    ),
    "the budget is written before the check": (
        """      if worth > (left[rule.id] or worth) or worth > (left['*'] or worth) then
        return nil, prize
      end
      left[rule.id] = left[rule.id] and left[rule.id] - worth
      left['*'] = left['*'] and left['*'] - worth
      budget.touched = true
""",
        """      left[rule.id] = left[rule.id] and left[rule.id] - worth
      left['*'] = left['*'] and left['*'] - worth
      budget.touched = true
      if (left[rule.id] or 0) < 0 or (left['*'] or 0) < 0 then
        return nil, prize
      end
""",
    ),
    "a piece stays where it was": (
        "  remain[id] = remain[id] - 1\n",
        "",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
async def test_control_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    with seeded() as dice:
        async with rig(tmp_path / "rig", dice, pools=pools(100), codes=1_000, plants=[BUGS[bug]]) as on:
            await spend(on, 1_000, 1, 120)
            findings = await on.judged()
            assert findings.overspent
            say(f"row 6, control, {bug}: {findings}")
