"""The frame of a long bench's command: its parts, its figures as JSON, an end that leaves nothing behind."""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.suites import BenchError
from scanner.errors import ScannerError

INTERRUPTED: Final = 130

Rows = list[dict[str, Any]]


def parser_of(name: str, parts: Sequence[str], description: str | None) -> argparse.ArgumentParser:
    """For ``python -m bench.<name> [PART …] [--json FILE]``; without a part it is all of them."""

    def part(text: str) -> str:
        if text not in parts:
            raise argparse.ArgumentTypeError(f"no such part: {text}")
        return text

    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts",
        nargs="*",
        type=part,
        default=parts,
        metavar="PART",
        help=f"some of {', '.join(parts)}; all without",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser


def count_to(most: int) -> Callable[[str], int]:
    """Reads ``1000000`` or ``1e6``: at least one, and at most so many."""

    def count(text: str) -> int:
        number = int(float(text))
        if not 1 <= number <= most:
            raise ValueError(text)
        return number

    return count


def measure(name: str, measuring: Coroutine[Any, Any, dict[str, Rows]], json_file: Path | None) -> int:
    """The exit code: 0, 1 where something went wrong, 130 after Ctrl-C or SIGTERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            report = runner.run(_until_sigterm(measuring))
        except (BenchError, ScannerError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            return INTERRUPTED
    if json_file:
        json_file.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


async def _until_sigterm(measuring: Coroutine[Any, Any, dict[str, Rows]]) -> dict[str, Rows]:
    """Which ends it as Ctrl-C does: what was started is stopped, and what was written removed."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await measuring
