"""The controls: a service with a bug fails the gate that looks for it, by its name and with exit code 1."""

import asyncio
from pathlib import Path

import pytest

from tests.loadtests.broken import Bug, FakeService
from tests.loadtests.commands import Done, loadtests
from tests.loadtests.tiny import tiny

CODES = [f"{no:024d}" for no in range(5_000)]
TOKENS = [f"member-{no}" for no in range(50)]


@pytest.fixture
def stock(tmp_path: Path) -> tuple[str, ...]:
    """The files of codes and tokens, as options."""
    for name, lines in (("codes", CODES), ("tokens", TOKENS)):
        (tmp_path / name).write_text("\n".join(lines))
    return "--codes", str(tmp_path / "codes"), "--tokens", str(tmp_path / "tokens")


async def against(bug: Bug, directory: Path, *arguments: str, delay_s: float = 0.0) -> Done:
    async with tiny(FakeService(CODES, bug), delay_s) as (_, (host, port)):
        return await loadtests(directory, *arguments, "--host", f"{host}:{port}")


async def test_people_find_what_is_broken(tmp_path: Path, stock: tuple[str, ...]) -> None:
    """The runs are beside each other: most of each is waiting. What is not broken passes its gate."""
    run = ("steady", "--seconds", "3", "--users", "20", *stock, "--p99-ms", "5000")
    twice, forgets = await asyncio.gather(
        against("wins twice", tmp_path / "twice", *run),
        against("forgets", tmp_path / "forgets", *run, "--p99-ms", "50", delay_s=0.1),
    )
    assert (twice.code, twice.failed) == (1, ["answers"]), twice.output
    assert "two members, one code: 2 of 2 members won" in twice.output
    assert "failed: answers" in twice.output
    assert "the ledger was not looked at" in twice.output

    assert (forgets.code, forgets.failed[-2:]) == (1, ["answers", "p99"]), forgets.output
    assert "answers, p99" in forgets.output
    assert any("not the same as" in fault for fault in forgets.summary["found"])
    assert (forgets.directory / "report.html").stat().st_size > 10_000


async def test_the_generator_finds_what_is_broken(tmp_path: Path, stock: tuple[str, ...]) -> None:
    codes = tmp_path / "twice"  # each code two times over, by two members: one of them must not win
    codes.write_text("\n".join(code for code in CODES[:150] for _ in range(2)))
    run = ("open", "--rate", "400", "--count", "300", *stock, "--codes", str(codes), "--p99-ms", "50")
    done = await against("falls over", tmp_path / "falls", *run, delay_s=0.1)
    assert (done.code, done.failed) == (1, ["answers", "errors", "p99"]), done.output
    outcomes = done.summary["outcomes"]
    assert outcomes["unavailable"] == 30
    assert outcomes["accepted"] + outcomes["claimed"] == 270
    assert outcomes["claimed"] > 100
    assert any("expected accepted, got 409" in fault for fault in done.summary["found"])
