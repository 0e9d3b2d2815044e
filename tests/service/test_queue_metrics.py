"""The stream's figures in `/metrics` and `/readyz`: those of the last look, without asking the store."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from scanner.queue.status import GROUPS_MAX, read_status
from scanner.service import pressure
from scanner.service.metrics import ROW_BYTES, Cells, ServiceCollector
from scanner.service.pressure import QueueWatch
from scanner.service.queue_metrics import QueueCollector
from tests.brand import Brand, brand_in, campaign_toml
from tests.guarded import Guarded, guarded_store
from tests.ledger.test_acl import brand_as
from tests.phone import scan_request
from tests.queue.older_users import take_from
from tests.running import PATIENCE_S, Running, eventually, running, serving

DOCUMENT = Path(__file__).parents[2] / "docs" / "watching.md"
DAY_S = 86_400
Found = dict[tuple[str, ...], float]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "LOOK_EVERY_S", 0.05)


def read(text: str) -> Found:
    """(name, labels) → value, as Prometheus reads it; each once."""
    found = [
        ((sample.name, *sample.labels.values()), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def printed(watch: QueueWatch) -> Found:
    registry = CollectorRegistry()
    registry.register(QueueCollector(watch))
    return read(generate_latest(registry).decode())


async def metrics(run: Running) -> Found:
    return read((await run.operations("/metrics"))[1])


async def part(run: Running) -> tuple[int, str]:
    status, text = await run.operations("/readyz")
    return status, orjson.loads(text)["parts"]["queue"]


@asynccontextmanager
async def watched(brand: Brand, **settings: int) -> AsyncIterator[QueueWatch]:
    """A watch that has looked once."""
    watch = QueueWatch(
        brand.store, brand.settings.model_copy(update=settings), Cells(bytearray(ROW_BYTES), 0)
    )
    await watch.look()
    assert watch.status is not None
    yield watch


async def furnish(brand: Brand) -> None:
    """A stream of yesterday's entries with an archive and a group that has all that a group can have."""
    ask, keys = brand.store.client.execute_command, brand.store.keys
    seconds, _ = await brand.store.client.time()
    for n in range(100):
        await ask("XADD", keys.events, f"{(seconds - DAY_S) * 1000 + n}-0", "type", "x", "at", "1")
    await ask("XGROUP", "CREATE", keys.events, "points", "0")
    await ask("XGROUP", "CREATE", keys.events, "archive", "0")
    await ask("XREADGROUP", "GROUP", "points", "one", "COUNT", 10, "STREAMS", keys.events, ">")
    await ask("XREADGROUP", "GROUP", "archive", "one", "COUNT", 40, "STREAMS", keys.events, ">")
    await ask("XADD", keys.dead("points"), "*", "type", "x")
    await ask("XADD", keys.again("points"), "*", "type", "x")


async def test_a_group_that_stopped_for_a_day_shows(tmp_path: Path) -> None:
    """While scans arrive and another group keeps up."""
    async with brand_in(tmp_path / "data", log_level="error") as brand:
        await furnish(brand)
        ask, keys = brand.store.client.execute_command, brand.store.keys
        await brand.apply(campaign_toml())
        lot = await brand.lot(20)
        async with serving(brand) as run:
            await ask("XGROUP", "CREATE", keys.events, "cash", "$")
            codes = brand.codes(lot, range(20))
            replies = await run.scan_all([scan_request(brand.token("alice"), code) for code in codes], 4)
            assert {reply.outcome for reply in replies} == {"accepted"}
            await ask("XREADGROUP", "GROUP", "cash", "one", "STREAMS", keys.events, ">")
            await ask("XGROUP", "SETID", keys.events, "cash", "$")
            for entry in await brand.store.client.xrange(keys.events, "-", "+", count=1000):
                await ask("XACK", keys.events, "cash", entry[0])
            entries = await brand.store.client.xlen(keys.events)

            async def shows() -> bool:
                found = await metrics(run)
                return (
                    found.get(("scanner_queue_lag_entries", "points")) == entries - 10
                    and found.get(("scanner_queue_pending", "cash")) == 0
                )

            await eventually(shows)
            found = await metrics(run)
            assert found["scanner_queue_lag_exact", "points"] == 1
            assert DAY_S <= found["scanner_queue_oldest_seconds", "points"] < DAY_S + 600
            assert found["scanner_queue_pending", "points"] == 10
            assert found["scanner_queue_dead_letters", "points"] == 1
            assert found["scanner_queue_retries", "points"] == 1
            assert found["scanner_queue_consumers", "points"] == 1
            assert 0 <= found["scanner_queue_idle_seconds", "points"] < 600
            for name in ("lag_entries", "oldest_seconds", "pending", "dead_letters", "retries"):
                assert found[f"scanner_queue_{name}", "cash"] == 0
            assert found["scanner_archive_kept",] == 1
            assert found["scanner_archive_lag_entries",] == entries - 40
            assert DAY_S <= found["scanner_archive_lag_seconds",] < DAY_S + 600
            assert found["scanner_stream_entries",] == found["scanner_stream_entries_added_total",] == entries
            assert found["scanner_stream_bytes",] > 1000
            assert found["scanner_store_memory_bytes",] > 500_000
            assert found["scanner_queue_groups",] == 3
            assert found["scanner_queue_figures_age_seconds",] < 600
            assert await part(run) == (200, "ok")  # there is room: nobody is held up yet


