"""What it costs to write a batch of claims down for the store."""

import pytest

from bench.brand import campaign_file, claim, plan_of
from bench.cost import Cost
from bench.yardsticks import PYTHON
from scanner.ledger.claims import ClaimFunction
from scanner.ledger.connection import store_for
from scanner.ledger.frames import Claim, Places
from scanner.ledger.keys import Keys
from scanner.settings import load_settings

BATCH = 64


@pytest.fixture(scope="module")
def batch() -> list[Claim]:
    plan = plan_of(campaign_file())
    return [claim(plan, 1, serial) for serial in range(0, 100 * BATCH, 100)]  # each in a bucket of its own


def bench_frame(cost: Cost, batch: list[Claim]) -> None:
    names = Keys("bench")

    def work() -> None:
        places = Places(names.events)
        for one in batch:
            one.frame(names, places)

    cost(work, of=BATCH, against=PYTHON)


def bench_command(cost: Cost, batch: list[Claim]) -> None:
    # A store that is never connected to: the command is made, and not sent.
    function = ClaimFunction(store_for(load_settings(store_url="redis://127.0.0.1:1")))
    cost(lambda: function.command(batch), of=BATCH, against=PYTHON)
