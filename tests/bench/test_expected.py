"""``make bench-check``: a slowed function is caught, a normal one passes, and so does a noisy moment."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.__main__ import main
from bench.check import LOOKS_MAX, check
from bench.expected import EXPECTED, TOLERANCE, Expected, load, renewed, write
from bench.suites import BenchError, Figure, names
from scanner.codes import NATIVE

needs_native = pytest.mark.skipif(not NATIVE, reason="benches are of the native module")
WAIT_S = 60
REMEMBERED = "tokens.remembered"
# Four times the work, far above any tolerance.
SLOWED = """
from scanner.identity import TokenKeys
honest = TokenKeys.verify

def slowed(self, token, *, now_s):
    for _ in range(3):
        honest(self, token, now_s=now_s)
    return honest(self, token, now_s=now_s)

TokenKeys.verify = slowed
"""
# What a crash in native code does to the process: nothing is cleaned up.
CRASHING = """
import os
from bench.store import PrivateStore

async def crash(self, campaign, size, *, kid=0):
    info = await self.store.client.info("server")
    with open({path!r}, "w") as file:
        file.write(str(info["process_id"]))
    os._exit(9)

PrivateStore.lot = crash
"""


def expected(ratio: float = 1.0, tolerance: float = 0.3, yardstick: str = "python") -> Expected:
    return Expected(yardstick=yardstick, ratio=ratio, tolerance=tolerance)


def figure(ratio: float, name: str = "a.b", yardstick: str = "python") -> Figure:
    return Figure(name, 1.0, yardstick, 1.0, ratio)


class Looks:
    """A figure that measures these ratios one after another, and how often it was looked at."""

    def __init__(self, *ratios: float) -> None:
        self.ratios, self.asked = iter(ratios), []

    def __call__(self, names: Sequence[str]) -> list[Figure]:
        self.asked.append(list(names))
        return [figure(next(self.ratios))]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Loads some code into the process that runs the suites."""

    def load_there(code: str) -> None:
        (tmp_path / "planted.py").write_text(code)
        root = Path(__file__).parents[2]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path, root))))
        monkeypatch.setenv("PYTEST_PLUGINS", "planted")

    return load_there


@needs_native
def test_every_bench_is_expected_and_nothing_else() -> None:
    assert sorted(load(EXPECTED)) == sorted(names())


@needs_native
def test_a_slowed_function_is_caught_and_a_normal_one_passes(
    tmp_path: Path, plugin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "expected.toml"
    assert main(["--update", "--runs", "1", "--expected", str(file), REMEMBERED]) == 0
    # Wide enough for a busy machine, and far below what the planted work costs.
    write(file, {REMEMBERED: load(file)[REMEMBERED].model_copy(update={"tolerance": 1.0})})
    assert main(["--check", "--expected", str(file), REMEMBERED]) == 0
    assert "regression" not in capsys.readouterr().out
    plugin(SLOWED)
    assert main(["--check", "--expected", str(file), REMEMBERED]) == 1
    [fault] = [line for line in capsys.readouterr().out.splitlines() if line.endswith(": a regression")]
    assert fault.startswith(f"{REMEMBERED}: expected ")
    assert "measured" in fault
    assert "limit" in fault


@needs_native
def test_a_crash_leaves_no_store_behind(
    tmp_path: Path,
    plugin: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    plugin(CRASHING.format(path=str(tmp_path / "pid")))
    assert main(["store.pools[1]"]) == 2
    assert "a bench failed" in capsys.readouterr().err
    with suppress(psutil.NoSuchProcess):  # else it is about to be
        psutil.Process(int((tmp_path / "pid").read_text())).wait(WAIT_S)


def test_a_noisy_look_is_no_regression() -> None:
    looks = Looks(9.0, 2.0, 1.29)
    judgement = check({"a.b": expected()}, looks)
    assert not judgement.faults
    assert judgement.figures["a.b"].ratio == 1.29
    assert looks.asked == [[], ["a.b"], ["a.b"]]


def test_a_figure_that_stays_over_its_limit_is_a_regression() -> None:
    looks = Looks(1.6, 1.4, 1.5, 1.7)
    judgement = check({"a.b": expected()}, looks)
    assert judgement.faults == ["a.b: expected 1 times python, measured 1.4, limit 1.3: a regression"]
    assert len(looks.asked) == LOOKS_MAX


def test_an_improvement_is_said_and_passes() -> None:
    judgement = check({"a.b": expected()}, Looks(0.5))
    assert not judgement.faults
    assert judgement.improvements == [
        "a.b: expected 1 times python, measured 0.5, limit 1.3: better, keep it by --update"
    ]


@pytest.mark.parametrize(
    ("known", "fault"),
    [
        ({}, "a.b: is measured, and not expected: see --update"),
        ({"a.b": expected(), "a.c": expected()}, "a.c: is expected, and not measured"),
        ({"a.b": expected(yardstick="json")}, "a.b: is held against python, and expected against json"),
    ],
)
def test_what_cannot_be_compared_is_a_fault(known: dict[str, Expected], fault: str) -> None:
    assert check(known, Looks(1.0)).faults == [fault]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[a\n", "at line 1, column 3"),
        ('[a]\nb = { yardstick = "python", ratio = 1.0 }', "a.b.tolerance: Field required"),
        ('[a]\nb = { yardstick = "python", ratio = 0.0, tolerance = 0.3 }', "a.b.ratio: "),
        ('[a]\nb = { yardstick = "python", ratio = "1", tolerance = 0.3 }', "a.b.ratio: "),
        ('[a]\nb = { yardstick = "python", ratio = 1.0, tolerance = 9.0 }', "a.b.tolerance: "),
        ('[a]\nb = { yardstick = "python", ratio = 1.0, tolerance = 0.3, limit = 2.0 }', "a.b.limit: "),
        ("a = 1", "a: Input should be a valid dictionary, got 1"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_place(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "expected.toml"
    file.write_text(text)
    with pytest.raises(BenchError) as error:
        load(file)
    assert str(error.value).startswith(f"{file}: ")
    assert where in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No such file"):
        load(tmp_path / "none.toml")


def test_an_update_takes_medians_and_leaves_head_and_tolerances(tmp_path: Path) -> None:
    file = tmp_path / "expected.toml"
    file.write_text("# what this is\n# and why\n\n[a]\n", "utf-8")
    before = {"a.b": expected(tolerance=0.7)}
    runs = [[figure(ratio), figure(2 * ratio, "c.d[64-no]", "bare")] for ratio in (1.0, 9.0, 3.0)]
    write(file, renewed(before, runs))
    assert file.read_text("utf-8").startswith("# what this is\n# and why\n\n[a]\n")
    assert load(file) == {
        "a.b": expected(3.0, 0.7),
        "c.d[64-no]": expected(6.0, TOLERANCE, "bare"),
    }
