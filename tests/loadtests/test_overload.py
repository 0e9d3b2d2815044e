"""Overload: known inputs give known figures, and a service that does not shed fails the gates."""

import asyncio
import math
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from loadtests.__main__ import app
from loadtests.errors import LoadTestError
from loadtests.overload.analysis import Bin, bins_after, normal_again_s, percentile, step_of
from loadtests.overload.chart import svg
from loadtests.overload.conduct import BASE_LOAD, Plan, Round
from loadtests.overload.gates import judge, read_gates
from loadtests.overload.medians import median_of, over_rounds, refusal_us
from loadtests.overload.records import FOUND_NO_CONNECTION, End, Records
from loadtests.overload.run import Load, Run, Sample
from loadtests.overload.share import Phase, due_times
from loadtests.processes import python

PEAK_PER_S = 500.0
TIMES = (0.5, 0.8, 1.0, 2.0, 5.0, 10.0)
SECONDS, AFTER_S, TIMEOUT_S = 4.0, 8.0, 3.0
REFUSED_AFTER_S = 0.004
GATES = read_gates("overload")
PLAN = Plan(TIMES, SECONDS, AFTER_S, 1, Load(1000, 1, TIMEOUT_S, evenly=True), 1, 0.016, 8)


def served(phases: list[Phase], *, places: int, seed: int = 1) -> Records:
    """What a service of one queue with so many places makes of it. It serves those who gave up, too."""
    records, free_s = Records(), 0.0
    for due_s in due_times(phases, no=0, of=1, evenly=False, seed=seed):
        if (free_s - due_s) * PEAK_PER_S >= places:
            records.add(due_s, due_s, due_s + REFUSED_AFTER_S, End.REFUSED)
            continue
        free_s = max(free_s, due_s) + 1 / PEAK_PER_S
        if free_s - due_s > TIMEOUT_S:
            records.add(due_s, due_s, due_s + TIMEOUT_S, End.NEVER_ANSWERED)
        else:
            records.add(due_s, due_s, free_s, End.ACCEPTED)
    return records


def samples(rss_mb: float = 100.0) -> list[Sample]:
    return [Sample(0.1 * n, 0.01 * n, int(rss_mb * 1e6), n % 7) for n in range(50)]


def measured(*, places: int) -> Round:
    one = Round(PEAK_PER_S)
    for times in TIMES:
        phases = [Phase(times * PEAK_PER_S, SECONDS), Phase(0.5 * PEAK_PER_S, AFTER_S)]
        records = served(phases, places=places)
        one.steps.append(
            step_of(records, samples(), times=times, seconds=SECONDS, peak_per_s=PEAK_PER_S, busy_share=0.2)
        )
    [base] = [step for step in one.steps if step.times == BASE_LOAD]
    one.bins = bins_after(records, SECONDS, SECONDS + AFTER_S)
    one.normal_again_s = normal_again_s(one.bins, p99_ms_most=2 * base.accepted_p99_ms)
    return one


SHEDS = measured(places=10)
COLLAPSES = measured(places=10_000)


def failed(*rounds: Round) -> list[str]:
    return [verdict.gate for verdict in judge(GATES, rounds) if not verdict.holds]


def test_a_service_that_sheds_holds_every_gate() -> None:
    assert failed(SHEDS) == []
    [last] = [step for step in SHEDS.steps if step.times == 10]
    assert last.goodput_of_peak == pytest.approx(1, abs=0.02)
    assert last.offered_per_s == pytest.approx(5000, rel=0.05)
    assert last.refused_per_s == pytest.approx(4500, rel=0.05)
    assert last.refused_p99_ms == pytest.approx(4)
    assert last.mark == ""
    assert SHEDS.normal_again_s <= 0.25


def test_a_service_that_takes_all_it_is_offered_fails() -> None:
    """Its queue is worked off for callers who gave up: the control of the gates."""
    assert failed(COLLAPSES) == ["goodput", "p99", "answered", "normal again"]
    assert COLLAPSES.normal_again_s == math.inf
    assert "never" in {verdict.came for verdict in judge(GATES, [COLLAPSES])}


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"goodput_of_peak": 0.89}, "goodput"),
        ({"goodput_of_peak": math.nan}, "goodput"),
        ({"accepted_p99_ms": 1e4}, "p99"),
        ({"accepted_p99_ms": math.nan}, "p99"),
        ({"refused_p99_ms": 20.1}, "refusals"),
        ({"never_answered_share": 0.002}, "answered"),
        ({"worker_rss_mb": 126.0}, "memory"),
    ],
)
@pytest.mark.parametrize("at", [2, 5])
def test_each_gate_fails_by_itself(change: dict[str, float], gate: str, at: int) -> None:
    steps = list(SHEDS.steps)
    steps[at] = replace(steps[at], **change)
    assert failed(replace(SHEDS, steps=steps)) == [gate]


def test_what_is_below_the_peak_is_no_overload() -> None:
    steps = [replace(SHEDS.steps[0], goodput_of_peak=0.5, refused_p99_ms=99.0, refused_per_s=1.0)]
    assert failed(replace(SHEDS, steps=[*steps, *SHEDS.steps[1:]])) == []


