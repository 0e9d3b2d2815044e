"""What a scan costs, and what a claim takes, as claims, campaigns and workers become more.

python -m bench.growth                       a million claims, dense and sparse; campaigns; workers
python -m bench.growth claims --claims 1e7   the store alone, to ten million claims
python -m bench.growth --soak 1e7            a service's memory over ten million scans

Everything is private, writes next to nothing to disk, and is removed at the end, also after Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from bench.command import count_to, measure, parser_of
from bench.growth.campaigns import crowds
from bench.growth.claims import grow
from bench.growth.places import KINDS
from bench.growth.report import CAMPAIGNS, CLAIMS, SERVICE, SOAK, Report, printed
from bench.growth.service import servings
from bench.growth.soak import soak
from scanner.cli.console import progress_bar

PARTS: Final = ("claims", "campaigns", "service")
CLAIMS_MAX: Final = 10**9


def main(argv: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(argv)
    return measure("growth", _measured(chosen), chosen.json)


def _parser() -> argparse.ArgumentParser:
    parser, count = parser_of("growth", PARTS, __doc__), count_to(CLAIMS_MAX)
    parser.add_argument(
        "--claims", type=count, default=10**6, help="how many claims the store is filled with"
    )
    parser.add_argument(
        "--claimed",
        type=count,
        default=10**7,
        metavar="CLAIMS",
        help="in dense lots, past so many claims records are written straight into their buckets",
    )
    parser.add_argument("--lots", nargs="+", choices=KINDS, default=KINDS, help="which lots they are of")
    parser.add_argument("--soak", type=count, metavar="SCANS", help="only this: memory over so many scans")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the soak")
    return parser


async def _measured(chosen: argparse.Namespace) -> Report:
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
