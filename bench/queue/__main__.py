"""What it costs to read the stream, beside redis-py alone; and how fast a late group catches up.

python -m bench.queue                          a million events through one process in each form; catch-up
python -m bench.queue readers --events 1e5     fewer
python -m bench.queue readers --forms inbox    one form, and the bare loop that it is held against
python -m bench.queue catch-up --rate 300      only this: scans a second while the group catches up

Everything is private and is removed at the end, also after Ctrl-C. A million events take 380 MB of memory,
and 2 GB of the temporary directory. `bench/queue/__init__.py` says what is compared.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from bench.queue.catch_up import catch_ups
from bench.queue.reader import FORMS
from bench.queue.reading import readings
from bench.queue.report import CATCH_UP, READERS, Report, printed
from bench.suites import BenchError
from scanner.cli.console import progress_bar
from scanner.codes.format import SERIAL_MAX
from scanner.errors import ScannerError

PARTS: Final = ("readers", "catch-up")
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 where something went wrong, 130 after Ctrl-C."""
    chosen = _chosen(argv)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            report = runner.run(_measured(chosen))
        except (BenchError, ScannerError) as error:
            print(f"queue: {error}", file=sys.stderr)
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            return INTERRUPTED
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


def _chosen(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.queue",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all without")
    parser.add_argument("--events", type=_count, default=10**6, help="how many a reader reads")
    parser.add_argument(
        "--inbox-events", type=_count, default=3 * 10**5, metavar="N", help="of them, the inbox's"
    )
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="which readers")
    parser.add_argument("--rounds", type=int, default=1, help="how often each of them has its turn")
    parser.add_argument(
        "--backlog", type=_count, default=10**5, help="how many entries the group that catches up has missed"
    )
    parser.add_argument("--rate", type=float, default=300.0, help="scans a second meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chosen.parts = chosen.parts or PARTS
    return chosen


def _count(text: str) -> int:
    """``1000000`` or ``1e6``."""
    count = int(float(text))
    if not 1 <= count <= SERIAL_MAX:
        raise ValueError(text)
    return count


async def _measured(chosen: argparse.Namespace) -> Report:
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does: what was started is stopped, and what was written removed.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    print(f"load average before: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores\n")
    report: Report = {}
    with progress_bar() as bar:
        if "readers" in chosen.parts:
            filling = bar.add_task("filling the stream", total=chosen.events)
            rows = readings(
                chosen.events,
                chosen.rounds,
                chosen.forms,
                lambda n: bar.advance(filling, n),
                inbox_events=chosen.inbox_events,
            )
            report["readers"] = await printed(READERS, rows)
        if "catch-up" in chosen.parts:
            missing = bar.add_task("what the group has missed", total=chosen.backlog)
            rows = catch_ups(chosen.backlog, chosen.rate, lambda n: bar.advance(missing, n))
            report["catch-up"] = await printed(CATCH_UP, rows)
    return report


if __name__ == "__main__":
    sys.exit(main())
