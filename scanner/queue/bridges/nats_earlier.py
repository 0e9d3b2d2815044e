"""Which messages an earlier life of the bridge, or one before a trouble, has brought to JetStream already.

The server tells copies for the stream's duplicate window only. What may have been sent longer ago is looked
for among what has come to its subjects since. ``since`` is in seconds since 1970.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.js import JetStreamContext

# The clocks of the store, of this host and of NATS may differ by so much.
CLOCKS_DIFFER_S = 30.0
TIMEOUT_S = 30.0
_READ_AT_ONCE = 1000


def may_be_forgotten(since: float, now: float, window_s: float) -> bool:
    """Whether the server may not know any more what was sent since then. So it is also where our own clock
    was put back meanwhile, and tells nothing."""
    age_s = now - since
    return age_s > min(window_s / 2, window_s - CLOCKS_DIFFER_S) or age_s < -CLOCKS_DIFFER_S


async def keys_there(
    context: "JetStreamContext", stream: str, subjects: Collection[str], keys: Collection[str], since: float
) -> set[str]:
    """Which of the keys are in the stream. It costs a read of the headers of what has come since.

    Raises:
        nats.errors.Error: the server did not answer.
    """
    from nats.errors import Error
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

    wanted, found = set(keys), set[str]()
    last = (await context.stream_info(stream)).state.last_seq
    subscription = await context.pull_subscribe(
        "",
        stream=stream,
        config=ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=datetime.fromtimestamp(since - CLOCKS_DIFFER_S, UTC),
            filter_subjects=sorted(subjects),
            ack_policy=AckPolicy.NONE,
            headers_only=True,
            mem_storage=True,
            inactive_threshold=TIMEOUT_S,
        ),
    )
    try:
        pending = (await subscription.consumer_info()).num_pending or 0
        while pending and found != wanted:
            for one in await subscription.fetch(min(pending, _READ_AT_ONCE), timeout=TIMEOUT_S):
                found |= wanted & {(one.headers or {}).get("Nats-Msg-Id", "")}
                pending = one.metadata.num_pending if one.metadata.sequence.stream < last else 0
    finally:
        with suppress(Error, OSError):
            await subscription.unsubscribe()
    return found
