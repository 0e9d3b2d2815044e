"""The stream's figures in the form that Prometheus reads: those of the last look, and how old they are.

What is not known is left out. `docs/watching.md` says what each is for.
"""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scanner.ledger.watermark import entry_id
from scanner.queue.limits import Level
from scanner.queue.status import GroupStatus, QueueStatus
from scanner.service.pressure import QueueWatch

LIMITS = ("stream", "memory")


class QueueCollector(Collector):
    """Of a watch over the stream, without asking the store."""

    def __init__(self, watch: QueueWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        watch = self._watch
        yield _gauge("queue_figures_age_seconds", "Age of these figures; infinite: none", watch.age_s)
        for name, text, least in (
            ("near_limit", "Whether 80 % of a limit are taken", Level.NEAR),
            ("at_limit", "Whether claims are refused for a limit's sake", Level.FULL),
        ):
            family = GaugeMetricFamily(f"scanner_queue_{name}", text, labels=["limit"])
            for limit in LIMITS:
                family.add_metric([limit], int(watch.level(limit) >= least))
            yield family
        if watch.status is not None:
            yield from _of_stream(watch.status)
            yield from _of_archive(watch.status)
            yield from _of_groups(watch.status)


def _of_stream(status: QueueStatus) -> Iterator[Metric]:
    for name, text, value in (
        ("stream_entries", "Entries of the stream", status.entries),
        ("stream_first_seconds", "Age of the stream's first entry", status.first_s),
        ("stream_last_seconds", "Age of the stream's last entry", status.last_s),
        ("stream_bytes", "Memory of the stream, by a sample of it", status.stream_bytes),
        ("stream_limit_bytes", "Most memory of the stream; 0: no limit", status.stream_max_bytes),
        ("store_memory_bytes", "Memory of the store, as it compares it with its limit", status.memory_bytes),
        ("store_memory_limit_bytes", "The store's maxmemory; 0: no limit", status.memory_limit_bytes),
        ("queue_groups", "Consumer groups of the stream", status.groups_count),
        (
            "queue_groups_not_shown",
            "Groups without figures: there are too many, or the store's user may not ask for them",
            status.groups_count - len(status.groups or ()),
        ),
        (
            "queue_commands_refused",
            "Commands of the watch that the store's user may not run",
            len(status.refused),
        ),
    ):
        if value is not None:
            yield _gauge(name, text, value)
    yield CounterMetricFamily(
        "scanner_stream_entries_added", "Entries ever added to the stream", value=status.entries_added
    )


def _of_archive(status: QueueStatus) -> Iterator[Metric]:
    if status.groups is None:
        return
    archive = status.archive
    yield _gauge("archive_kept", "Whether the stream is archived", int(archive is not None))
    if archive is not None:
        yield _gauge("archive_lag_entries", "Entries that are not in the archive yet", archive.lag)
        if (age_s := _oldest_s(archive)) is not None:
            yield _gauge("archive_lag_seconds", "Age of the first of them", age_s)
        moment_s = entry_id(archive.position)[0] / 1000
        if moment_s:
            yield _gauge("archive_position_timestamp_seconds", "When its last entry was added", moment_s)


def _of_groups(status: QueueStatus) -> Iterator[Metric]:
    for name, text, value_of in _GROUP_FIGURES:
        family = GaugeMetricFamily(f"scanner_queue_{name}", text, labels=["group"])
        for group in status.groups or ():
            value = value_of(group)
            if value is not None:
                family.add_metric([group.name], value)
        yield family


def _oldest_s(group: GroupStatus) -> float | None:
    return 0 if group.oldest is None else group.oldest_s


_GROUP_FIGURES: tuple[tuple[str, str, Callable[[GroupStatus], float | None]], ...] = (
    ("lag_entries", "Entries not given to the group yet", lambda group: group.lag),
    ("lag_exact", "Whether that is certain; else at most so many", lambda group: group.lag_is_exact),
    ("pending", "Entries given to a consumer and not acknowledged", lambda group: group.pending),
    ("oldest_seconds", "Age of the first entry not finished; 0: none", _oldest_s),
    ("consumers", "Consumers that the group knows", lambda group: group.consumers),
    ("idle_seconds", "Time since any consumer has asked", lambda group: group.idle_s),
    ("dead_letters", "Entries that the group gave up on", lambda group: group.dead),
    ("retries", "Dead letters sent back and not finished yet", lambda group: group.again),
)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"scanner_{name}", text, value=value)
