"""The bridge to NATS JetStream: each event once in the target's stream, however often the bridge is killed.

The server forgets message ids after the stream's duplicate window (two minutes where nobody says otherwise).
A message that may have been sent longer ago, by a life of this bridge that was killed or before the server
was away, is therefore looked up in the target's stream first, among what has come there since. That holds for
a stream that keeps messages after they were read, and for what the group has read before: to a group that is
made anew every event is new, and its copies are told only within the window.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from scanner.errors import ConfigurationError
from scanner.queue.bridges.bridge import Message, Sent, TargetError, TargetRefusedError
from scanner.queue.cloudevents import CONTENT_TYPE

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

DUPLICATE_WINDOW_S = 120.0
CONNECT_TIMEOUT_S = 5
ACKNOWLEDGE_TIMEOUT_S = 5.0
# The clocks of the store, of this host and of NATS may differ by so much.
CLOCKS_DIFFER_S = 30.0
LOOK_UP_TIMEOUT_S = 30.0
# What the server says of one message, and would say of it again: too large for the stream, or its headers.
_NEVER = {10054, 10097}
_NOT_FOUND = 404


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach NATS. What is secret comes from files of mode 0600 or is given here, never in the URL."""

    servers: tuple[str, ...]
    creds_file: Path | None = None
    nkey_file: Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "servers": list(self.servers),
            "user": self.user,
            "password": self.password,
            "token": self.token,
            "tls": self.tls,
            "user_credentials": str(self.creds_file) if self.creds_file else None,
            "nkeys_seed": str(self.nkey_file) if self.nkey_file else None,
        }
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class NewStream:
    """What a stream is made with, where there is none."""

    replicas: int = 1
    max_bytes: int = -1
    max_age_s: float = 0
    duplicate_window_s: float = DUPLICATE_WINDOW_S


def subject_of(prefix: str, brand: str, message: Message) -> str:
    """``<prefix>.<brand>.<campaign, or _>.<type>``."""
    campaign = _token(str(getattr(message.event, "campaign", "")) or "_")
    return f"{prefix}.{brand}.{campaign}.{'.'.join(map(_token, message.event.type.split('.')))}"


