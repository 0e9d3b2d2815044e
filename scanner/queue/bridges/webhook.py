"""The bridge to a webhook: signed POSTs of CloudEvents, one event each or up to a hundred.

A receiver that is away, and one event that it cannot take, look alike from here: an error. What tells them
apart is whether it takes others meanwhile. Only then is a failure counted as a try of the event, and ends in
the dead letters; while it takes nothing, the bridge waits, asks now and then, and counts nothing. The same
holds for 429 and 503 and what they ask for: the first makes everybody wait for seconds; only where several
events in a row are refused does the whole bridge wait as long as it was asked to.
"""

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

from scanner import __version__
from scanner.errors import ConfigurationError, ScannerError
from scanner.queue.answers import TryLaterError
from scanner.queue.bridges.bridge import Message, Progress, TargetRefusedError, message_of
from scanner.queue.bridges.signing import sign
from scanner.queue.cloudevents import CONTENT_TYPE
from scanner.queue.events import Event

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
BATCH_MAX = 100
TIMEOUT_S = 15.0
RETRY_AFTER_S_MAX = 3600.0
# So many failures in a row, of whatever events, and the endpoint is taken to be away.
AWAY_AFTER = 5
# A Retry-After is kept for all events once so many different ones were refused in a row; until then so long.
REFUSED_MIN = 3
ASKED_S_MAX = 5.0
# A 429 or 503 is a try of its event only where so many others were taken since the last that was one: a
# receiver with a limit refuses now this event, now that one.
TAKEN_BETWEEN = 10
TOGETHER_S = 0.02
# Of an answer only the status counts. The rest is read so that the connection can be used again, so far.
ANSWER_BYTES_MAX = 64 << 10
_REMEMBERED_MAX = 10_000
_LATER_S = (0.5, 60.0)


class DeliveryError(ScannerError):
    """The receiver takes others, and not this event."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a POST was none. ``is_load`` says that the receiver had too much to do, or was not there;
    ``is_own`` that it takes others at the same time, and ``is_unsent`` that nothing was sent."""

    reason: str
    is_load: bool = False
    retry_after_s: float = 0.0
    is_own: bool = False
    is_unsent: bool = False


@dataclass(slots=True)
class _Memory:
    """What is known of an event that failed: how often, how many POSTs had succeeded by then, and by the last
    that was a try, whether it travels alone, and until when it waits by itself."""

    counted: int
    failures: int = 0
    taken: int = 0
    is_alone: bool = False
    until: float = 0.0


