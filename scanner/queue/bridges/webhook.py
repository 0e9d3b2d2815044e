"""The bridge to a webhook: signed POSTs of CloudEvents, one event each or up to a hundred.

``webhook_post.py`` is one POST, and ``webhook_failures.py`` what it means that one was not taken.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b

from scanner.queue.bridges.bridge import Message, Progress, TargetRefusedError, message_of
from scanner.queue.bridges.signing import sign
from scanner.queue.bridges.webhook_failures import LATER_S, Failure, Failures
from scanner.queue.bridges.webhook_post import TIMEOUT_S, Endpoint
from scanner.queue.consuming.answers import TryLaterError
from scanner.queue.events import Event
from scanner.queue.form.cloudevents import CONTENT_TYPE

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
BATCH_MAX = 100
TOGETHER_S = 0.02


def webhook_id(messages: Sequence[Message], *, is_batch: bool) -> str:
    """The same for the same events, and without a full stop, which parts what is signed."""
    if not is_batch:
        return messages[0].key.replace(".", ":")
    names = "\n".join(message.key for message in messages)
    return f"batch:{blake2b(names.encode(), digest_size=16).hexdigest()}"


class WebhookTarget:
    """One endpoint. ``deliver`` is a consumer's handler; ``on_gone`` hears that it wants no more."""

    def __init__(
        self,
        url: str,
        keys: Sequence[bytes],
        *,
        brand: str,
        progress: Progress,
        batch: int = 1,
        posts: int = 16,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
        later_s: tuple[float, float] = LATER_S,
        clock: Callable[[], float] = time.time,
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._keys = keys
        self._brand = brand
        self._batch = batch
        self._clock = clock
        self._on_gone = on_gone
        self._endpoint = Endpoint(url, posts=posts, timeout_s=timeout_s, tls=tls, clock=clock)
        self._later_s = later_s
        self._failures = Failures(
            progress, asyncio.get_running_loop().time, is_single=batch == 1, later_s=later_s
        )
        self._posts = asyncio.Semaphore(posts)
        self._together: list[tuple[Message, asyncio.Future[Failure | None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_probing = False

    @property
    def gone(self) -> TargetRefusedError | None:
        """Why the receiver wants no more, where it does not."""
        return self._endpoint.gone

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._endpoint.close()

    async def deliver(self, event: Event) -> None:
        """Returns when the receiver has taken the event.

        Raises:
            TryLaterError: it did not, as it does not take others, or its answer asks for patience.
            DeliveryError: it did not, and it takes others.
        """
        wait_s = self._failures.wait_s(event.key)
        if self.gone is not None or wait_s > 0:
            raise TryLaterError(max(wait_s, 0.05))
        is_away = self._failures.is_away
        if is_away and self._is_probing:
            raise TryLaterError(2 * self._later_s[0])  # one asks for all
        self._is_probing = is_away
        try:
            failure = await self._send(message_of(event, self._brand))
        finally:
            if is_away:
                self._is_probing = False
        if failure is not None:
            raise self._failures.judged(event.key, failure)

    async def _send(self, message: Message) -> Failure | None:
        if self._failures.travels_alone(message.key):
            return await self._post([message])
        result: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._together.append((message, result))
        if len(self._together) >= self._batch:
            self._leave()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOGETHER_S, self._leave)
        return await result

    def _leave(self) -> None:
        """What has come together sets out."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, together, self._together = None, self._together, []

        async def post() -> None:
            try:
                failure = await self._post([message for message, _ in together])
            except BaseException:  # who waits for it must hear of it, a cancellation included
                for _, result in together:
                    if not result.done():
                        result.set_exception(TryLaterError(self._later_s[0]))
                raise
            for _, result in together:
                if not result.done():
                    result.set_result(failure)

        task = asyncio.create_task(post())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, messages: Sequence[Message]) -> Failure | None:
        """One POST; None where it was taken."""
        is_batch, failures = self._batch > 1, self._failures
        body = b"[%b]" % b",".join(one.body for one in messages) if is_batch else messages[0].body
        keys = [message.key for message in messages]
        async with self._posts:
            if (wait_s := failures.wait_s()) > 0:  # another POST has found out meanwhile
                return Failure("it is to wait", retry_after_s=wait_s, is_unsent=True)
            # Signed when it leaves: a receiver refuses what is old.
            id, pauses = webhook_id(messages, is_batch=is_batch), failures.pauses
            signature = sign(self._keys, id, int(self._clock()), body)
            kind = BATCH_CONTENT_TYPE if is_batch else CONTENT_TYPE
            failure = await self._endpoint.post(body, {**signature, "Content-Type": f"{kind}; charset=utf-8"})
        if failure is None:
            failures.taken(keys, pauses)
            return None
        if self.gone is not None:
            self._on_gone()
        return failures.noted(keys, failure)
