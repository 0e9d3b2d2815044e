"""What each part of a scan costs: ``python -m bench``, and ``--check`` against what is expected.

python -m bench                     measures all, and prints a table
python -m bench codes tokens        these suites; or single figures, such as "codes.verify[accepted]"
python -m bench --check             exit code 1 where a figure is worse than expected.toml allows
python -m bench --update            writes expected.toml anew, from the medians of several runs
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.check import check
from bench.expected import EXPECTED, Expected, load, renewed, write
from bench.suites import BenchError, Figure, run
from scanner.codes import NATIVE

UPDATE_RUNS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for a regression, 2 where nothing could be judged."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a suite or a figure; all without")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare with what is expected")
    mode.add_argument("--update", action="store_true", help="make what is measured the expected")
    parser.add_argument(
        "--expected", type=Path, default=EXPECTED, metavar="FILE", help="another expected.toml"
    )
    parser.add_argument("--runs", type=int, default=UPDATE_RUNS, help="how many runs an update is made of")
    chosen = parser.parse_args(argv)
    try:
        if not NATIVE:
            raise BenchError("the native module is not built, and the pure twin is nothing to compare")
        if chosen.check:
            return _check(chosen.names, chosen.expected)
        if chosen.update:
            return _update(chosen.names, chosen.expected, chosen.runs)
        _print({figure.name: figure for figure in run(chosen.names)})
        return 0
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _check(names: Sequence[str], path: Path) -> int:
    expected = {name: one for name, one in load(path).items() if _is_of(name, names)}
    judgement = check(expected, lambda again: run(again or names))
    _print(judgement.figures, expected)
    for line in (*judgement.improvements, *judgement.faults):
        print(line)
    return 1 if judgement.faults else 0


def _update(names: Sequence[str], path: Path, runs: int) -> int:
    before = load(path) if path.exists() else {}
    kept = {name: one for name, one in before.items() if names and not _is_of(name, names)}
    expected = renewed(before, [run(names) for _ in range(runs)])
    write(path, kept | expected)
    print(f"{path}: {len(expected)} figures")
    return 0


def _is_of(name: str, names: Sequence[str]) -> bool:
    """Whether a figure belongs to what was chosen: nothing chosen is all."""
    return not names or name in names or name.partition(".")[0] in names


def _print(figures: Mapping[str, Figure], expected: Mapping[str, Expected] | None = None) -> None:
    """One line a figure: the median, its yardstick's, their ratio, and what was expected."""
    width = max(map(len, figures), default=0)
    for name, figure in figures.items():
        line = (
            f"{name:<{width}} {_time(figure.ns)}   {figure.ratio:7.3f} times {figure.yardstick:<8}"
            f"{_time(figure.yardstick_ns)}"
        )
        one = expected.get(name) if expected else None
        print(f"{line}   expected {one.ratio:7.3f}, limit {one.limit:7.3f}" if one else line)


def _time(ns: float) -> str:
    return f"{ns:8.1f} ns" if ns < 1000 else f"{ns / 1000:8.2f} µs"


if __name__ == "__main__":
    sys.exit(main())
