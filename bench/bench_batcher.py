"""What it costs a claim to join a batch and to hear of its answer, with a store that replies at once."""

import asyncio
from collections.abc import Sequence

from bench.brand import accepted_reply, campaign_file, claim, plan_of
from bench.cost import Cost
from bench.yardsticks import FUTURES, Yardstick, futures
from scanner.ledger.claims import Verdict
from scanner.ledger.frames import Asked
from scanner.service.admission import Admission
from scanner.service.batcher import Batcher
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.settings import load_settings

BATCH, BATCHES = 64, 20


def bench_submit(cost: Cost, runner: asyncio.Runner) -> None:
    plan = plan_of(campaign_file())
    claims = [claim(plan, 1, serial) for serial in range(BATCH)]
    replies = [accepted_reply(1_772_357_400_123)] * BATCH

    async def send(batch: Sequence[Asked]) -> list[bytes]:
        return replies[: len(batch)]

    async def scans() -> None:
        cells = Cells(bytearray(ROW_BYTES), 0)
        batcher = Batcher(send, cells, Admission(cells, load_settings()), batch_max=BATCH, away_max=2)
        for _ in range(BATCHES):
            answers = await asyncio.gather(*(batcher.submit(one) for one in claims))
            assert answers[0].verdict is Verdict.ACCEPTED

    yardstick = Yardstick("futures", lambda: runner.run(futures()), FUTURES)
    cost(lambda: runner.run(scans()), of=BATCH * BATCHES, against=yardstick)
