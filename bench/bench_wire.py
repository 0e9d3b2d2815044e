"""What it costs this process to send a call and to read forty replies: on the wire, held against redis-py."""

import asyncio

from bench.brand import accepted_reply
from bench.cost import Cost
from bench.store import PrivateStore
from bench.yardsticks import Yardstick

CALLS, REPLIES = 20, 40
KEY = "bench:replies"


def bench_call(cost: Cost, runner: asyncio.Runner, private: PrivateStore) -> None:
    client, call = private.store.client, private.store.wire.call
    replies = [accepted_reply(1_772_357_400_123)] * REPLIES
    runner.run(client.execute_command("RPUSH", KEY, *replies))

    async def wire() -> None:
        for _ in range(CALLS):
            assert len(await call(["LRANGE", KEY, 0, -1])) == REPLIES

    async def redis_py() -> None:
        for _ in range(CALLS):
            assert len(await client.execute_command("LRANGE", KEY, 0, -1)) == REPLIES

    yardstick = Yardstick("redis-py", lambda: runner.run(redis_py()), CALLS)
    cost(lambda: runner.run(wire()), of=CALLS, against=yardstick)