def _token(text: str) -> str:
    """As a part of a subject: what would mean something there is replaced."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in text) or "_"


class JetStreamTarget:
    """One stream of JetStream. One connection at a time; a new one after each trouble."""

    def __init__(
        self,
        connection: Connection,
        *,
        stream: str,
        brand: str,
        prefix: str = "scanner",
        create: NewStream | None = None,
        timeout_s: float = ACKNOWLEDGE_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        try:
            import nats  # noqa: F401 (only whether it is there)
        except ImportError:
            raise ConfigurationError(
                "the bridge to NATS needs nats-py: install it with `pip install 'scanner[nats]'`"
            ) from None
        self.name = f"NATS stream {stream}"
        self._connection = connection
        self._stream = stream
        self._prefix, self._brand = prefix, brand
        self._create = create
        self._timeout_s = timeout_s
        self._clock = clock
        self._client: Client | None = None
        self._inbox = ""
        self._wave: _Wave | None = None
        self._waves = 0
        self._window_s = DUPLICATE_WINDOW_S
        self._keeps_what_was_read = True
        self._error = ""
        self._is_checked = False

    async def check(self) -> None:
        await self._open()

    async def send(self, wave: Sequence[Message]) -> Sent:
        client = await self._open()
        try:
            old = [message for message in wave if self._may_be_forgotten(message)]
            stored = await self._look_up(old)
        except _nats_errors() as error:
            raise await self._broken(error) from None
        for message in old:
            message.since = None  # it is there, or nobody has sent it
        missing = [one for one in wave if one.key not in stored]
        try:
            return await self._publish(client, missing)
        except _nats_errors() as error:  # what was found is not sent again
            return Sent(missing, str(await self._broken(error)))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(*_nats_errors()):
                await client.close()

    async def _open(self) -> "Client":
        if self._client is not None and self._client.is_connected:
            return self._client
        from nats.aio.client import Client

        await self.close()
        self._error = ""
        client = Client()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await client.connect(
                    **self._connection.options(),
                    name=f"scanner bridge of {self._brand}",
                    allow_reconnect=False,  # a new connection is ours to make, after our own waits
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    error_cb=self._heard,
                    disconnected_cb=self._lost,
                    closed_cb=self._lost,
                )
            self._client = client
            self._inbox = client.new_inbox()
            await client.subscribe(
                f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
            )
            await self._look_at_stream(client.jetstream(timeout=CONNECT_TIMEOUT_S))
        except _nats_errors() as error:
            self._client = client
            broken = await self._broken(error)
            if "authorization violation" in f"{broken} {error}".lower():
                raise TargetRefusedError("NATS does not let this user in") from None
            raise broken from None
        except BaseException:
            self._client = client
            await self.close()
            raise
        return client

    async def _look_at_stream(self, context: "JetStreamContext") -> None:
        """Makes the stream where that is wanted, and takes its duplicate window and what it keeps."""
        from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
        from nats.js.errors import NotFoundError

        try:
            info = await context.stream_info(self._stream)
        except NotFoundError:
            if self._create is None:
                raise TargetRefusedError(
                    f"NATS has no stream {self._stream}: make it, or let the bridge make it (--create-stream)"
                ) from None
            info = await context.add_stream(
                StreamConfig(
                    name=self._stream,
                    subjects=[f"{self._prefix}.{self._brand}.>"],
                    storage=StorageType.FILE,
                    discard=DiscardPolicy.NEW,  # a full stream refuses, in place of dropping what is oldest
                    num_replicas=self._create.replicas,
                    max_bytes=self._create.max_bytes,
                    max_age=self._create.max_age_s,
                    duplicate_window=self._create.duplicate_window_s,
                )
            )
        self._window_s = float(info.config.duplicate_window or DUPLICATE_WINDOW_S)
        self._keeps_what_was_read = info.config.retention in (None, RetentionPolicy.LIMITS)

    # What was sent before -------------------------------------------------------------------------------

    def _may_be_forgotten(self, message: Message) -> bool:
        """Whether it may be in the stream, its id no longer in the server's memory, and a look can tell."""
        if message.since is None or not self._keeps_what_was_read:
            return False
        return self._clock() - message.since > self._window_s / 2

    async def _look_up(self, messages: Sequence[Message]) -> set[str]:
        """Which of them are in the stream."""
        if not messages:
            return set()
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        assert self._client is not None
        context = self._client.jetstream(timeout=CONNECT_TIMEOUT_S)
        wanted = {message.key for message in messages}
        since = min(message.since or 0.0 for message in messages) - CLOCKS_DIFFER_S
        last = (await context.stream_info(self._stream)).state.last_seq
        subscription = await context.pull_subscribe(
            "",
            stream=self._stream,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_TIME,
                opt_start_time=datetime.fromtimestamp(since, UTC),
                filter_subjects=sorted({self._subject(message) for message in messages}),
                ack_policy=AckPolicy.NONE,
                headers_only=True,
                mem_storage=True,
                inactive_threshold=LOOK_UP_TIMEOUT_S,
            ),
        )
        found: set[str] = set()
        try:
            pending = (await subscription.consumer_info()).num_pending or 0
            while pending and found != wanted:
                for one in await subscription.fetch(min(pending, 1000), timeout=LOOK_UP_TIMEOUT_S):
                    id = (one.headers or {}).get("Nats-Msg-Id", "")
                    if id in wanted:
                        found.add(id)
                    pending = one.metadata.num_pending if one.metadata.sequence.stream < last else 0
        finally:
            with suppress(*_nats_errors()):
                await subscription.unsubscribe()
        return found

    # Sending --------------------------------------------------------------------------------------------

    def _subject(self, message: Message) -> str:
        return subject_of(self._prefix, self._brand, message)

    async def _publish(self, client: "Client", messages: Sequence[Message]) -> Sent:
        from nats.errors import MaxPayloadError

        self._waves += 1
        wave = self._wave = _Wave(self._waves, messages)
        inbox = f"{self._inbox}.{self._waves}-"
        refused: list[tuple[Message, str]] = []
        now = self._clock()
        for no, message in enumerate(messages):
            headers = {
                "Nats-Msg-Id": message.key,
                "Nats-Expected-Stream": self._stream,
                "Content-Type": CONTENT_TYPE,
            }
            message.since = now if message.since is None else message.since
            try:
                await client.publish(self._subject(message), message.body, f"{inbox}{no}", headers)
            except MaxPayloadError:
                refused.append((message, f"{len(message.body):,} bytes are more than NATS takes"))
                wave.settle(no)
        await wave.wait(self._timeout_s)
        self._wave = None
        refused += [(messages[no], reason) for no, reason in wave.never]
        waiting = [message for no, message in enumerate(messages) if no in wave.open]
        reason = wave.reason or self._error
        if waiting and not reason:
            reason = f"no acknowledgement within {self._timeout_s:g} s"
        if wave.is_lost:
            await self.close()
        return Sent(waiting, reason, refused)

    async def _answered(self, message: "Msg") -> None:
        """An acknowledgement, or why there is none."""
        wave = self._wave
        serial, _, no = message.subject[len(self._inbox) + 1 :].partition("-")
        if wave is not None and serial == str(wave.serial):
            wave.answer(int(no), message)

    # Troubles -------------------------------------------------------------------------------------------

    async def _heard(self, error: Exception) -> None:
        """What the server, or the client, says between the answers."""
        self._error = _text(error)
        if self._wave is not None and "permissions violation" in self._error.lower():
            self._wave.lose(self._error)

    async def _lost(self) -> None:
        if self._wave is not None:
            self._wave.is_lost = True
            self._wave.lose("the connection was lost")

    async def _broken(self, error: BaseException) -> TargetError:
        """After it nothing of the connection is used any more."""
        await self.close()
        return TargetError(self._error or _text(error))


