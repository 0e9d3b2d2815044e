"""The suites, run by pytest-benchmark in a process of their own, and what they measured."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.ledger.embedded import EmbeddedStore

SUITES = Path(__file__).parent
TIMEOUT_S = 600
_QUIET = "--quiet", "--exitfirst", "--tb=short"
_NAME = re.compile(r"bench_(\w+)\.py::bench_(.+)")


class BenchError(Exception):
    """What keeps the benches from being run, or from being judged."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one bench measured, as medians. ``name`` is ``suite.bench[parameters]``."""

    name: str
    ns: float
    yardstick: str
    yardstick_ns: float
    ratio: float

    @classmethod
    def of(cls, bench: dict[str, Any]) -> "Figure":
        said = bench["extra_info"]
        ns = bench["stats"]["median"] * 1e9
        return cls(name_of(bench["fullname"]), ns, said["yardstick"], said["yardstick_ns"], said["ratio"])


def name_of(node: str) -> str:
    """The figure's name of a bench's: ``bench_codes.py::bench_pin`` is ``codes.pin``."""
    match = _NAME.search(node)
    assert match is not None, node
    return f"{match[1]}.{match[2]}"


def run(names: Sequence[str] = ()) -> list[Figure]:
    """Measures the figures of these names, or of these suites, or all.

    Raises:
        BenchError: there is no such bench, or one failed; what pytest had to say is printed before.
    """
    with tempfile.TemporaryDirectory(prefix="scanner-bench-") as directory:
        results = Path(directory, "results.json")
        try:
            _pytest([f"--benchmark-json={results}"], names, temporary=directory)
        finally:
            asyncio.run(_stop_stores([pid.parent for pid in Path(directory).glob("*/store.pid")]))
        benches = json.loads(results.read_bytes())["benchmarks"]
    return [Figure.of(bench) for bench in benches]


def names() -> list[str]:
    """The names of all benches, without running them."""
    return [name_of(line) for line in _pytest(["--collect-only"]).splitlines() if "::" in line]


async def _stop_stores(directories: Iterable[Path]) -> None:
    """Stops what a run that crashed has left: a store is no child, and outlives who started it."""
    for path in directories:
        store = EmbeddedStore(path)
        await store.join()
        await store.leave()


def _node(name: str) -> str:
    suite, _, bench = name.partition(".")
    file = f"{SUITES}/bench_{suite}.py"
    return f"{file}::bench_{bench}" if bench else file


def _pytest(
    options: Sequence[str], names: Sequence[str] = (), *, temporary: str = tempfile.gettempdir()
) -> str:
    # A process of its own: measured again, a figure also has other addresses and another hash seed.
    nodes = [_node(name) for name in names] or [str(SUITES)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(SUITES / "pytest.ini"), *_QUIET, *options, *nodes],
        cwd=SUITES.parent,
        env={**os.environ, "TMPDIR": temporary},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise BenchError("a bench failed, or there is none of this name")
    return done.stdout
