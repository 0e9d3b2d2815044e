"""The bridge to Kafka: an idempotent producer, all replicas' acknowledgement, one partition for a member.

The broker removes what one producer sends twice. After an error or a time-out that aiokafka does not mend by
itself the bridge makes a new producer, as it does after a kill: then what was under way is sent once more, at
most ``--batch`` messages, with the same ``ce_id``. Who reads the topic keeps to that.
"""

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

from scanner.errors import missing
from scanner.queue.bridges.bridge import CLOSE_S, Message, Sent, TargetError, text_of
from scanner.queue.form.cloudevents import CONTENT_TYPE, headers_of

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

Mode = Literal["structured", "binary"]
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
REQUEST_TIMEOUT_S = 10.0
LINGER_MS = 2
PARTITION_BYTES_MAX = 256 << 10
MESSAGE_BYTES_MAX = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """How to reach Kafka."""

    servers: tuple[str, ...]
    mechanism: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"bootstrap_servers": list(self.servers)}
        protocol = "SSL" if self.tls else "PLAINTEXT"
        if self.mechanism:
            protocol = f"SASL_{protocol}"
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return {**options, "security_protocol": protocol, "ssl_context": self.tls}


class KafkaTarget:
    """One topic. One producer at a time; a new one after each trouble, because an idempotent producer that
    has given a message up does not know any more which numbers the broker has seen."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        topic: str,
        brand: str,
        mode: Mode = "structured",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        try:
            import aiokafka  # noqa: F401 (only whether it is there)
        except ImportError:
            raise missing("aiokafka", "the bridge to Kafka", "kafka") from None
        self.name = f"Kafka topic {topic}"
        self._brokers = brokers
        self._topic = topic
        self._brand = brand
        self._mode = mode
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._alone: set[str] = set()

    async def check(self) -> None:
        await self._open()

    async def send(self, wave: Sequence[Message]) -> Sent:
        done: set[str] = set()
        refused: list[tuple[Message, str]] = []
        reason = ""
        for part in self._parts(wave):
            try:
                producer = await self._open()
            except TargetError as error:
                if not done:
                    raise
                reason = str(error)  # what the parts before have brought is kept
                break
            errors = await self._errors(producer, part)
            done |= {message.key for message in part} - errors.keys()
            if not errors:
                continue
            await self.close()
            too_large = {key for key, error in errors.items() if _is_too_large(error)}
            if len(part) == 1 and too_large:
                refused.append((part[0], f"{len(part[0].body):,} bytes are more than Kafka takes"))
                done |= too_large
                continue
            self._alone = too_large
            reason = text_of(next(iter(errors.values())))
            break
        gone = {message.key for message, _ in refused}
        self._alone -= gone
        return Sent([message for message in wave if message.key not in done], reason, refused)

    def _parts(self, wave: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """What is sent together. A broker refuses a batch of messages as a whole: those of one that was too
        large are tried one by one, so that only what is too large by itself is refused."""
        if together := [message for message in wave if message.key not in self._alone]:
            yield together
        for message in [message for message in wave if message.key in self._alone]:
            yield [message]

    async def _errors(
        self, producer: "AIOKafkaProducer", part: Sequence[Message]
    ) -> dict[str, BaseException]:
        """What was not acknowledged, and why."""
        wait_s = 3 * self._timeout_s
        late = TargetError(f"no acknowledgement within {wait_s:g} s")
        errors: dict[str, BaseException] = dict.fromkeys((message.key for message in part), late)
        sent: dict[str, asyncio.Future[Any]] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                for message in part:
                    key, value, headers = self._record(message)
                    try:
                        sent[message.key] = await producer.send(
                            self._topic, value, key=key, timestamp_ms=message.event.at, headers=headers
                        )
                    except _kafka_errors() as error:
                        errors[message.key] = error
                if sent:
                    await asyncio.wait(sent.values())
        for name, future in sent.items():
            if future.done() and not future.cancelled():
                failure = future.exception()
                if failure is None:
                    del errors[name]
                else:
                    errors[name] = failure
        return errors

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):  # of what it had under way everything is said already
                async with asyncio.timeout(CLOSE_S):
                    await producer.stop()

    async def _open(self) -> "AIOKafkaProducer":
        if self._producer is not None:
            return self._producer
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(
            **self._brokers.options(),
            client_id=f"scanner-bridge-{self._brand}",
            enable_idempotence=True,
            acks="all",
            linger_ms=LINGER_MS,
            max_batch_size=PARTITION_BYTES_MAX,
            max_request_size=MESSAGE_BYTES_MAX,
            request_timeout_ms=round(self._timeout_s * 1000),
        )
        self._producer = producer
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                await producer.start()
        except _kafka_errors() as error:
            await self.close()
            raise TargetError(text_of(error)) from None
        except BaseException:
            await self.close()
            raise
        return producer

    def _record(self, message: Message) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        """Key, value and headers, as the Kafka binding of CloudEvents has them."""
        event = message.event
        if self._mode == "binary":
            attributes = headers_of(event, self._brand, event.partition, binding="kafka")
            headers = [(name, value.encode()) for name, value in attributes.items()]
            value = orjson.dumps(event.data())
        else:
            headers = [("content-type", CONTENT_TYPE.encode()), ("ce_id", message.key.encode())]
            value = message.body
        return message.order.partition("/")[2].encode(), value, headers


def _kafka_errors() -> tuple[type[BaseException], ...]:
    from aiokafka.errors import KafkaError

    return (KafkaError, OSError, TimeoutError, ssl.SSLError)


def _is_too_large(error: BaseException) -> bool:
    from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

    return isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError)
