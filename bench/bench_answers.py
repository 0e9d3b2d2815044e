"""What it costs to read the store's replies, and to write the phones' answers."""

from bench.brand import PRODUCT, accepted_reply, campaign_file, plan_of
from bench.cost import Cost
from bench.yardsticks import PYTHON
from scanner.ledger.claims import parse_answer
from scanner.ledger.directory import KnownCampaign
from scanner.service.answers import accepted

ANSWERS = 1000
REPLIES = [accepted_reply(1_772_357_400_123 + n) for n in range(ANSWERS)]


def bench_parse_answer(cost: Cost) -> None:
    def work() -> None:
        for reply in REPLIES:
            parse_answer(reply)

    cost(work, of=ANSWERS, against=PYTHON)


def bench_accepted(cost: Cost) -> None:
    campaign = KnownCampaign.of(plan_of(campaign_file()))
    records = [answer.record for answer in map(parse_answer, REPLIES) if answer.record is not None]
    assert len(records) == ANSWERS

    def work() -> None:
        for record in records:
            accepted(
                "accepted", "scan_id", "XXVFJD9EKA69BFS9", campaign, record,
                replayed=False, at_name="scanned_at", first=f'"product":"{PRODUCT}",',
            )  # fmt: skip

    cost(work, of=ANSWERS, against=PYTHON)
