"""Bridges broken on purpose, for the controls."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from scanner.queue.bridges.bridge import Message, Sent
from scanner.queue.bridges.kafka import KafkaTarget
from scanner.queue.bridges.nats import JetStreamTarget
from scanner.queue.bridges.webhook import WebhookTarget

# Longer than a life, and long beside what a wave takes.
KEPT_S, HELD_S = 0.5, 0.05


def acknowledges_first() -> None:
    """What it was given is acknowledged, and sent a moment later."""
    for target in (JetStreamTarget, KafkaTarget):
        target.send = _later(target.send, Sent())
    WebhookTarget.deliver = _later(WebhookTarget.deliver, None)


def _later(send: Callable[..., Awaitable[object]], answer: object) -> Callable[..., Awaitable[object]]:
    tasks = set()

    async def later(self, what) -> object:
        async def after() -> None:
            await asyncio.sleep(KEPT_S)
            await send(self, what)

        task = asyncio.create_task(after())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return answer

    return later


def slow_to_acknowledge() -> None:
    """Between the target's acknowledgement and ours there is time to be killed."""
    for target in (JetStreamTarget, KafkaTarget):
        send = target.send

        async def late(self, wave: Sequence[Message], send=send) -> Sent:
            sent = await send(self, wave)
            await asyncio.sleep(HELD_S)
            return sent

        target.send = late


def no_message_id() -> None:
    slow_to_acknowledge()
    from nats.aio.client import Client

    publish = Client.publish

    async def nameless(self, subject, payload=b"", reply="", headers=None) -> None:
        if headers:
            headers = {("Event" if name == "Nats-Msg-Id" else name): text for name, text in headers.items()}
        await publish(self, subject, payload, reply, headers)

    Client.publish = nameless


def never_looks() -> None:
    slow_to_acknowledge()
    JetStreamTarget._may_be_forgotten = lambda self, message: False


BREAKS = {
    "acknowledges-first": acknowledges_first,
    "no-message-id": no_message_id,
    "never-looks": never_looks,
}
