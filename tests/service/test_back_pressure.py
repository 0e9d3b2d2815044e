"""No room: claims are refused before they are made, nothing accepted is lost, and it ends by itself."""

import os
import signal
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import orjson
import pytest

from scanner.queue.archive import read_archive
from scanner.queue.keeper import Keeper
from scanner.service import pressure
from scanner.service.worker import SWEEP_EVERY_S
from tests.brand import CODES, GRANTS, Brand, brand_in, campaign_toml
from tests.faults.asking import Shop, ask, ask_until_true
from tests.phone import scan_request
from tests.running import Running, eventually, running, serving
from tests.service.pools import http_to, locked
from tests.service.test_store_troubles import asks, outcome

LIMIT_BYTES = 150_000
LANES = pytest.mark.parametrize("fast_lane", [True, False])


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "LOOK_EVERY_S", 0.05)


async def looked_again(run: Running) -> None:
    """Returns after a look that began after this call."""
    watch, seen = run.supervisor._queue, run.supervisor._queue.status
    assert seen is not None

    async def is_newer() -> bool:
        now = watch.status
        return now is not None and now is not seen

    for _ in range(2):  # the first may have been under way
        await eventually(is_newer)
        seen = watch.status


async def part(run: Running) -> tuple[int, str]:
    status, text = await run.operations("/readyz")
    return status, orjson.loads(text)["parts"]["queue"]


