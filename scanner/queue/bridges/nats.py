"""The bridge to NATS JetStream: each event once in the target's stream, however often the bridge is killed.

The server forgets message ids after the stream's duplicate window (two minutes where nobody says otherwise).
A message that may have been sent longer ago, by a life of this bridge that was killed or before the server
was away, is therefore looked up in the target's stream first, among what has come there since. That holds for
a stream that keeps messages after they were read, and for what the group has read before: to a group that is
made anew every event is new, and its copies are told only within the window.
"""

import asyncio
import math
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.errors import missing
from scanner.queue.bridges.bridge import CLOSE_S, Message, Sent, TargetError, TargetRefusedError, text_of
from scanner.queue.bridges.nats_earlier import keys_there, may_be_forgotten
from scanner.queue.bridges.nats_wave import Wave
from scanner.queue.form.cloudevents import CONTENT_TYPE

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

DUPLICATE_WINDOW_S = 120.0
TIMEOUT_S = 5.0


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
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        try:
            import nats  # noqa: F401 (only whether it is there)
        except ImportError:
            raise missing("nats-py", "the bridge to NATS", "nats") from None
        self.name = f"NATS stream {stream}"
        self._connection = connection
        self._stream = stream
        self._prefix, self._brand = prefix, brand
        self._create = create
        self._timeout_s = timeout_s
        self._clock = clock
        self._client: Client | None = None
        self._inbox = ""
        self._wave: Wave | None = None
        self._waves = 0
        self._window_s = DUPLICATE_WINDOW_S
        self._keeps_what_was_read = True
        self._error = ""

    async def check(self) -> None:
        await self._open()

    async def send(self, wave: Sequence[Message]) -> Sent:
        client = await self._open()
        try:
            old = [message for message in wave if self._may_be_forgotten(message)]
            there = await self._look_up(client, old)
        except _nats_errors() as error:
            raise await self._broken(error) from None
        for message in old:
            message.since = None  # it is there, or nobody has sent it
        missing = [one for one in wave if one.key not in there]
        try:
            return await self._publish(client, missing)
        except _nats_errors() as error:  # what was found is not sent again
            return Sent(missing, str(await self._broken(error)))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(*_nats_errors()):
                async with asyncio.timeout(CLOSE_S):  # it would wait for a server that reads no more
                    await client.close()

    async def _open(self) -> "Client":
        if self._client is not None and self._client.is_connected:
            return self._client
        from nats.aio.client import Client

        await self.close()
        self._error = ""
        client = self._client = Client()
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.connect(
                    **self._connection.options(),
                    name=f"scanner bridge of {self._brand}",
                    allow_reconnect=False,  # a new connection is ours to make, after our own waits
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=math.ceil(self._timeout_s),
                    pending_size=0,  # else publishing waits, without end, for a server that reads no more
                    error_cb=self._heard,
                    disconnected_cb=self._lost,
                    closed_cb=self._lost,
                )
            self._inbox = client.new_inbox()
            await client.subscribe(
                f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
            )
            await self._look_at_stream(client.jetstream(timeout=self._timeout_s))
        except BaseException as error:
            broken = await self._broken(error)
            if isinstance(error, TargetError) or not isinstance(error, Exception):
                raise
            if "authorization violation" in f"{broken} {error}".lower():
                raise TargetRefusedError("NATS does not let this user in") from None
            raise broken from None  # whatever the library makes of what a stranger has said
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

    def _may_be_forgotten(self, message: Message) -> bool:
        """Whether it may be in the stream, its id no longer in the server's memory, and a look can tell."""
        if message.since is None or not self._keeps_what_was_read:
            return False
        return may_be_forgotten(message.since, self._clock(), self._window_s)

    async def _look_up(self, client: "Client", messages: Sequence[Message]) -> set[str]:
        """Which of them are in the stream."""
        if not messages:
            return set()
        return await keys_there(
            client.jetstream(timeout=self._timeout_s),
            self._stream,
            {self._subject(message) for message in messages},
            {message.key for message in messages},
            min(message.since or 0.0 for message in messages),
        )

    def _subject(self, message: Message) -> str:
        return subject_of(self._prefix, self._brand, message)

    async def _publish(self, client: "Client", messages: Sequence[Message]) -> Sent:
        self._waves += 1
        wave = self._wave = Wave(self._waves, len(messages))
        now = self._clock()
        for place, message in enumerate(messages):
            headers = {
                "Nats-Msg-Id": message.key,
                "Nats-Expected-Stream": self._stream,
                "Content-Type": CONTENT_TYPE,
            }
            size = len(message.body) + _bytes_of(headers)
            if size > client.max_payload:  # the server would break the connection, each time
                wave.refuse(place, f"{size:,} bytes are more than NATS takes")
                continue
            message.since = now if message.since is None else message.since
            answer_to = f"{self._inbox}.{self._waves}-{place}"
            await client.publish(self._subject(message), message.body, answer_to, headers)
        await wave.wait(self._timeout_s)
        self._wave = None
        waiting = [messages[place] for place in wave.open]
        reason = wave.reason or self._error
        if waiting and not reason:
            reason = f"no acknowledgement within {self._timeout_s:g} s"
        if wave.is_lost or wave.is_silent:
            await self.close()
        return Sent(waiting, reason, [(messages[place], why) for place, why in wave.never])

    async def _answered(self, message: "Msg") -> None:
        """An acknowledgement, or why there is none."""
        wave = self._wave
        serial, _, place = message.subject[len(self._inbox) + 1 :].partition("-")
        if wave is not None and serial == str(wave.serial) and place.isdecimal():
            wave.answer(int(place), message.data)

    async def _heard(self, error: Exception) -> None:
        """What the server, or the client, says between the answers."""
        self._error = text_of(error)
        if self._wave is not None and "permissions violation" in self._error.lower():
            self._wave.lose(self._error)

    async def _lost(self) -> None:
        if self._wave is not None:
            self._wave.lose("the connection was lost")

    async def _broken(self, error: BaseException) -> TargetError:
        """After it nothing of the connection is used any more."""
        await self.close()
        is_late = isinstance(error, TimeoutError)
        why = f"no answer within {self._timeout_s:g} s" if is_late else text_of(error)
        return TargetError(self._error or why)


def _bytes_of(headers: Mapping[str, str]) -> int:
    """How long they are on their way: ``max_payload`` counts them too."""
    lines = (f"{name}: {text}\r\n" for name, text in headers.items())
    return len(f"NATS/1.0\r\n{''.join(lines)}\r\n".encode())


def _nats_errors() -> tuple[type[BaseException], ...]:
    import nats.errors

    return (nats.errors.Error, OSError, TimeoutError, ssl.SSLError, ValueError)
