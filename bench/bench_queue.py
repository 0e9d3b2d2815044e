"""What consuming an event costs: reading its fields as a model, handing it out, and all of it from a stream.

Handing out is without a store: workers, order by member, counting. From a stream it is a whole consumer, in
lists of 500, held against redis-py's own loop, which reads the same entries into dicts and acknowledges them.
"""

import asyncio
from collections.abc import Iterable

import orjson

from bench.cost import Cost
from bench.store import PrivateStore
from bench.yardsticks import FUTURES, JSON, Yardstick, futures
from scanner.ledger.watermark import pipeline_of
from scanner.queue import Consumer, Event
from scanner.queue.consuming.deliveries import Delivery, Source
from scanner.queue.consuming.dispatch import Dispatcher
from scanner.queue.consuming.rate import Rate
from scanner.queue.events import read_event
from scanner.settings import load_settings

EVENTS, AT_ONCE, MEMBERS = 2000, 500, 400
AWARDS = orjson.dumps(
    [{"pool": "points", "prize": "p50", "kind": "points", "amount": 50, "beneficiary": "member"}]
)


def _fields(no: int) -> dict[bytes, bytes]:
    return {
        b"type": b"scan.accepted",
        b"at": b"1772357400123",
        b"campaign": b"spring-2027",
        b"member": b"member-%d" % (no % MEMBERS),
        b"role": b"painter",
        b"channel": b"weixin-mini-program",
        b"product": b"06901234567892",
        b"lot": b"123456",
        b"rules": b"2f60b95fcd1da6ea",
        b"awards": AWARDS,
        b"id": b"SCAN%012d" % no,
        b"serial": b"%d" % no,
    }


def _flat(fields: dict[bytes, bytes]) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]


def bench_read_event(cost: Cost) -> None:
    entries = [(b"1772357400123-%d" % no, _fields(no)) for no in range(100)]

    def read() -> None:
        for id, fields in entries:
            read_event(id, fields)

    cost(read, of=len(entries), against=JSON)


class _Nobody:
    """Is told what becomes of events, and forgets it."""

    def begin_at_once(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        return []

    async def begin(self, deliveries: Iterable[Delivery]) -> None: ...

    def is_held(self, one: Delivery) -> bool:
        return True

    def waits(self, more: int) -> None: ...

    def finish(self, done: Iterable[Delivery]) -> bool:
        return False

    async def settle(self) -> None: ...

    async def bury(self, one: Delivery, reason: str) -> None: ...


def bench_dispatch(cost: Cost, runner: asyncio.Runner) -> None:
    source = Source("events", partition=0, is_again=False)
    entries = [(b"1772357400123-%d" % no, _flat(_fields(no))) for no in range(EVENTS)]
    deliveries = [Delivery(source, id, 0, id, flat) for id, flat in entries]
    assert not any(one.fault() for one in deliveries)  # reading their events has a figure of its own

    async def dispatch() -> None:
        left, done = EVENTS, asyncio.get_running_loop().create_future()

        async def nothing(event: Event) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set_result(None)

        dispatcher = Dispatcher(
            nothing,
            _Nobody(),
            done.set_exception,
            concurrency=64,
            rate=Rate(None),
            tries=5,
            wait_s=(0.5, 60.0),
        )
        for start in range(0, EVENTS, AT_ONCE):
            dispatcher.put(deliveries[start : start + AT_ONCE])
        await done
        await dispatcher.stop(0)

    yardstick = Yardstick("futures", lambda: runner.run(futures()), FUTURES)
    cost(lambda: runner.run(dispatch()), of=EVENTS, against=yardstick)


def bench_consume(cost: Cost, runner: asyncio.Runner, private: PrivateStore) -> None:
    store, settings = private.store, load_settings()
    key, ask = store.keys.events, store.client.execute_command

    async def fill() -> None:
        pipe = pipeline_of(store.client)
        for no in range(EVENTS):
            pipe.execute_command("XADD", key, "*", *_flat(_fields(no)))
        await pipe.execute()
        for group in ("consumer", "bare"):
            await ask("XGROUP CREATE", key, group, "0")

    async def consume() -> None:
        await ask("XGROUP SETID", key, "consumer", "0")
        seen = 0
        async with Consumer("consumer", "bench", settings=settings, store=store) as consumer:
            async for events in consumer.batches(AT_ONCE):
                seen += len(events)
                if seen == EVENTS:
                    consumer.stop()

    async def bare() -> None:
        await ask("XGROUP SETID", key, "bare", "0")
        command = ("XREADGROUP", "GROUP", "bare", "bench", "COUNT", AT_ONCE, "STREAMS", key, ">")
        while found := await ask(*command):
            [[_, entries]] = found
            await ask("XACK", key, "bare", *(id for id, _ in entries))

    runner.run(fill())
    try:
        cost(
            lambda: runner.run(consume()),
            of=EVENTS,
            against=Yardstick("redis-py", lambda: runner.run(bare()), EVENTS),
        )
    finally:
        runner.run(store.client.execute_command("DEL", key, store.keys.again("consumer")))
