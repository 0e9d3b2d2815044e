"""The broker that librdkafka brings for tests, out of the wheel confluent-kafka: no Kafka, a stand-in.

It speaks Kafka's protocol over a socket of loopback, knows producer ids, keeps what it takes in memory, and
can be told to answer with errors. It checks no sequence numbers as Kafka does, and forgets all at its end.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution

import confluent_kafka  # noqa: F401 (loads what the library needs)
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

PRODUCE, METADATA, INIT_PRODUCER_ID = 0, 3, 22
NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED, NOT_LEADER = 19, 10, 29, 6
PARTITIONS = 4
_PRODUCER = 0


def _library() -> ctypes.CDLL:
    [path] = [
        file.locate()
        for file in distribution("confluent-kafka").files or ()
        if file.name.startswith("librdkafka") and "libs" in file.parts[0]
    ]
    library = ctypes.CDLL(str(path))
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_new.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    library.rd_kafka_destroy.argtypes = (ctypes.c_void_p,)
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.rd_kafka_mock_cluster_destroy.argtypes = (ctypes.c_void_p,)
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = (ctypes.c_void_p,)
    library.rd_kafka_mock_topic_create.argtypes = (
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_int,
    )
    library.rd_kafka_mock_broker_set_down.argtypes = (ctypes.c_void_p, ctypes.c_int32)
    library.rd_kafka_mock_broker_set_up.argtypes = (ctypes.c_void_p, ctypes.c_int32)
    library.rd_kafka_mock_push_request_errors_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t),
        ctypes.POINTER(ctypes.c_int),
    )
    return library


class MockBroker:
    """One broker, and one topic on it."""

    def __init__(self, library: ctypes.CDLL, cluster: int, topic: str) -> None:
        self._library, self._cluster = library, cluster
        self.topic = topic
        self.server = library.rd_kafka_mock_cluster_bootstraps(cluster).decode().split(",")[0]
        assert library.rd_kafka_mock_topic_create(cluster, topic.encode(), PARTITIONS, 1) == 0

    def answer(self, request: int, *errors: int) -> None:
        """The next requests of the kind are answered with these errors, one after another."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), codes)

    def down(self) -> None:
        """It breaks its connections, and takes no new ones."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def up(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    async def records(self) -> list[ConsumerRecord]:
        """All that it has, partition after partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.server, auto_offset_reset="earliest")
        await consumer.start()
        try:
            parts = [TopicPartition(self.topic, no) for no in range(PARTITIONS)]
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            found: list[ConsumerRecord] = []
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
            return sorted(found, key=lambda one: (one.partition, one.offset))
        finally:
            await consumer.stop()

    async def ids(self) -> list[str]:
        """The same by their ``ce_id``."""
        return [dict(record.headers)["ce_id"].decode() for record in await self.records()]


@contextmanager
def mock_broker(topic: str = "scans") -> Iterator[MockBroker]:
    library = _library()
    text = ctypes.create_string_buffer(512)
    handle = library.rd_kafka_new(_PRODUCER, None, text, len(text))
    assert handle, text.value
    cluster = library.rd_kafka_mock_cluster_new(handle, 1)
    try:
        yield MockBroker(library, cluster, topic)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(handle)
