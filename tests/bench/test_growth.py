"""``make growth``: what it claims, what it weighs, and that nothing of it stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench import store
from bench.command import INTERRUPTED
from bench.growth.__main__ import main
from bench.growth.claims import grow
from bench.growth.cost import ROUND
from bench.growth.places import KINDS, LOT, Kind, decades, lots_of, place_of, scattered, shuffled_last
from bench.store import private_store

ROOT = Path(__file__).parents[2]
WAIT_S = 60


@pytest.mark.parametrize("kind", KINDS)
def test_no_code_is_claimed_twice(kind: Kind) -> None:
    lots = lots_of(kind, 10**8)
    place = place_of(kind, lots)
    places = {place(n) for start in (0, LOT - 1000, 10**8 - 1000) for n in range(start, start + 1000)}
    assert len(places) == 3000
    assert all(0 <= lot < lots and 0 <= serial < LOT for lot, serial in places)


def test_sparse_serials_look_like_chance() -> None:
    """As many buckets are hit as chance would hit: neighbours do not stay together, nor spread evenly."""
    claims, buckets = 100_000, LOT // 64
    hit = len({scattered(n) // 64 for n in range(claims)})
    by_chance = buckets * (1 - (1 - 1 / buckets) ** claims)
    assert abs(hit - by_chance) < by_chance * 0.01


def test_decades_end_with_what_was_asked_for() -> None:
    assert decades(10**6) == [10**4, 10**5, 10**6]
    assert decades(25_000) == [10_000, 25_000]
    assert decades(500) == [500]


def test_what_is_measured_is_left_out_of_the_filling() -> None:
    in_order, last = shuffled_last(1000, 3000, 200)
    filled = list(in_order)
    assert len(last) == 200
    assert filled == sorted(filled)
    assert sorted(filled + last) == list(range(1000, 3000))
    assert last != sorted(last)


async def test_memory_is_weighed_as_the_store_counts_it() -> None:
    async with private_store() as private:
        before = await private.memory_bytes()
        await private.store.client.execute_command("SET", "ballast", b"x" * 1_000_000)
        assert 1_000_000 <= await private.memory_bytes() - before < 1_100_000


async def test_a_store_is_filled_with_as_many_claims_as_were_asked_for() -> None:
    advanced: list[int] = []
    [decade] = [decade async for decade in grow("dense", 10 * ROUND, advanced.append, claimed_max=LOT)]
    assert sum(advanced) == decade.claims == 10 * ROUND
    assert decade.growth == 0
    assert decade.cost.claim_us > decade.cost.bare_us > 0
    assert decade.claim_bytes > 28  # a record of two prizes
    assert decade.entry_bytes > 100


async def test_written_records_weigh_what_claims_leave() -> None:
    async def claim_bytes(claimed_max: int) -> float:
        [decade] = [decade async for decade in grow("dense", 9_000, lambda _: None, claimed_max=claimed_max)]
        return decade.claim_bytes

    # A bucket that grew by claims has some room left over.
    assert await claim_bytes(0) == pytest.approx(await claim_bytes(9_000), rel=0.1)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is looked at before it has settled: where only that it is told matters."""
    monkeypatch.setattr(store, "SETTLE_LOOK_S", 0.01)


@pytest.mark.usefixtures("hasty")
def test_the_figures_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "growth.json"
    assert main(["claims", "--claims", "1e3", "--lots", "sparse", "--json", str(file)]) == 0
    head, row = capsys.readouterr().out.split("\n")[:2]
    assert head.split()[:2] == ["lots", "claims"]
    assert row.split()[:2] == ["sparse", "1,000"]
    [figures] = json.loads(file.read_text())["claims"]
    assert (figures["kind"], figures["claims"]) == ("sparse", 1000)
    assert figures["cost"]["ratio"] > 0


@pytest.mark.usefixtures("hasty")
def test_a_soak_prints_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--soak", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:11]] == [str(scans) for scans in range(10, 101, 10)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.growth", "claims", "--claims", "1e7"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    try:
        stores = both_stores(tmp_path)
        process.send_signal(number)
        assert process.wait(WAIT_S) == INTERRUPTED
    finally:
        process.kill()
        process.wait()
    assert not list(tmp_path.iterdir())
    assert not psutil.wait_procs(stores, WAIT_S)[1]


def both_stores(directory: Path) -> list[psutil.Process]:
    """The store that fills and the small one, once they run."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        texts = [file.read_text().strip() for file in directory.glob("*/store.pid")]
        if len(texts) == 2 and all(texts):
            return [psutil.Process(int(text)) for text in texts]
        time.sleep(0.05)
    raise AssertionError("the stores did not start")