def check_url(url: str, *, allow_http: bool = False) -> str:
    """The URL, if events may be sent there.

    Raises:
        ConfigurationError: it is none, holds a password, or is not encrypted.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("the webhook's URL: expected https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("the webhook's URL must not hold a user or a password: webhooks are signed")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ConfigurationError(
            "the webhook's URL must be https: events say who won what; --allow-http sends them in the clear"
        )
    return url


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def webhook_id(messages: Sequence[Message], *, is_batch: bool) -> str:
    """The same for the same events, and without a full stop, which parts what is signed."""
    if not is_batch:
        return messages[0].key.replace(".", ":")
    names = "\n".join(message.key for message in messages)
    return f"batch:{blake2b(names.encode(), digest_size=16).hexdigest()}"


class WebhookTarget:
    """One endpoint. ``deliver`` is a consumer's handler."""

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
        clock: Callable[[], float] = time.time,
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._keys = keys
        self._brand = brand
        self._progress = progress
        self._batch = batch
        self._timeout_s = timeout_s
        self._tls = tls
        self._clock = clock
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._posts = asyncio.Semaphore(posts)
        self._posts_max = posts
        self._session: aiohttp.ClientSession | None = None
        self._together: list[tuple[Message, asyncio.Future[Failure | None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._memory: OrderedDict[str, _Memory] = OrderedDict()
        self._taken = 0
        self._failed_in_a_row = 0
        self._refused: set[str] = set()
        """Some of what was refused since the last success."""
        self._pauses = 0
        self._away_until = 0.0
        self._is_probing = False
        self.gone: TargetRefusedError | None = None

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def deliver(self, event: Event) -> None:
        """Returns when the receiver has taken the event.

        Raises:
            TryLaterError: it did not, as it does not take others, or its answer asks for patience.
            DeliveryError: it did not, and it takes others.
        """
        wait_s = self._wait_s()
        if (memory := self._memory.get(event.key)) is not None:
            wait_s = max(wait_s, memory.until - self._loop.time())
        if self.gone is not None or wait_s > 0:
            raise TryLaterError(max(wait_s, 0.05))
        is_away = self._failed_in_a_row >= AWAY_AFTER
        if is_away and self._is_probing:
            raise TryLaterError(2 * _LATER_S[0])  # one asks for all
        self._is_probing = is_away
        try:
            failure = await self._send(message_of(event, self._brand))
        finally:
            if is_away:
                self._is_probing = False
        if failure is None:
            self._memory.pop(event.key, None)
            return
        raise self._judged(event.key, failure)

    def _judged(self, key: str, failure: Failure) -> ScannerError:
        """What a failure means for one of the events that it befell."""
        if failure.is_unsent:
            return TryLaterError(max(failure.retry_after_s, _LATER_S[0]))
        memory = self._memory.setdefault(key, _Memory(self._taken))
        self._memory.move_to_end(key)
        if len(self._memory) > _REMEMBERED_MAX:
            self._memory.popitem(last=False)
        first, most = _LATER_S
        wait_s = max(failure.retry_after_s, min(most, first * 2.0 ** min(memory.failures, 30)))
        takes_others = self._takes_others(memory)
        was_alone = memory.is_alone or self._batch == 1
        memory.taken = self._taken
        memory.failures += 1
        if failure.is_load and not failure.is_own:
            memory.is_alone |= takes_others
            return TryLaterError(max(failure.retry_after_s, first))
        memory.is_alone = True
        if not was_alone:
            return TryLaterError(max(failure.retry_after_s, first))
        if not takes_others or (failure.is_own and self._taken - memory.counted < TAKEN_BETWEEN):
            return TryLaterError(wait_s)
        memory.counted = self._taken
        memory.until = self._loop.time() + failure.retry_after_s
        return DeliveryError(failure.reason)

    def _takes_others(self, memory: _Memory) -> bool:
        """Whether the receiver has taken another since this one failed."""
        return memory.failures > 0 and self._taken > memory.taken

    async def _send(self, message: Message) -> Failure | None:
        memory = self._memory.get(message.key)
        if self._batch == 1 or (memory is not None and memory.is_alone):
            return await self._post([message])
        result: asyncio.Future[Failure | None] = self._loop.create_future()
        self._together.append((message, result))
        if len(self._together) >= self._batch:
            self._leave()
        elif self._timer is None:
            self._timer = self._loop.call_later(TOGETHER_S, self._leave)
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
                        result.set_exception(TryLaterError(_LATER_S[0]))
                raise
            for _, result in together:
                if not result.done():
                    result.set_result(failure)

        task = asyncio.create_task(post())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, messages: Sequence[Message]) -> Failure | None:
        """One POST; None where it was taken."""
        is_batch = self._batch > 1
        body = b"[%b]" % b",".join(one.body for one in messages) if is_batch else messages[0].body
        async with self._posts:
            if (wait_s := self._wait_s()) > 0:  # another POST has found out meanwhile
                return Failure("it is to wait", retry_after_s=wait_s, is_unsent=True)
            # Signed when it leaves: a receiver refuses what is old.
            id, pauses = webhook_id(messages, is_batch=is_batch), self._pauses
            signature = sign(self._keys, id, int(self._clock()), body)
            kind = BATCH_CONTENT_TYPE if is_batch else CONTENT_TYPE
            failure = await self._ask(body, {**signature, "Content-Type": f"{kind}; charset=utf-8"})
        if failure is not None:
            return self._noted(messages, id, failure)
        self._taken += 1
        if self._pauses != pauses:  # it left before another was told to wait, and says nothing of that
            self._progress.delivered += len(messages)
            return None
        self._failed_in_a_row, self._away_until = 0, 0.0
        self._refused.clear()
        self._progress.succeeded(len(messages))
        return None

    def _noted(self, messages: Sequence[Message], id: str, failure: Failure) -> Failure:
        """What a failure means for all others: they wait, unless it is this event's own."""
        memory = self._memory.get(messages[0].key)
        is_own = len(messages) == 1 and self._failed_in_a_row == 0
        self._failed_in_a_row += 1
        if failure.is_load and is_own and memory is not None and self._takes_others(memory):
            return replace(failure, is_own=True)
        if failure.is_load or self._failed_in_a_row >= AWAY_AFTER:
            if len(self._refused) < REFUSED_MIN:
                self._refused.add(id)
            is_asked = len(self._refused) >= REFUSED_MIN
            asked_s = min(failure.retry_after_s, RETRY_AFTER_S_MAX if is_asked else ASKED_S_MAX)
            wait_s = max(self._progress.failed(failure.reason), asked_s)
            self._away_until = max(self._away_until, self._loop.time() + wait_s)
            self._failed_in_a_row = max(self._failed_in_a_row, AWAY_AFTER)
            self._pauses += 1
        return failure

    def _wait_s(self) -> float:
        return self._away_until - self._loop.time()

    async def _ask(self, body: bytes, headers: dict[str, str]) -> Failure | None:
        try:
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await self._read_away(response)
                return self._meaning(response)
        except TimeoutError:
            return Failure(f"no answer within {self._timeout_s:g} s")
        except aiohttp.ClientConnectorError as error:
            why = getattr(error, "os_error", error)  # of a wrong certificate there is none
            return Failure(f"cannot connect: {getattr(why, 'strerror', None) or why}", is_load=True)
        except (aiohttp.ClientError, OSError) as error:
            return Failure(f"the connection broke: {type(error).__name__}")
        except Exception as error:  # an endpoint's oddity is no reason to lose count of its failures
            return Failure(f"the POST failed: {type(error).__name__}")

    def _meaning(self, response: aiohttp.ClientResponse) -> Failure | None:
        status = response.status
        if 200 <= status < 300:
            return None
        if status == 410 and self.gone is None:
            self.gone = TargetRefusedError("the receiver answers 410 Gone: it wants no webhooks any more")
            self._on_gone()
        after_s = _retry_after(response.headers.get("Retry-After", ""), self._clock())
        return Failure(f"the receiver answers {status}", is_load=status in (429, 503), retry_after_s=after_s)

    async def _read_away(self, response: aiohttp.ClientResponse) -> None:
        left = ANSWER_BYTES_MAX
        while left > 0 and (piece := await response.content.read(left)):
            left -= len(piece)
        if left <= 0:
            response.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._posts_max, ssl=self._tls or True),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"scanner/{__version__}"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def _retry_after(text: str, now: float) -> float:
    """Seconds or a date, as HTTP has it; 0 where it is neither."""
    wait_s = 0.0
    if text.isascii() and text.isdecimal():
        wait_s = float(text[:9])
    else:
        with suppress(Exception):  # the parser of dates raises whatever a stranger's text brings about
            wait_s = parsedate_to_datetime(text).timestamp() - now
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)
