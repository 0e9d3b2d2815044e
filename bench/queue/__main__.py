"""What it costs to read the stream, beside redis-py alone; and how fast a late group catches up.

python -m bench.queue                          a million events through one process in each form; catch-up
python -m bench.queue readers --events 1e5     fewer
python -m bench.queue readers --forms inbox    one form, and the bare loop that it is held against
python -m bench.queue catch-up --rate 300      only this: scans a second while the group catches up

Everything is private and is removed at the end, also after Ctrl-C. A million events take 380 MB of memory,
and 2 GB of the temporary directory. `bench/queue/__init__.py` says what is compared.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from bench.command import count_to, measure, parser_of
from bench.queue.catch_up import catch_ups
from bench.queue.reader import FORMS
from bench.queue.reading import readings
from bench.queue.report import CATCH_UP, READERS, Report, printed
from scanner.cli.console import progress_bar
from scanner.codes.format import SERIAL_MAX

PARTS: Final = ("readers", "catch-up")


def main(argv: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(argv)
    return measure("queue", _measured(chosen), chosen.json)


def _parser() -> argparse.ArgumentParser:
    parser, count = parser_of("queue", PARTS, __doc__), count_to(SERIAL_MAX)
    parser.add_argument("--events", type=count, default=10**6, help="how many a reader reads")
    parser.add_argument(
        "--inbox-events", type=count, default=3 * 10**5, metavar="N", help="of them, the inbox's"
    )
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="which readers")
    parser.add_argument("--rounds", type=int, default=1, help="how often each of them has its turn")
    parser.add_argument(
        "--backlog", type=count, default=10**5, help="how many entries the group that catches up has missed"
    )
    parser.add_argument("--rate", type=float, default=300.0, help="scans a second meanwhile")
    return parser


async def _measured(chosen: argparse.Namespace) -> Report:
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