def test_a_wrong_answer_fails_and_so_does_a_ledger_that_does_not_add_up() -> None:
    run = Run(records=served([Phase(100, 1)], places=10), wrong=["expected accepted, got 200"])
    run.records.add(0.1, 0.1, 0.2, End.WRONG)
    told_wrong = replace(SHEDS, wrong=[])
    told_wrong.count_wrong(run)
    assert (told_wrong.wrong_count, failed(told_wrong)) == (1, ["answers"])
    broken = replace(SHEDS, ledger=["a pool overspent"])
    assert failed(broken) == ["ledger"]
    assert [one.gate for one in judge(GATES, [broken], only_right=True)] == ["answers", "ledger"]


def test_gates_look_at_the_median_of_the_rounds() -> None:
    assert failed(SHEDS, SHEDS, COLLAPSES) == []
    assert failed(SHEDS, COLLAPSES, COLLAPSES) == ["goodput", "p99", "answered", "normal again"]


def test_marks_say_where_the_generator_fell_short() -> None:
    records = Records()
    for n in range(100):
        records.add(n / 100, n / 100 + 0.006 * (n < 2), n / 100 + 0.01, End.ACCEPTED)
    for _ in range(5):
        records.add(0.5, 0.9, 0.95, End.ACCEPTED | FOUND_NO_CONNECTION)
    step = step_of(records, [], times=1, seconds=1, peak_per_s=100, busy_share=0.2)
    assert step.mark == "generator lagged, no free connection"
    assert step.no_connection_share == pytest.approx(5 / 105)
    assert step.late_share == pytest.approx(2 / 105)  # who found no connection is not late for that
    marks = over_rounds([Round(1.0, steps=[step]), Round(1.0, steps=[replace(step, mark="")])])
    assert marks[0].mark == step.mark


def test_goodput_is_what_was_accepted_in_time() -> None:
    records = Records()
    for ended_s in (0.5, 0.99, 1.5, 3.0):
        records.add(0.4, 0.4, ended_s, End.ACCEPTED)
    records.add(1.2, 1.2, 1.3, End.ACCEPTED)  # fell due after the step
    records.add(0.9, 0.9, 0.9, End.NEVER_SENT)
    step = step_of(records, [], times=1, seconds=1, peak_per_s=4, busy_share=0.2)
    assert (step.goodput_per_s, step.offered_per_s, step.goodput_of_peak) == (2, 5, 0.5)
    assert step.never_answered_share == pytest.approx(0.2)
    assert step.accepted_p99_ms == pytest.approx(2600)


def test_normal_again_is_a_whole_calm_second() -> None:
    def bins(text: str) -> list[Bin]:
        """A letter a quarter of a second: normal, refusing, slow, or with nothing accepted."""
        kinds = {"n": (0.0, 10.0), "r": (0.5, 10.0), "s": (0.0, 90.0), "-": (1.0, math.nan)}
        return [Bin(0.25 * no, 50, *kinds[letter]) for no, letter in enumerate(text)]

    def again(text: str) -> float:
        return normal_again_s(bins(text), p99_ms_most=20)

    assert again("nnnn") == 0
    assert again("rsnnnn") == 0.5
    assert again("nnnsnn-nnnnr") == 1.75
    assert again("nnnsnnn") == math.inf
    assert again("") == math.inf


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(1, 100))
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(values: list[float], percent: float) -> None:
    found = percentile(sorted(values), percent)
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-6
    assert sum(value < found for value in values) < len(values) * percent / 100 + 1e-6


def test_none_has_no_percentile_and_no_median() -> None:
    assert math.isnan(percentile([], 99))
    assert math.isnan(median_of([math.nan]))
    assert median_of([math.nan, 3.0]) == 3


@given(of=st.integers(1, 5), rate=st.floats(10, 500), seconds=st.floats(0.2, 2))
def test_shares_are_together_what_was_asked_for(of: int, rate: float, seconds: float) -> None:
    phases = [Phase(rate, seconds), Phase(2 * rate, seconds)]
    shares = [due_times(phases, no=no, of=of, evenly=True, seed=3) for no in range(of)]
    together = sorted(moment for share in shares for moment in share)
    assert together == list(due_times(phases, no=0, of=1, evenly=True, seed=3))
    assert len(together) == pytest.approx(3 * rate * seconds, abs=2.1)
    for share in [*shares, due_times(phases, no=0, of=of, evenly=False, seed=3)]:
        assert list(share) == sorted(share)
        assert not share or 0 <= share[0] <= share[-1] < 2 * seconds


def test_arrivals_by_chance_come_again_with_their_seed() -> None:
    first, same, other = (
        due_times([Phase(1000, 2)], no=0, of=1, evenly=False, seed=seed) for seed in (1, 1, 2)
    )
    assert first == same != other
    assert len(first) == pytest.approx(2000, abs=250)