async def metric(run: Running, name: str) -> float:
    _, text = await run.operations("/metrics")
    [value] = [line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


async def scan_some(run: Running, codes: Sequence[str]) -> dict[str, str]:
    """Code → outcome, of scans over several connections at once."""
    token = run.brand.token("alice")
    replies = await run.scan_all([scan_request(token, code) for code in codes], 8)
    for reply in replies:
        assert reply.outcome in ("accepted", "unavailable")
        assert (reply.status == 503) == ("retry-after" in reply.headers) == (reply.outcome == "unavailable")
    return dict(zip(codes, (reply.outcome for reply in replies), strict=True))


async def claimed(brand: Brand, lot: int) -> int:
    """How many codes of the lot have a claim in the store."""
    count = 0
    for bucket in range(40):
        count += await brand.store.client.execute_command("HLEN", brand.store.keys.claims(lot, bucket))
    return count


async def in_stream(brand: Brand, lot: int) -> set[int]:
    """The serials whose scans are in the stream."""
    found = await brand.store.client.xrange(brand.store.keys.events, "-", "+", count=100_000)
    scans = [fields for _, fields in found if fields[b"type"] == b"scan.accepted"]
    serials = [int(fields[b"serial"]) for fields in scans if int(fields[b"lot"]) == lot]
    assert len(set(serials)) == len(serials)
    return set(serials)


@LANES
async def test_the_stream_reaches_its_limit_and_is_trimmed(tmp_path: Path, fast_lane: bool) -> None:
    """Near, then at the limit, then unavailable with nothing lost; served again once there is room."""
    async with running(
        tmp_path / "data", workers=2, fast_lane=fast_lane, stream_max_bytes=LIMIT_BYTES, log_level="error"
    ) as run:
        brand, events = run.brand, run.brand.store.keys.events
        await brand.apply(campaign_toml())
        lot = await brand.lot(2560)
        codes, outcomes, seen = brand.codes(lot, range(2560)), {}, set()
        await brand.store.client.execute_command("XGROUP", "CREATE", events, "points", "0")
        await looked_again(run)
        assert await part(run) == (200, "ok")
        for start in range(0, 2560, 40):
            outcomes |= await scan_some(run, codes[start : start + 40])
            await looked_again(run)
            status, text = await part(run)
            seen.add(text.split(":")[0])
            if status == 503:
                break
            assert "unavailable" not in outcomes.values()
            near = await metric(run, 'scanner_queue_near_limit{limit="stream"}')
            assert near == text.startswith("near its limit: the stream takes ")
        assert seen == {"ok", "near its limit", "at its limit, claims are refused"}
        assert "of SCANNER_STREAM_MAX_BYTES" in text
        assert await metric(run, 'scanner_queue_at_limit{limit="stream"}') == 1
        assert await metric(run, 'scanner_queue_at_limit{limit="memory"}') == 0
        accepted = {serial for serial, code in enumerate(codes) if outcomes.get(code) == "accepted"}
        refused = codes[len(outcomes) : len(outcomes) + 80]
        assert set((await scan_some(run, refused)).values()) == {"unavailable"}
        refusals = len(refused) + list(outcomes.values()).count("unavailable")
        assert await metric(run, "scanner_refused_full_total") == refusals
        assert await in_stream(brand, lot) == accepted
        assert await claimed(brand, lot) == len(accepted)
        assert (await brand.audit()).differences == []

        # As the keeper does it, once the group has finished.
        last = (await brand.store.client.execute_command("XINFO STREAM", events))["last-generated-id"]
        await brand.store.client.execute_command("XTRIM", events, "MINID", "=", last)
        await eventually(run.is_ready)
        assert await part(run) == (200, "ok")
        assert set((await scan_some(run, refused)).values()) == {"accepted"}
        # Those that were accepted before the trim are claimed for ever.
        again = await run.scan_all([scan_request(brand.token("alice"), codes[n]) for n in accepted], 8)
        assert {reply.outcome for reply in again} == {"replayed"}


async def test_control_without_a_limit_scans_go_on(tmp_path: Path) -> None:
    async with running(tmp_path / "data", log_level="error") as run:
        brand = run.brand
        await brand.apply(campaign_toml())
        lot = await brand.lot(1200)
        assert set((await scan_some(run, brand.codes(lot, range(1200)))).values()) == {"accepted"}
        await looked_again(run)
        assert run.supervisor._queue.status is not None
        assert (run.supervisor._queue.status.stream_bytes or 0) > LIMIT_BYTES
        assert await part(run) == (200, "ok")


async def test_the_group_that_holds_the_stream_up_is_named(tmp_path: Path) -> None:
    async with running(tmp_path / "data", stream_max_bytes=20_000, stream_keep_s=0, log_level="error") as run:
        brand, events = run.brand, run.brand.store.keys.events
        ask = brand.store.client.execute_command
        await brand.apply(campaign_toml())
        lot = await brand.lot(200)
        await scan_some(run, brand.codes(lot, range(200)))
        await looked_again(run)
        assert "nothing is archived, so nothing is trimmed: run `scanner queue keep`" in (await part(run))[1]
        await ask("XGROUP", "CREATE", events, "archive", "$")
        await looked_again(run)
        assert "kept for SCANNER_STREAM_KEEP_S, 0 s, and no group is further behind" in (await part(run))[1]
        await ask("XGROUP", "CREATE", events, "points", "0")
        await ask("XREADGROUP", "GROUP", "points", "a", "COUNT", 3, "STREAMS", events, ">")
        await looked_again(run)
        status, text = await part(run)
        assert status == 503
        entries = await brand.store.client.xlen(events)
        assert f"group points holds it up, {entries - 3} entries behind and 3 unfinished, the oldest" in text
        run.supervisor._queue._settings = run.supervisor.settings.model_copy(
            update={"stream_max_bytes": 20_000, "stream_keep_s": 3600}
        )
        assert "kept for SCANNER_STREAM_KEEP_S, 3600 s, and no group" in (await part(run))[1]


async def test_the_keeper_makes_room(tmp_path: Path) -> None:
    """The whole round: a group stops, the stream fills, the group catches up, the keeper trims."""
    async with running(tmp_path / "data", stream_max_bytes=60_000, stream_keep_s=0, log_level="error") as run:
        brand, events = run.brand, run.brand.store.keys.events
        ask = brand.store.client.execute_command
        await brand.apply(campaign_toml())
        lot = await brand.lot(640)
        codes = brand.codes(lot, range(640))
        await ask("XGROUP", "CREATE", events, "points", "0")
        outcomes = await scan_some(run, codes[:620])
        await looked_again(run)
        assert set((await scan_some(run, codes[620:])).values()) == {"unavailable"}
        keeper = Keeper(brand.store, tmp_path / "archive", every_s=1, keep_s=0)
        try:
            kept = await keeper.keep()
            assert (kept.trimmed, kept.held_by) == (0, "points")
            await looked_again(run)
            assert "group points holds it up" in (await part(run))[1]
            [[_, given]] = await ask("XREADGROUP", "GROUP", "points", "a", "STREAMS", events, ">")
            await ask("XACK", events, "points", *(entry for entry, _ in given))

            async def makes_room() -> bool:
                await keeper.keep()
                return await run.is_ready()

            await eventually(makes_room)
        finally:
            keeper.close()
        archived = {fields[b"id"] for _, fields in read_archive(tmp_path / "archive") if b"id" in fields}
        accepted = list(outcomes.values()).count("accepted")
        assert len(archived) == accepted
        assert set((await scan_some(run, codes[620:])).values()) == {"accepted"}


async def test_a_rush_that_is_larger_than_the_limit(tmp_path: Path) -> None:
    """Whoever is refused tries again: in the end each code is accepted once, and its event was read once."""
    async with running(
        tmp_path / "data", workers=2, stream_max_bytes=60_000, stream_keep_s=0, log_level="error"
    ) as run:
        brand, events = run.brand, run.brand.store.keys.events
        ask = brand.store.client.execute_command
        await brand.apply(campaign_toml())
        lot = await brand.lot(1280)
        waiting, read, times_full = brand.codes(lot, range(1280)), [], 0
        await ask("XGROUP", "CREATE", events, "points", "0")
        keeper = Keeper(brand.store, tmp_path / "archive", every_s=1, keep_s=0)

        async def reads_and_keeps() -> bool:
            found = await ask("XREADGROUP", "GROUP", "points", "a", "STREAMS", events, ">")
            for entry, fields in found[0][1] if found else ():
                read.append(fields)
                await ask("XACK", events, "points", entry)
            await keeper.keep()
            return await run.is_ready()

        try:
            while waiting:
                outcomes = await scan_some(run, waiting[:200])
                refused = [code for code, outcome in outcomes.items() if outcome == "unavailable"]
                waiting = refused + waiting[200:]
                if refused:
                    times_full += 1
                    await eventually(reads_and_keeps)
            await eventually(reads_and_keeps)
        finally:
            keeper.close()
        assert times_full > 1
        serials = [int(of[b"serial"]) for of in map(dict, read) if of[b"type"] == b"scan.accepted"]
        assert sorted(serials) == list(range(1280))
        archived = [fields[b"id"] for _, fields in read_archive(tmp_path / "archive") if b"id" in fields]
        assert len(archived) == len(set(archived)) == 1280


async def test_memory_near_the_stores_own_limit(tmp_path: Path) -> None:
    """Refused while the store still has room for acknowledgements, trims and the archive's steps."""
    async with running(tmp_path / "data", log_level="error") as run:
        shop, ask_store = await Shop.open(run.brand), run.brand.store.client.execute_command
        await ask_store("XGROUP", "CREATE", run.brand.store.keys.events, "points", "0")
        used = int((await run.brand.store.client.info("memory"))["used_memory"])
        await ask_store("CONFIG", "SET", "maxmemory", used * 100 // 88)
        await looked_again(run)
        status, text = await part(run)
        assert (status, text.split(":")[0]) == (200, "near its limit")
        assert "of its maxmemory" in text
        await ask_store("CONFIG", "SET", "maxmemory", used * 1000 // 975)

        async def is_full() -> bool:
            return (await part(run))[0] == 503

        await eventually(is_full)
        questions = shop.questions()
        answers = {asked.question.kind: asked for asked in await ask(run.port, questions)}
        assert [asked.fault for asked in answers.values() if asked.fault] == []
        for kind in ("a first scan", "a repeated scan", "somebody else's code", "a batch", "a draw"):
            assert answers[kind].outcome == "unavailable", kind
        for kind in ("a forgery", "a look-up", "a look-up of a free code"):
            assert answers[kind].is_true, kind
        # The store takes what makes room.
        events = run.brand.store.keys.events
        [[_, given]] = await ask_store("XREADGROUP", "GROUP", "points", "a", "STREAMS", events, ">")
        assert await ask_store("XACK", events, "points", given[0][0]) == 1
        await ask_store("CONFIG", "SET", "maxmemory", 0)
        assert await ask_until_true(run.port, questions) == []
        await eventually(run.is_ready)
        assert (await run.brand.audit()).differences == []


async def test_a_service_that_starts_without_room_takes_nothing_from_the_first_claim_on(
    tmp_path: Path,
) -> None:
    """Nor does a worker that is started again, or one that replaces another."""
    # With a drain: a phone may come to the worker that is being replaced.
    async with brand_in(tmp_path / "data", stream_max_bytes=1, log_level="error", drain_s=30) as brand:
        await brand.apply(campaign_toml())
        lot = await brand.lot(50)
        codes = iter(brand.codes(lot, range(50)))
        async with serving(brand) as run:  # `scanner serve --replace` waits for no more than this either

            async def refuses() -> None:
                assert (await run.scan("alice", next(codes))).outcome == "unavailable"

            await refuses()
            for change in ("killed", "replaced"):
                [pid] = run.supervisor.worker_pids
                if change == "killed":
                    os.kill(pid, signal.SIGKILL)
                else:
                    run.supervisor.replace_workers()

                async def another_one_serves(before: int = pid) -> bool:
                    pids = run.supervisor.worker_pids
                    return pids not in ([], [before]) and await run.supervisor.ready(0.1)

                await eventually(another_one_serves)
                for _ in range(3):
                    await refuses()
        assert await claimed(brand, lot) == 0


@LANES
async def test_every_endpoint_that_claims_refuses(tmp_path: Path, fast_lane: bool) -> None:
    async with brand_in(tmp_path / "data", fast_lane=fast_lane) as brand:
        scanner = brand.scanner()
        found = await asks(brand, scanner)
        await scanner.directory.refresh()
        before = await brand.store.client.xlen(brand.store.keys.events)
        scanner.cells.set("full", 1)
        for path, ask_one in found.items():
            for n in (0, 1):  # what was done already, and what was not
                assert outcome(await ask_one(n)) == ("genuine" if path == CODES else "unavailable"), path
        assert await brand.store.client.xlen(brand.store.keys.events) == before
        assert scanner.cells.get("refused_full") == 2 * (len(found) - 1)
        scanner.cells.set("full", 0)
        for path, ask_one in found.items():
            assert outcome(await ask_one(1)) in ("accepted", "genuine"), path
        assert not (await brand.audit()).differences


def limit_to(run: Running, stream_max_bytes: int) -> None:
    """As if the service had been started with another limit."""
    watch = run.supervisor._queue
    watch._settings = watch._settings.model_copy(update={"stream_max_bytes": stream_max_bytes})


async def test_expired_packets_wait_for_room(tmp_path: Path) -> None:
    """Their return is an entry, too."""
    async with running(tmp_path / "data", log_level="error") as run:
        brand = run.brand
        ask_store, expiries = brand.store.client.execute_command, brand.store.keys.expiries
        await brand.apply(campaign_toml(pools=locked(stock=1000).replace('"1h"', '"3s"')))

        async def now_s() -> int:
            return (await brand.store.client.time())[0]

        for n in count():  # until there is no room before its time is over
            limit_to(run, 0)
            await eventually(run.is_ready)
            grant = {"request_id": f"g{n}", "campaign": "spring", "pool": "locked", "member": "alice"}
            body, authorization = orjson.dumps(grant), f"Bearer {brand.service_token()}"
            async with run.phone() as phone:
                reply = await phone.send(http_to(GRANTS, body, authorization=authorization))
            assert reply.outcome == "granted"
            limit_to(run, 1)
            await looked_again(run)
            assert (await part(run))[0] == 503
            packets = await brand.store.client.zrange(expiries, 0, -1)
            expires_s = float(await ask_store("ZSCORE", expiries, packets[-1])) / 1000 if packets else 0.0
            if await now_s() < expires_s:
                break

        async def is_over() -> bool:
            return await now_s() > expires_s + 2 * SWEEP_EVERY_S

        await eventually(is_over)
        assert await brand.store.client.zrange(expiries, 0, -1) == packets
        limit_to(run, 0)

        async def is_back() -> bool:
            return not await brand.store.client.zrange(expiries, 0, -1)

        await eventually(is_back)
        assert (await brand.audit()).differences == []
