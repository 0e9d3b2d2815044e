"""A million draws of the real store, counted: nobody can tell from anything but luck what a code will win.

The master key is fixed, so that every run draws the same million; p-values below 0.001 would come once in a
thousand keys for each test, so the key is not chosen: it is 00 01 … 1f, as in the contract's vectors.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from scanner.codes import Keyring
from scanner.codes.keyring import Key
from scanner.ledger import campaigns
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.frames import Claim, Entered
from scanner.settings import write_key_file
from tests.brand import Brand, brand_in, campaign_toml, settings_for

CODES, BATCH = 125_000, 250
P_MIN = 0.001
BINS = 50
LUCKY, LUCKY_MIN, LUCKY_MEAN = 25_000, 50, 500

# Eight pools, each drawn from by every code: a million draws. Decks hold exactly as many pieces as codes.
DECKS = {
    "rare": {"gold": 5, "silver": 495, "bronze": 24_500, "none": 100_000},
    "even": {"a": 31_250, "b": 31_250, "c": 31_250, "d": 31_250},
    "halves": {"a": 60_000, "b": 65_000},
    "lucky": {"amount": LUCKY, "none": CODES - LUCKY},
}
ODDS = {
    "halving": {"a": 0.5, "b": 0.25, "c": 0.125, "d": 0.0625},
    "seldom": {"a": 0.001, "b": 0.01, "c": 0.1},
    "thirds": {"a": 0.333, "b": 0.333, "c": 0.333},
    "coin": {"a": 0.5},
}


def prize(id: str, **values: object) -> str:
    kind = "none" if id == "none" else "points"
    lines = [f'id = "{id}"', *(f"{name} = {value}" for name, value in values.items())]
    if id == "amount":
        lines += ['kind = "cash"', 'amount = { min = "0.50", max = "20.00", total = "125000.00" }']
    else:
        lines += [f'kind = "{kind}"', *(["amount = 1"] if kind == "points" else [])]
    return "[[pool.prize]]\n" + "\n".join(lines) + "\n"


def pools_toml() -> str:
    decks = [
        f'[[pool]]\nid = "{name}"\ndraw = "deck"\n' + "".join(prize(id, stock=n) for id, n in deck.items())
        for name, deck in DECKS.items()
    ]
    odds = [
        f'[[pool]]\nid = "{name}"\ndraw = "odds"\n'
        + "".join(prize(id, odds=f'"{share}"') for id, share in wheel.items())
        for name, wheel in ODDS.items()
    ]
    return "\n".join([*decks, *odds])


@dataclass
class Drawn:
    """What every code won, in the order of the serials: prize numbers by pool (0: nothing), and amounts."""

    prizes: dict[str, np.ndarray]
    amounts: np.ndarray


async def draw_all(brand: Brand) -> Drawn:
    await brand.apply(campaign_toml(pools=pools_toml()))
    lot = await brand.lot(CODES)
    campaign = await campaigns.read(brand.store, "spring")
    plan, table, kid = campaign.plan, brand.keyring.table(), brand.keyring.minting_kid
    ids = {pool.no: pool.id.encode() for pool in plan.pools}
    lucky_no = plan.by_id["lucky"].no

    def claim(serial: int) -> Claim:
        entered = []
        for pool in plan.pools:
            u, v = table.draw_pair(kid, lot, serial, ids[pool.no])
            entered.append(Entered(pool.id, pool.no, u, v if pool.no == lucky_no else None))
        scan_id = table.scan_id(kid, lot, serial)
        return Claim(scan_id, lot, serial, plan, tuple(entered), f"member-{serial % 997}")

    send = ClaimFunction(brand.store)
    prizes = {pool.id: np.zeros(CODES, dtype=np.int16) for pool in plan.pools}
    by_no = {pool.no: prizes[pool.id] for pool in plan.pools}
    amounts = np.zeros(CODES, dtype=np.int64)
    for start in range(0, CODES, BATCH):
        for serial, answer in enumerate(
            await send([claim(serial) for serial in range(start, start + BATCH)]), start
        ):
            assert answer.verdict is Verdict.ACCEPTED
            for won in answer.record.won:
                by_no[won.pool][serial] = won.prize
                amounts[serial] += won.amount
    return Drawn(prizes, amounts)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    data_dir: Path = tmp_path_factory.mktemp("fairness")
    key = Key(5, "live", datetime(2027, 3, 1, tzinfo=UTC), bytes(range(32)))
    write_key_file(settings_for(data_dir).keys_path, Keyring((key,)).dump())

    async def session() -> Drawn:
        async with brand_in(data_dir) as brand:
            # What is drawn here does not depend on fsync, and a million draws would wait for it.
            await brand.store.client.config_set("appendfsync", "no")
            return await draw_all(brand)

    return asyncio.run(session())


def shares(wheel: dict[str, float]) -> list[float]:
    """Odds by prize number, nothing first."""
    return [1 - sum(wheel.values()), *wheel.values()]


@pytest.mark.parametrize("pool", ODDS)
def test_odds_come_true(drawn: Drawn, pool: str) -> None:
    expected = np.array(shares(ODDS[pool])) * CODES
    counted = np.bincount(drawn.prizes[pool], minlength=len(expected))
    assert stats.chisquare(counted, expected).pvalue > P_MIN


@pytest.mark.parametrize("pool", DECKS)
def test_a_deck_gives_exactly_what_it_holds(drawn: Drawn, pool: str) -> None:
    assert np.bincount(drawn.prizes[pool]).tolist() == [0, *DECKS[pool].values()]


@pytest.mark.parametrize("pool", [*DECKS, *ODDS])
def test_no_prize_comes_early_or_late(drawn: Drawn, pool: str) -> None:
    """The positions of each prize in the order of the draws are uniform."""
    prizes = drawn.prizes[pool]
    for number in np.unique(prizes):
        places = np.flatnonzero(prizes == number)
        assert stats.kstest((places + 0.5) / CODES, "uniform").pvalue > P_MIN
    bins = np.arange(CODES) * BINS // CODES
    common = [number for number in np.unique(prizes) if np.count_nonzero(prizes == number) > 10 * BINS]
    table = [np.bincount(bins[prizes == number], minlength=BINS) for number in common]
    assert stats.chi2_contingency(table).pvalue > P_MIN if len(table) > 1 else True


@pytest.mark.parametrize("pool", [*DECKS, *ODDS])
@pytest.mark.parametrize("distance", [1, 2, 64, 256])
def test_neighbouring_serials_know_nothing_of_each_other(drawn: Drawn, pool: str, distance: int) -> None:
    prizes = drawn.prizes[pool]
    assert independent(prizes[:-distance], prizes[distance:]) > P_MIN


@pytest.mark.parametrize(("one", "other"), [("even", "halving"), ("coin", "halves"), ("rare", "lucky")])
def test_the_pools_of_one_code_know_nothing_of_each_other(drawn: Drawn, one: str, other: str) -> None:
    assert independent(drawn.prizes[one], drawn.prizes[other]) > P_MIN


def independent(one: np.ndarray, other: np.ndarray) -> float:
    """p of the chi-square test of independence; prizes too seldom to be tested are left out."""
    table = stats.contingency.crosstab(one, other).count
    rows, columns = table.sum(axis=1) > 1000, table.sum(axis=0) > 1000
    return float(stats.chi2_contingency(table[rows][:, columns]).pvalue)


def amounts_of(drawn: Drawn) -> np.ndarray:
    return drawn.amounts[drawn.amounts > 0]


def test_lucky_amounts_add_up(drawn: Drawn) -> None:
    amounts = amounts_of(drawn)
    assert (len(amounts), amounts.sum()) == (LUCKY, LUCKY * LUCKY_MEAN)


def test_lucky_amounts_are_spread_evenly_about_the_mean(drawn: Drawn) -> None:
    """As docs/prizes.md has it: uniform from 0.50 to 9.50, while the mean hardly moves."""
    early = amounts_of(drawn)[: LUCKY // 2]
    width = 2 * (LUCKY_MEAN - LUCKY_MIN) + 1
    assert stats.kstest((early - LUCKY_MIN + 0.5) / width, "uniform").pvalue > P_MIN


def test_early_and_late_lucky_amounts_are_alike(drawn: Drawn) -> None:
    amounts: Sequence[np.ndarray] = np.array_split(amounts_of(drawn), 2)
    assert stats.ks_2samp(amounts[0], amounts[1]).pvalue > P_MIN
    assert stats.pearsonr(np.arange(LUCKY), amounts_of(drawn)).pvalue > P_MIN


@pytest.mark.parametrize("distance", [1, 2, 64])
def test_neighbouring_amounts_know_nothing_of_each_other(drawn: Drawn, distance: int) -> None:
    amounts = amounts_of(drawn)
    assert stats.pearsonr(amounts[:-distance], amounts[distance:]).pvalue > P_MIN


def test_the_tests_find_an_unfair_deck() -> None:
    """The control: a deck whose first prize is always drawn first fails."""
    unfair = np.repeat([1, 2, 3, 4], CODES // 4)
    assert stats.kstest((np.flatnonzero(unfair == 1) + 0.5) / CODES, "uniform").pvalue < P_MIN
    assert independent(unfair[:-1], unfair[1:]) < P_MIN