def test_records_come_back_from_their_file(tmp_path: Path) -> None:
    records = served([Phase(2000, 0.5)], places=10)
    records.write(tmp_path / "records")
    assert Records.read(tmp_path / "records") == records
    both = Records()
    both.extend(records)
    both.extend(records)
    assert len(both) == 2 * len(records)


def test_cpu_of_a_refusal_is_what_the_accepted_leave() -> None:
    base, last = (
        replace(SHEDS.steps[0], times=times, worker_busy=busy, goodput_per_s=400.0, refused_per_s=refused)
        for times, busy, refused in ((0.8, 0.04, 0.0), (10.0, 0.1, 3000.0))
    )
    assert refusal_us([base, last]) == pytest.approx((100, 20))
    assert math.isnan(refusal_us([base])[1])


def test_the_picture_shows_both_services() -> None:
    root = ElementTree.fromstring(svg(PLAN, {"as it is": [SHEDS], "SCANNER_X=1": [COLLAPSES]}, GATES))
    names = "{http://www.w3.org/2000/svg}"
    texts = {text.text for text in root.iter(f"{names}text")}
    assert {"as it is", "SCANNER_X=1", "10×", "100 %", "10 s"} <= texts
    assert len(list(root.iter(f"{names}circle"))) == 4 * len(TIMES)
    title = root.findtext(f"{names}title")
    assert title is not None
    assert "at 10 times the peak 100% of it are accepted" in title


@pytest.mark.parametrize("name", ["overload", "overload-check"])
def test_both_forms_have_gates(name: str) -> None:
    assert 0 < read_gates(name).goodput_share <= 0.9


def test_a_bad_file_of_gates_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text("[overload]\ngoodput_share = 1\n")
    with pytest.raises(LoadTestError, match="must have goodput_share, memory_times"):
        read_gates("overload", path)
    with pytest.raises(LoadTestError, match=r"no section \[overload-check\]"):
        read_gates("overload-check", path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--times", "fast"), "expected ascending multiples"),
        (("--times", "1,0.8"), "expected ascending multiples"),
        (("--times", "0,0.8,1"), "expected ascending multiples"),
        (("--times", "0.8,1,1000"), "expected ascending multiples"),
        (("--times", "1,2"), "must have 0.8"),
        (("--times", "0.5,0.8"), "1 or more"),
        (("--control", "SCANNER_NOTHING=1"), "expected a setting"),
        (("--control", "SCANNER_SHEDDING"), "expected a setting"),
        (("--bound", "disk"), "--bound"),
    ],
)
def test_wrong_usage_is_said(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["overload", *arguments])
    assert said in " ".join(result.output.split())
    assert result.exit_code == 2


WIDE = """[overload]
goodput_share = 0.1
p99_times = {p99_times}
refusal_p99_ms = 60000
never_answered_share = 1
normal_again_s = inf
memory_times = 10
"""


async def overload(found: Path, *arguments: str, p99_times: float, **environment: str) -> tuple[int, str]:
    """A short run with gates that are wide but for one; its exit code, and what it printed."""
    gates = found.with_suffix(".toml")
    gates.write_text(WIDE.format(p99_times=p99_times))
    options = (
        "--times", "0.8,6", "--seconds", "2", "--after", "2", "--rounds", "1", "--connections", "2500",
        "--gates", str(gates), "--json", str(found),
    )  # fmt: skip
    async with python(
        "-m", "loadtests", "overload", *options, *arguments, stdout=PIPE, stderr=STDOUT, env=environment
    ) as process:
        output, _ = await process.communicate()
        code = process.returncode
    assert code is not None
    return code, output.decode()


async def test_a_real_service_sheds_and_without_admission_it_fails(tmp_path: Path) -> None:
    """The runs are beside each other: most of each is waiting. The control lets all of them wait."""
    picture = tmp_path / "overload.svg"
    (code, output), (control_code, control_output) = await asyncio.gather(
        overload(tmp_path / "sheds.json", "--svg", str(picture), p99_times=1e9),
        overload(
            tmp_path / "control.json", p99_times=10, SCANNER_SHEDDING="false", SCANNER_WAITING_MAX="1000000",
            SCANNER_WAIT_MAX_MS="60000",
        ),
    )  # fmt: skip
    assert code == 0, output
    assert output.splitlines()[-1] == "all gates hold"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    one = orjson.loads((tmp_path / "sheds.json").read_bytes())["variants"]["as it is"]
    assert one["peak_per_s"] < 1.1 * 8 / 0.016  # what the slow store lets through
    base, high = one["steps"]
    assert base["refused_per_s"] < high["refused_per_s"]
    assert high["offered_per_s"] == pytest.approx(6 * one["peak_per_s"], rel=0.15)
    assert 0 < high["goodput_per_s"] < high["offered_per_s"]
    assert high["refused_p50_ms"] < high["accepted_p50_ms"]
    assert min(high["worker_rss_mb"], high["worker_busy"], high["waiting_most"]) > 0

    assert control_code == 1, control_output
    assert control_output.splitlines()[-1] == "failed: p99", control_output
