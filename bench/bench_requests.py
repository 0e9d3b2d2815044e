"""What it costs to read a request's body and hold it against its model."""

import orjson
import pytest

from bench.cost import Cost
from bench.yardsticks import BODY, JSON
from scanner.service.requests import BatchRequest, ScanRequest, parse

REQUESTS = 1000
BATCH = 100
SCAN = {"code": BODY["code"], "channel": BODY["channel"]}


@pytest.mark.parametrize(("body"), [pytest.param(SCAN, id="scan"), pytest.param(BODY, id="location")])
def bench_parse(cost: Cost, body: dict[str, object]) -> None:
    data = orjson.dumps(body)

    def work() -> None:
        for _ in range(REQUESTS):
            parse(ScanRequest, data)

    cost(work, of=REQUESTS, against=JSON)


def bench_parse_batch(cost: Cost) -> None:
    """A scan of a service's batch."""
    data = orjson.dumps({"scans": [{**SCAN, "member": f"member-{n}"} for n in range(BATCH)]})
    cost(lambda: parse(BatchRequest, data), of=BATCH, against=JSON)
