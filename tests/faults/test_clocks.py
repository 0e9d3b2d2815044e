"""Clocks that jump: a worker's by a day or a year, the store's by an hour, a day or a year, both ways.

What counts is the store's clock: a worker's decides only whether a token has expired. Nothing is claimed
twice, the stream's ids grow, and the audit folds what comes out.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scanner.identity import Member
from scanner.ledger.connection import load_functions
from scanner.ledger.functions import Library
from tests.brand import Brand, brand_in, campaign_toml
from tests.clock import FrozenClock, frozen_clock
from tests.faults.figures import say

HOUR_S, DAY_S, YEAR_S = 3_600, 86_400, 365 * 86_400
JUMPS_S = (-YEAR_S, -DAY_S, -HOUR_S, HOUR_S, DAY_S, YEAR_S)
LIMITS = "[limits]\nper_day = 2\ntotal = 50\n"
# Open when the clock starts (2090-06-01, noon): for this hour of every day, and for this day only.
WINDOWS = """
[[pool]]
id = "noon"
draw = "every"
entry = { windows = [{ daily = "11:30", lasts = "1h" }] }
[[pool.prize]]
id = "n"
kind = "points"
amount = 3
[[pool]]
id = "today"
draw = "every"
entry = { windows = [{ from = 2090-06-01T00:00:00+08:00, until = 2090-06-01T23:59:59+08:00 }] }
[[pool.prize]]
id = "t"
kind = "points"
amount = 5
"""


@dataclass
class Timed:
    """A brand whose store's time is in the test's hand; tokens that last, whatever any clock says."""

    clock: FrozenClock
    lot: int

    @classmethod
    async def open(cls, brand: Brand) -> "Timed":
        clock = await frozen_clock(brand)
        await clock.brand.apply(campaign_toml(pools=LIMITS + WINDOWS))
        return cls(clock, await clock.brand.lot(1_000))

    def worker(self, ahead_s: float = 0):
        """A worker whose clock is ahead of the store's by so much, and stays so."""
        return replace(self.clock.brand, clock=lambda: self.clock() + ahead_s).scanner()

    def token(self, member: str) -> str:
        now_s = int(self.clock()) - 2 * YEAR_S
        return self.clock.brand.token_keys.issue(Member(member), now_s=now_s, ttl_s=10 * YEAR_S)

    async def scan(self, worker, member: str, serial: int) -> dict[str, object]:
        code = self.clock.brand.code(self.lot, serial)
        return await worker.asked("/v1/scans", self.token(member), {"code": code})


def prizes(answer: dict[str, object]) -> list[str]:
    return [award["prize"] for award in answer["awards"]]  # type: ignore[attr-defined]


async def faults_of_a_workers_clock(timed: Timed) -> list[str]:
    """Members scan three times a day with workers whose clocks are wrong: what differs from a right one's."""
    right, faults, serial = timed.worker(), [], 0
    for ahead_s in JUMPS_S:
        worker, member = timed.worker(ahead_s), f"m{ahead_s}"
        first = await timed.scan(worker, member, serial)
        again = await timed.scan(right, member, serial)
        second = await timed.scan(right, member, serial + 1)
        third = await timed.scan(worker, member, serial + 2)
        if prizes(first) != ["n", "t"] or first["scanned_at"] != "2090-06-01T04:00:00.000Z":
            faults.append(f"{ahead_s} s ahead: {first}")
        if again != {**first, "replayed": True} or second["outcome"] != "accepted":
            faults.append(f"{ahead_s} s ahead: {again}, {second}")
        if third["outcome"] != "limit_reached" or third["resets_at"] != "2090-06-01T16:00:00.000Z":
            faults.append(f"{ahead_s} s ahead: {third}")
        serial += 3
    return faults


async def test_a_workers_clock_is_not_the_one_that_counts(brand: Brand) -> None:
    timed = await Timed.open(brand)
    assert await faults_of_a_workers_clock(timed) == []
    assert (await timed.clock.brand.audit()).differences == []
    say(f"a worker's clock off by {len(JUMPS_S)} jumps up to a year: windows, days and times are the store's")


async def test_control_a_store_that_believes_workers_is_caught(brand: Brand) -> None:
    timed = await Timed.open(brand)
    check = "if session.now < from or session.now >= until_ms then"
    store = timed.clock.brand.store
    assert check in store.library.code
    code = store.library.code.replace(check, "if false then").replace(store.library.version, "believing")
    timed.clock.brand = replace(timed.clock.brand, store=replace(store, library=Library("believing", code)))
    await load_functions(timed.clock.brand.store)
    assert len(await faults_of_a_workers_clock(timed)) >= len(JUMPS_S)


