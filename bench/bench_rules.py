"""What it costs to know which pools a scan enters: without conditions, and with each kind of them."""

import time

import pytest

from bench.brand import PRODUCT, campaign_file, plan_of
from bench.cost import Cost
from bench.yardsticks import PYTHON
from scanner.campaigns import Facts, pools_entered, standing

SCANS = 1000
POOLS = 3
ENTRIES = {
    "unconditional": "",
    "conditional": f'entry = {{ roles = ["painter"], products = ["{PRODUCT}"], channels = ["mini"] }}',
    # Three times eight hours: some window is open at whatever hour the bench runs.
    "windows": "entry = { windows = [" + ", ".join(
        f'{{ daily = "{hour:02}:00", lasts = "8h" }}' for hour in (0, 8, 16)
    ) + "] }",
}  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def bench_pools_entered(cost: Cost, entry: str) -> None:
    plan = plan_of(campaign_file(pools=POOLS, entry=ENTRIES[entry]))
    facts = Facts(role="painter", product=PRODUCT, channel="mini")
    began_ms = int(time.time() * 1000)
    assert len(pools_entered(plan, facts, began_ms)) == POOLS

    def work() -> None:
        for at_ms in range(began_ms, began_ms + SCANS):
            pools_entered(plan, facts, at_ms)
            if plan.timed:
                standing(plan, at_ms)

    cost(work, of=SCANS, against=PYTHON)
