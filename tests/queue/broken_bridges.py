"""Bridges broken on purpose, for the controls: ``python -m tests.queue.broken_bridges WHICH queue …``."""

import asyncio
import sys
from collections.abc import Sequence

from scanner.cli import main
from scanner.queue.bridges.bridge import Message, Sent
from scanner.queue.bridges.kafka import KafkaTarget
from scanner.queue.bridges.nats import JetStreamTarget
from scanner.queue.bridges.webhook import WebhookTarget
from scanner.queue.events import Event

HELD_S = 0.3


def acknowledges_first() -> None:
    """What it was given is acknowledged, and sent a moment later."""
    for target in (JetStreamTarget, KafkaTarget):
        send, tasks = target.send, set()

        async def late(self, wave: Sequence[Message], send=send, tasks=tasks) -> Sent:
            async def later() -> None:
                await asyncio.sleep(HELD_S)
                await send(self, wave)

            task = asyncio.create_task(later())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            return Sent()

        target.send = late
    deliver, posts = WebhookTarget.deliver, set()

    async def posts_later(self, event: Event) -> None:
        async def later() -> None:
            await asyncio.sleep(HELD_S)
            await deliver(self, event)

        task = asyncio.create_task(later())
        posts.add(task)
        task.add_done_callback(posts.discard)

    WebhookTarget.deliver = posts_later


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


if __name__ == "__main__":
    which = sys.argv.pop(1)
    {
        "acknowledges-first": acknowledges_first,
        "slow": slow_to_acknowledge,
        "no-message-id": no_message_id,
        "never-looks": never_looks,
    }[which]()
    main()
