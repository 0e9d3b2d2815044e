"""What makes a fault run the same again: one number; and how much of it is played.

``SCANNER_FAULTS_SEED`` is the number, another one each time where it is not set. It decides whom, when and
how: the choices come back, the kernel's own timing does not. ``SCANNER_FAULTS=long`` plays the nightly share.

A test plays chapters: each has a store of its own, and a seed of its own, so that one that failed is repeated
alone, as the first and only chapter of the short form.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

# Read here, because no test sees the developer's settings.
LONG = os.environ.get("SCANNER_FAULTS") == "long"
SEED = int(os.environ.get("SCANNER_FAULTS_SEED") or random.SystemRandom().randrange(10**9))


def share(short: int, long: int) -> int:
    """What CI plays, or the nightly run."""
    return long if LONG else short


@contextmanager
def seeded(chapter: int = 0) -> Iterator[random.Random]:
    """The chapter's dice. A failure says how it is repeated."""
    seed = SEED + chapter
    try:
        yield random.Random(seed)
    except BaseException as error:
        test = os.environ.get("PYTEST_CURRENT_TEST", "tests/faults").split(" ")[0]
        error.add_note(f"again by: SCANNER_FAULTS_SEED={seed} .venv/bin/python -m pytest -s '{test}'")
        raise
