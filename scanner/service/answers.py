"""The bodies of answers to what was accepted.

They are a function of the claim record, so that a repeat is equal to the byte, but for `replayed`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from scanner.ledger.directory import KnownCampaign
from scanner.ledger.records import Record, Won
from scanner.service.problems import JSON, Answer


def accepted(
    outcome: str,
    id_name: str,
    id: str,
    campaign: KnownCampaign,
    record: Record,
    *,
    replayed: bool,
    at_name: str,
    first: str = "",
    then: str = "",
    last: str = "",
) -> Answer:
    """An accepted claim's answer; `first`, `then` and `last` are members that stand before and after the
    time and at the end.

    No string in it needs escaping: ids, a GTIN, times and tokens; and the awards are JSON already.
    """
    body = (
        f'{{"outcome":"{outcome}","{id_name}":"{id}","replayed":{"true" if replayed else "false"},'
        f'"campaign":"{campaign.plan.id}",{first}"{at_name}":"{timestamp(record.at_ms)}",{then}'
        f'"awards":[{awards_json(campaign, record.won)}]{last}}}'
    )
    return Answer("replayed" if replayed else "accepted", 200, body.encode(), JSON)


def awards_json(campaign: KnownCampaign, won: Sequence[Won]) -> str:
    """The awards among what was won, blanks left out."""
    awards = campaign.awards
    return ",".join(
        [
            f"{award}{one.amount}{tail}" if tail else award
            for one in won
            for award, tail in (awards[one.pool, one.prize],)
            if award
        ]
    )


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=1024)  # most of what is answered happened within the same few seconds
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
