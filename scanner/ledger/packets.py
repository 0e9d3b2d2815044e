"""Locked packets whose time is over go back to their pools (``functions/packet.lua``)."""

import re
from collections.abc import Iterator, Mapping, Sequence

from redis.exceptions import RedisError

from scanner.errors import StoreUnavailableError
from scanner.ledger.claims import ClaimFunction, Verdict
from scanner.ledger.connection import Store
from scanner.ledger.directory import KnownCampaign
from scanner.ledger.frames import Expiry

AT_ONCE = 100
# functions/wallet.lua: campaign, pool, grant id, member's digest
_NAME = re.compile(rb"([a-z0-9-]+)/([a-z0-9-]+)/[0-9A-Z]{16}/[0-9a-f]{16}")
# What cannot be done stays among the expiries. So many of it are passed over to reach what can.
STUCK_MAX = 1000


async def sweep(store: Store, campaigns: Mapping[str, KnownCampaign]) -> int:
    """Sends the oldest packets back that have expired, about 100 at most, and returns how many.

    Any number of processes may do this at the same time: a packet goes back once.

    Raises:
        StoreUnavailableError: the store did not answer. What was done is done, the rest is for the next time.
    """
    send, done, stuck = ClaimFunction(store), 0, 0
    while done < AT_ONCE and stuck < STUCK_MAX:
        due = await _due(store, stuck)
        expiries = list(_expiries(due, campaigns))
        answers = await send(expiries) if expiries else []
        done_now = sum(answer.verdict is Verdict.DONE for answer in answers)
        done += done_now
        stuck += len(due) - done_now
        if len(due) < AT_ONCE:
            break
    return done


async def _due(store: Store, skip: int) -> Sequence[bytes]:
    try:
        seconds, micros = await store.client.time()
        now_ms = seconds * 1000 + micros // 1000
        due: list[bytes] = await store.client.execute_command(
            "ZRANGEBYSCORE", store.keys.expiries, "-inf", now_ms, "LIMIT", skip, AT_ONCE
        )
    except RedisError as error:
        raise StoreUnavailableError(f"the store did not answer: {error}") from error
    return due


def _expiries(due: Sequence[bytes], campaigns: Mapping[str, KnownCampaign]) -> Iterator[Expiry]:
    """Those of campaigns and pools that are known; what else may stand there is passed over."""
    for member in due:
        name = _NAME.fullmatch(member)
        campaign = campaigns.get(name[1].decode()) if name else None
        if name and campaign and name[2].decode() in campaign.plan.by_id:
            yield Expiry(campaign.plan, member.decode())