async def test_tokens_are_judged_by_the_workers_clock(brand: Brand) -> None:
    """Ahead, it refuses tokens that are good: 401, and nothing is claimed. Right again, it takes them again.
    Behind, it goes on taking one for as long after its end as it is behind."""
    timed = await Timed.open(brand)
    ahead_s = 0.0
    worker = replace(timed.clock.brand, clock=lambda: timed.clock() + ahead_s).scanner()
    token = timed.clock.brand.token("alice")  # for an hour
    code = timed.clock.brand.code(timed.lot, 0)
    for ahead_s, outcome in (
        (0, "accepted"),
        (DAY_S, "unauthorized"),
        (YEAR_S, "unauthorized"),
        (0, "accepted"),
        (-DAY_S, "accepted"),
        (-YEAR_S, "accepted"),
    ):
        assert (await worker.asked("/v1/scans", token, {"code": code}))["outcome"] == outcome, ahead_s
    await timed.clock.forward(2 * HOUR_S)
    for ahead_s, outcome in ((0, "unauthorized"), (-DAY_S, "accepted")):
        assert (await worker.asked("/v1/scans", token, {"code": code}))["outcome"] == outcome, ahead_s


async def ids_of(brand: Brand) -> list[tuple[int, int]]:
    entries = await brand.store.client.xrange(brand.store.keys.events, "-", "+")
    return [tuple(map(int, id.decode().split("-"))) for id, _ in entries]


async def faults_of_a_stores_clock(timed: Timed, jump_s: int) -> list[str]:
    """Scans, jumps, and scans again: what was claimed stays so, and is told as before."""
    brand, worker = timed.clock.brand, timed.worker()
    before = [await timed.scan(worker, "alice", serial) for serial in range(2)]
    if jump_s < 0:  # the stream has seen the later time: its ids cannot go back with the clock
        seconds, micros = await brand.store.client._client.time()
        last = (seconds - jump_s) * 1000 + micros // 1000
        await brand.store.client.execute_command("XSETID", brand.store.keys.events, f"{last}-7")
    await timed.clock.forward(jump_s)
    faults = []
    for member, found in (("alice", "replayed"), ("bob", "claimed")):
        for serial, answer in enumerate(before):
            now = await timed.scan(worker, member, serial)
            expected = {**answer, "replayed": True} if found == "replayed" else now
            if now != expected or (found == "claimed" and now["outcome"] != "claimed"):
                faults.append(f"{member} was answered {now}")
    others = [await timed.scan(worker, f"other{n}", 100 + n) for n in range(5)]
    faults += [f"{answer}" for answer in others if answer["outcome"] != "accepted"]
    ids = await ids_of(brand)
    if ids != sorted(set(ids)):
        faults.append("the stream's ids do not grow")
    faults += [f"{found.where}: {found.text}" for found in (await brand.audit()).differences]
    return faults


@pytest.mark.parametrize("jump_s", JUMPS_S)
async def test_a_stores_clock_that_jumps(brand: Brand, jump_s: int) -> None:
    timed = await Timed.open(brand)
    assert await faults_of_a_stores_clock(timed, jump_s) == []
    say(f"the store's clock jumps by {jump_s} s: 0 codes claimed twice, ids grow, audit clean")


async def test_a_day_that_comes_again_has_its_limit_again(brand: Brand) -> None:
    """What a store's clock that goes back over midnight costs: another day's limit, within the total."""
    timed = await Timed.open(brand)
    worker = timed.worker()
    found = [(await timed.scan(worker, "alice", serial))["outcome"] for serial in range(3)]
    await timed.clock.forward(-DAY_S)
    found += [(await timed.scan(worker, "alice", serial))["outcome"] for serial in range(2, 5)]
    await timed.clock.forward(DAY_S)
    found += [(await timed.scan(worker, "alice", serial))["outcome"] for serial in range(4, 7)]
    assert found == ["accepted", "accepted", "limit_reached"] * 3
    assert (await timed.clock.brand.audit()).differences == []


async def test_control_a_store_that_forgets_with_its_clock_is_caught(tmp_path: Path) -> None:
    """A variant in which claims are looked for under the time of the scan."""
    async with brand_in(tmp_path / "data") as brand:
        timed = await Timed.open(brand)
        store = timed.clock.brand.store
        place = "local record = session.records[place] or try('HGET', key, slot)"
        assert place in store.library.code
        code = store.library.code.replace(
            place, "slot = slot .. '@' .. math.floor(session.now / 3600000) " + place
        ).replace(store.library.version, "forgetful")
        timed.clock.brand = replace(
            timed.clock.brand, store=replace(store, library=Library("forgetful", code))
        )
        await load_functions(timed.clock.brand.store)
        assert await faults_of_a_stores_clock(timed, -DAY_S)
