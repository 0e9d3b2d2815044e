"""What a run measured, in one line that is quoted in ``docs/reliability.md``."""

import sys


def say(line: str) -> None:
    """``pytest -s`` shows it."""
    sys.stdout.write(f"\n{line}\n")
