"""The command line of the comparison: ``python -m bench.compare --help``.

Exit code 0: measured. 1: a peer does not do the job, or cannot run though it was asked for. 2: wrong usage.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.compare import report
from bench.compare.chart import svg
from bench.compare.conditions import conditions
from bench.compare.conduct import FULL, FULL_ROUNDS, QUICK, QUICK_ROUNDS, compare
from bench.compare.figures import spreads
from bench.compare.peers import PEERS
from bench.compare.process import CompareError
from scanner.errors import ScannerError


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except (CompareError, ScannerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("broken off; nothing of it is left running", file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    peers = {name: PEERS[name] for name in options.only or PEERS}
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else FULL_ROUNDS)
    comparison = await compare(peers, QUICK if options.quick else FULL, rounds)
    facts = await conditions(comparison)
    print(report.text(comparison, facts))
    if options.json:
        options.json.write_text(
            json.dumps(report.data(comparison, facts), indent=2, ensure_ascii=False) + "\n"
        )
    if options.svg:
        options.svg.write_text(svg(spreads(comparison.rounds), facts))
    if options.only and comparison.skipped:
        raise CompareError("; ".join(f"{name}: {why}" for name, why in comparison.skipped.items()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Runs scanner and its peers side by side: the same job, the same client, in turn.",
    )
    parser.add_argument("--only", type=_names, metavar="NAME,…", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=_count, metavar="N", help=f"default {FULL_ROUNDS}")
    parser.add_argument(
        "--quick", action="store_true", help="few requests, one round: shows that it works, not what it costs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the picture here")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in PEERS]
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"expected some of {', '.join(PEERS)}, each once; got {text!r}")
    return names


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 100, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
