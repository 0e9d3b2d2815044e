"""What a scan costs, and what a claim takes, as claims, campaigns and workers become more.

python -m bench.growth                       a million claims, dense and sparse; campaigns; workers
python -m bench.growth claims --claims 1e7   the store alone, to ten million claims
python -m bench.growth --soak 1e7            a service's memory over ten million scans

Everything is private, writes next to nothing to disk, and is removed at the end, also after Ctrl-C.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from bench.growth.campaigns import crowds
from bench.growth.claims import grow
from bench.growth.places import KINDS
from bench.growth.report import CAMPAIGNS, CLAIMS, SERVICE, SOAK, Report, printed
from bench.growth.service import servings
from bench.growth.soak import soak
from bench.suites import BenchError
from scanner.cli.console import progress_bar
from scanner.errors import ScannerError

PARTS: Final = ("claims", "campaigns", "service")
CLAIMS_MAX: Final = 10**9
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 where something went wrong, 130 after Ctrl-C."""
    chosen = _chosen(argv)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            report = runner.run(_measured(chosen))
        except (BenchError, ScannerError) as error:
            print(f"growth: {error}", file=sys.stderr)
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            return INTERRUPTED
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


def _chosen(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all without")
    parser.add_argument(
        "--claims", type=_count, default=10**6, help="how many claims the store is filled with"
    )
    parser.add_argument(
        "--claimed",
        type=_count,
        default=10**7,
        metavar="CLAIMS",
        help="in dense lots, past so many claims records are written straight into their buckets",
    )
    parser.add_argument("--lots", nargs="+", choices=KINDS, default=KINDS, help="which lots they are of")
    parser.add_argument("--soak", type=_count, metavar="SCANS", help="only this: memory over so many scans")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the soak")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chosen.parts = chosen.parts or PARTS
    return chosen


def _count(text: str) -> int:
    """``1000000`` or ``1e6``."""
    count = int(float(text))
    if not 1 <= count <= CLAIMS_MAX:
        raise ValueError(text)
    return count


async def _measured(chosen: argparse.Namespace) -> Report:
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does: what was started is stopped, and what was written removed.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if chosen.soak:
        return {"soak": await printed(SOAK, soak(chosen.soak, workers=chosen.workers))}
    report: Report = {}
    if "claims" in chosen.parts:
        report["claims"] = []
        for kind in chosen.lots:
            with progress_bar() as bar:
                task = bar.add_task(f"{kind} lots", total=chosen.claims)
                decades = grow(
                    kind,
                    chosen.claims,
                    lambda claims, task=task: bar.advance(task, claims),
                    claimed_max=chosen.claimed,
                )
                report["claims"] += await printed(CLAIMS, decades)
    if "campaigns" in chosen.parts:
        report["campaigns"] = await printed(CAMPAIGNS, crowds())
    if "service" in chosen.parts:
        report["service"] = await printed(SERVICE, servings())
    return report


if __name__ == "__main__":
    sys.exit(main())
