"""Lucky amounts add up to their total exactly: the store's own function, held against the reference."""

import random
from dataclasses import replace

import pytest

from scanner.campaigns.draw import amount
from scanner.ledger.functions import Library
from tests.brand import Brand

PIECES, TOTAL = 2_000, 1_000_000  # 10,000.00
V_MAX = 1 << 48

# Draws all amounts of a prize in one call, by the very function that claims use.
ALL_AMOUNTS = """
redis.register_function('all_amounts', function(keys, args)
  local pieces, money, low, high = tonumber(args[1]), tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local amounts = {}
  for i = 1, pieces do
    local v = struct.unpack('>I6', args[5], 6 * i - 5)
    amounts[i] = lucky_amount(pieces - i + 1, money, low, high, v)
    money = money - amounts[i]
  end
  return amounts
end)
"""


class Amounts:
    """The amounts that the store draws, one after the other, for the numbers v."""

    def __init__(self, brand: Brand, library: Library) -> None:
        self.brand = brand
        self.library = library

    async def __call__(self, pieces: int, money: int, low: int, high: int, vs: list[int]) -> list[int]:
        data = b"".join(v.to_bytes(6, "big") for v in vs)
        return await self.brand.store.client.execute_command(
            "FCALL", "all_amounts", 0, pieces, money, low, high, data
        )


@pytest.fixture
async def all_amounts(brand: Brand) -> Amounts:
    library = brand.store.library
    code = library.code.replace(library.version, "amounts") + ALL_AMOUNTS  # a library beside the brand's own
    await brand.store.client.execute_command("FUNCTION", "LOAD", code)
    return Amounts(brand, replace(library, code=code))


def reference(pieces: int, money: int, low: int, high: int, vs: list[int]) -> list[int]:
    amounts = []
    for place, v in enumerate(vs):
        amounts.append(amount(pieces - place, money, low, high, v))
        money -= amounts[-1]
    return amounts


async def check(all_amounts: Amounts, low: int, high: int, vs: list[int], money: int = TOTAL) -> list[int]:
    drawn = await all_amounts(len(vs), money, low, high, vs)
    assert sum(drawn) == money
    assert low <= min(drawn)
    assert max(drawn) <= high
    assert drawn == reference(len(vs), money, low, high, vs)
    return drawn


async def test_a_thousand_times_two_thousand_amounts_add_up_exactly(all_amounts: Amounts) -> None:
    dice = random.Random(2027)
    mean = TOTAL // PIECES
    for _ in range(1000):
        low, high = dice.randint(1, mean), dice.randint(mean, 40 * mean)
        await check(all_amounts, low, high, [dice.randrange(V_MAX) for _ in range(PIECES)])


@pytest.mark.parametrize(
    ("low", "high"),
    [(500, 20_000), (1, 500), (500, 501), (499, 500), (500, 500), (1, TOTAL), (499, 501)],
    ids=["min-is-the-mean", "max-is-the-mean", "min-below-max", "max-above-min", "one-value", "any", "tight"],
)
async def test_at_the_corners(all_amounts: Amounts, low: int, high: int) -> None:
    dice = random.Random(low * high)
    for vs in (
        [dice.randrange(V_MAX) for _ in range(PIECES)],
        [0] * PIECES,
        [V_MAX - 1] * PIECES,
        [0, V_MAX - 1] * (PIECES // 2),
    ):
        drawn = await check(all_amounts, low, high, vs)
        if 500 in (low, high):
            assert set(drawn) == {500}


async def test_the_last_one_gets_what_is_left(all_amounts: Amounts) -> None:
    dice = random.Random(1)
    for money in (1, 777, 10**15):
        assert await check(all_amounts, 1, 10**15, [dice.randrange(V_MAX)], money) == [money]


async def test_the_largest_numbers_stay_exact(all_amounts: Amounts) -> None:
    dice = random.Random(2)
    vs = [dice.randrange(V_MAX) for _ in range(1000)]
    await check(all_amounts, 1, 10**15, vs, 10**15)
    await check(all_amounts, 10**12 - 5, 10**12 + 5, vs, 10**15)
