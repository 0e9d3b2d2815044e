"""How a bridge runs, until it is told to stop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from scanner.service.signals import stop_event
from scanner.settings import Settings

log = logging.getLogger("scanner")

WITHOUT_END = None


def run(settings: Settings, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s bridge %(levelname)s %(message)s"
    )
    for chatty in ("nats", "aiokafka"):  # what goes wrong there is said by us, once
        logging.getLogger(chatty).setLevel(logging.CRITICAL)

    async def until_told() -> None:
        await work(stop_event())

    asyncio.run(until_told())


async def carry_to(
    settings: Settings, target: Any, options: dict[str, Any], batch: int, stop: asyncio.Event
) -> None:
    from scanner.queue.bridges.bridge import Progress, TargetError, TargetRefusedError, carry, unless_left
    from scanner.queue.consuming.consumer import Consumer

    progress = Progress(target.name)
    try:
        try:
            # Before the group is made, which keeps the stream from being trimmed.
            await unless_left(target.check(), stop)
        except TargetRefusedError:
            raise
        except TargetError as error:
            progress.failed(str(error))
        consumer = Consumer(settings=settings, tries=WITHOUT_END, **options)
        async with progress.said(), consumer:
            log.info("%s: bridging group %s", target.name, consumer.group)
            await carry(consumer, target, brand=settings.brand, batch=batch, progress=progress, stop=stop)
    finally:
        await target.close()