class _Wave:
    """What is under way at once: ``open`` are the places of those without an answer, or with a bad one."""

    def __init__(self, serial: int, messages: Sequence[Message]) -> None:
        self.serial = serial
        self.open = dict.fromkeys(range(len(messages)))
        self.never: list[tuple[int, str]] = []
        self.reason = ""
        self.is_lost = False
        self._unanswered = len(messages)
        self._news = asyncio.Event()
        self._is_over = False

    def settle(self, no: int) -> None:
        if no in self.open:
            del self.open[no]
            self._heard_one()

    def answer(self, no: int, message: "Msg") -> None:
        data = message.data
        if b'"error"' not in data and b'"seq"' in data:
            return self.settle(no)
        try:
            error = orjson.loads(data)["error"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            error = {"description": "no stream takes it"}  # nobody listens: an empty answer of status 503
        if error.get("err_code") in _NEVER:
            self.never.append((no, str(error.get("description"))))
            return self.settle(no)
        self.reason = self.reason or str(error.get("description"))
        self._heard_one()
        return None

    def lose(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._is_over = True
        self._news.set()

    async def wait(self, timeout_s: float) -> None:
        """Returns when each has its answer, when the connection is lost, or when none came for so long."""
        while self._unanswered > 0 and not self._is_over:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return

    def _heard_one(self) -> None:
        self._unanswered -= 1
        self._news.set()


def _nats_errors() -> tuple[type[BaseException], ...]:
    import nats.errors

    return (nats.errors.Error, OSError, TimeoutError, ssl.SSLError, ValueError)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
