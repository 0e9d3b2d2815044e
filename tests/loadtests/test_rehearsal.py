"""Small rehearsals, end to end: a service of their own, people or a curve, and the audit in the end."""

import asyncio
import tempfile
from asyncio.subprocess import DEVNULL
from pathlib import Path

import psutil
from hdrh.histogram import HdrHistogram

from loadtests.own_service import own_service
from loadtests.people.plan import BEHAVIOURS
from loadtests.processes import python
from tests.loadtests.commands import loadtests
from tests.phone import Phone, scan_request
from tests.running import eventually

GATES = ["requests", "answers", "errors", "p99", "ledger"]


async def test_small_rehearsals_against_services_of_their_own(tmp_path: Path) -> None:
    """A spike of people, one that is broken off, and a curve replayed by two processes: beside each other,
    because most of it is waiting."""
    left_before = leavings()
    (tmp_path / "curve.csv").write_text("second,requests\n0,40\n1,260\n2,20\n")
    spike, replayed, alive = await asyncio.gather(
        loadtests(tmp_path / "spike", "spike", "--seconds", "4", "--users", "30", "--p99-ms", "8000"),
        loadtests(
            tmp_path / "open", "open", "--replay", str(tmp_path / "curve.csv"), "--scale", "0.5",
            "--processes", "2", "--p99-ms", "8000",
        ),
        broken_off(tmp_path / "broken off"),
    )  # fmt: skip
    assert leavings() <= left_before
    assert alive == []

    assert spike.code == 0, spike.output
    assert [gate["gate"] for gate in spike.summary["gates"]] == GATES
    assert set(spike.summary["did"]) == set(BEHAVIOURS)
    assert spike.summary["service"]["accepted_scans"] > 0
    assert "<html" in (spike.directory / "report.html").read_text("utf-8")

    assert replayed.code == 0, replayed.output
    summary = replayed.summary
    assert [gate["gate"] for gate in summary["gates"]] == GATES
    assert summary["outcomes"] == {"accepted": 160}
    assert summary["statuses"] == {"200": 160}
    assert summary["generator"]["processes"] == 2
    assert summary["service"]["accepted_scans"] == 160
    assert summary["service"]["aof_bytes_per_scan"] > summary["service"]["claim_record_bytes"] > 0
    rows = [
        line for line in (replayed.directory / "latency.hlog").read_text().splitlines() if line[0] not in '#"'
    ]
    counts = [HdrHistogram.decode(row.rpartition(",")[2].encode()).get_total_count() for row in rows]
    assert counts == [20, 130, 10]


async def broken_off(directory: Path) -> list[psutil.Process]:
    """What is still alive of a spike that was told to end while its people were there."""
    arguments = ("spike", "--users", "20", "--report-dir", str(directory))
    async with python("-m", "loadtests", *arguments, stdout=DEVNULL, stderr=DEVNULL) as process:

        async def people_are_there() -> bool:
            log = directory / "locust.log"
            return log.exists() and "All users spawned" in log.read_text("utf-8")

        await eventually(people_are_there, 60)
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert await process.wait() == 130
    assert len(family) >= 2, "a worker of the service, and Locust"
    return [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def leavings() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("scanner-load-*")}


async def test_the_ledger_is_held_against_what_callers_were_told() -> None:
    """Its control: a scan_id that nobody wrote down, and more scans than codes were sent."""
    async with own_service(codes=20, seconds=10, workers=1, printed=10) as own:
        codes = own.codes_file.read_text().split()
        tokens = own.tokens_file.read_text().split()
        assert len(codes) == 20
        async with Phone(own.address[1]) as phone:
            replies = [
                await phone.send(scan_request(token, code))
                for token, code in zip(tokens, codes, strict=False)
            ]
        assert {reply.outcome for reply in replies} == {"accepted"}
        ids = [str(reply.data["scan_id"]) for reply in replies]
        assert await own.faults(ids, codes_sent=20) == []
        assert await own.faults(ids[:3], codes_sent=25) == []
        [lost] = await own.faults([*ids, "NOBODYWROTEITDWN"], codes_sent=20)
        assert lost == "NOBODYWROTEITDWN was told to be accepted and is not in the stream"
        [many] = await own.faults(ids, codes_sent=19)
        assert many == "20 scans in the stream, of 19 codes that were sent"
        await own.store.client.execute_command("HSET", own.store.keys.pool("demo", "lucky"), "phone", 2)
        assert any("audit" in fault for fault in await own.faults(ids, codes_sent=20))
        records = await own.footprint(20)
    assert records["accepted_scans"] == 20