async def test_a_store_that_hangs_holds_up_neither_metrics_nor_readiness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say what was seen last, and how long ago."""
    monkeypatch.setattr(pressure, "STALE_AFTER_S", 0.5)
    async with brand_in(tmp_path / "data", log_level="error") as brand:
        await furnish(brand)
        async with serving(brand) as run:
            before = await metrics(run)
            pid = run.embedded.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            try:

                async def is_stale() -> bool:
                    async with asyncio.timeout(PATIENCE_S):
                        return "not known (as of" in (await part(run))[1]

                await eventually(is_stale)
                async with asyncio.timeout(PATIENCE_S):
                    found = await metrics(run)
                assert found["scanner_queue_figures_age_seconds",] > 0.5
                for name in ("lag_entries", "pending", "dead_letters"):
                    key = f"scanner_queue_{name}", "points"
                    assert found[key] == before[key]
            finally:
                os.kill(pid, signal.SIGCONT)

            async def is_fresh() -> bool:
                return await part(run) == (200, "ok")

            await eventually(is_fresh)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded_store(tmp_path / "store") as store:
        yield store


async def test_a_store_user_of_before_the_watch(guarded: Guarded, tmp_path: Path) -> None:
    """An upgrade must not stop a brand whose ACL is older: it serves, and says what it does not know."""
    await take_from(guarded, "service", "memory|usage", "xinfo|groups", "xinfo|consumers", "xpending")
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(campaign_toml())
        lot = await operator.lot(2)
        await guarded.admin.execute_command("XGROUP", "CREATE", operator.store.keys.events, "points", "0")
        async with brand_as("service", guarded, tmp_path) as brand, serving(brand) as run:
            status, text = await part(run)
            assert status == 200
            assert text == (
                "not known in part: the store refuses MEMORY USAGE, XINFO GROUPS to this user; "
                "`scanner store acl` makes its line anew"
            )
            found = await metrics(run)
            assert found["scanner_queue_commands_refused",] == 2
            assert found["scanner_queue_groups",] == found["scanner_queue_groups_not_shown",] == 1
            assert found["scanner_stream_entries",] == 3
            assert found["scanner_store_memory_bytes",] > 500_000
            for name in ("scanner_stream_bytes", "scanner_archive_kept"):
                assert (name,) not in found
            assert (await run.scan("alice", operator.code(lot, 0))).outcome == "accepted"
            # The store's own limit is watched all the same.
            await guarded.admin.execute_command("CONFIG", "SET", "maxmemory", 500_000)

            async def is_full() -> bool:
                return (await part(run))[0] == 503

            await eventually(is_full)
            assert "who holds it up is not known" in (await part(run))[1]
            await guarded.admin.execute_command("CONFIG", "SET", "maxmemory", 0)
            await eventually(run.is_ready)
            await guarded.give_all("service")

            async def knows_all() -> bool:
                return await part(run) == (200, "ok")

            await eventually(knows_all)
            assert ("scanner_queue_lag_entries", "points") in await metrics(run)


@pytest.mark.parametrize("command", ["xpending", "xinfo|consumers"])
async def test_groups_of_which_not_all_is_known_are_not_shown(
    guarded: Guarded, tmp_path: Path, command: str
) -> None:
    """Half a figure would be taken for a whole one: no pending entry, and so no old one."""
    async with brand_as("operator", guarded, tmp_path) as operator:
        await operator.apply(campaign_toml())
        ask, events = guarded.admin.execute_command, operator.store.keys.events
        await ask("XGROUP", "CREATE", events, "points", "0")
        await ask("XREADGROUP", "GROUP", "points", "a", "STREAMS", events, ">")
        await take_from(guarded, "service", command)
        async with brand_as("service", guarded, tmp_path) as brand:
            found = await read_status(brand.store, brand.settings)
    assert (found.groups, found.refused) == (None, (command.replace("|", " ").upper(),))


async def test_before_the_first_look_there_are_no_figures(brand: Brand) -> None:
    watch = QueueWatch(brand.store, brand.settings, Cells(bytearray(ROW_BYTES), 0))
    assert printed(watch) == {
        ("scanner_queue_figures_age_seconds",): inf,
        **{
            (f"scanner_queue_{name}_limit", limit): 0
            for name in ("near", "at")
            for limit in ("stream", "memory")
        },
    }


async def test_labels_are_bounded_and_whatever_a_group_is_called(brand: Brand) -> None:
    ask, events = brand.store.client.execute_command, brand.store.keys.events
    await ask("XADD", events, "1-0", "type", "x", "at", "1")
    for name in (b'"}\nscanner_live 0\n#', b"\xff", b"\\xff", "积分".encode(), b"x" * 5000):
        await ask("XGROUP", "CREATE", events, name, "0")
    for n in range(2 * GROUPS_MAX):
        await ask("XGROUP", "CREATE", events, f"y{n}", "0")
    async with watched(brand) as watch:
        found = printed(watch)
    assert len([key for key in found if key[0] == "scanner_queue_lag_entries"]) == GROUPS_MAX
    assert found["scanner_queue_groups",] == 2 * GROUPS_MAX + 5
    # Two names that look alike count as one that is shown.
    assert found["scanner_queue_groups_not_shown",] == GROUPS_MAX + 5
    assert ("scanner_live",) not in found
    assert max(len(label) for _, *labels in found for label in labels) <= 64


def documented() -> list[str]:
    """The metrics that the tables of the document name, in the first column."""
    rows = re.findall(r"^\| `(scanner_\w+)(?:\{\w+\})?` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return list(rows)


async def every_metric(brand: Brand) -> set[str]:
    """Of a service that knows all that there is to know, as its samples are named."""
    await furnish(brand)
    async with watched(brand, stream_max_bytes=1 << 30) as watch:
        registry = CollectorRegistry()
        registry.register(ServiceCollector([Cells(bytearray(ROW_BYTES), 0)]))
        registry.register(QueueCollector(watch))
        text = generate_latest(registry).decode()
    names = set()
    for family in text_string_to_metric_families(text):
        names |= {family.name} if family.type == "histogram" else {sample.name for sample in family.samples}
    return names


async def test_the_document_has_every_metric_and_no_other(brand: Brand) -> None:
    rows = documented()
    assert len(set(rows)) == len(rows)
    assert set(rows) == await every_metric(brand)


async def test_the_running_service_prints_them(tmp_path: Path) -> None:
    """And not another set than the one that is compared with the document."""
    async with running(tmp_path / "data", log_level="error") as run:
        await furnish(run.brand)

        async def shows() -> bool:
            return (await metrics(run)).get(("scanner_queue_retries", "points")) == 1  # the last of it

        await eventually(shows)
        found = {key[0] for key in await metrics(run)}
    assert {re.sub(r"^(scanner_request_seconds)_(bucket|count|sum)$", r"\1", name) for name in found} == set(
        documented()
    )


def test_the_alerts_are_about_metrics_that_there_are() -> None:
    [rules] = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    expressions = re.findall(r"expr: (.*)", rules)
    assert len(expressions) == len(re.findall(r"- alert: \w+", rules)) > 10
    named = {name for expression in expressions for name in re.findall(r"scanner_\w+", expression)}
    assert named - set(documented()) == set()
