"""scanner queue keep, query and verify, and what other commands say of a stream that was trimmed."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scanner.ledger.watermark import moment_of
from scanner.queue.archive import position, read_archive
from scanner.queue.archive.manifest import NAME
from tests.brand import PRODUCT, brand_in
from tests.running import PATIENCE_S


@pytest.fixture
def archive(data_dir: Path) -> Path:
    return data_dir / "archive"


@pytest.fixture
def scanned(scanner, mint, data_dir, campaign, in_store):
    """A lot of which five codes were scanned, archived, and the stream trimmed."""
    import asyncio

    no, _ = mint(count=9)
    assert scanner("lot", "activate", no).code == 0

    async def scan() -> None:
        async with brand_in(data_dir) as brand:
            for n, code in enumerate(brand.codes(no, range(5))):
                assert (await brand.scanner().scan(f"m{n % 2}", code))["outcome"] == "accepted"

    asyncio.run(scan())
    return no


@pytest.fixture
def trimmed(scanner, scanned, monkeypatch):
    monkeypatch.setenv("SCANNER_STREAM_KEEP_S", "0")
    for _ in range(2):  # what is of this millisecond stays
        done = scanner("queue", "keep", "--once")
        assert done.code == 0, done
    return done


def test_once_it_archives_and_trims(scanner, scanned, archive, monkeypatch):
    monkeypatch.setenv("SCANNER_STREAM_KEEP_S", "0")
    done = scanner("queue", "keep", "--once")
    assert done.code == 0
    assert "entries archived, " in done.out
    assert position(archive) is not None
    assert scanner("queue", "keep", "--once").out.startswith("0 entries archived")


def test_without_trimming_the_stream_stays(scanner, scanned, monkeypatch):
    monkeypatch.setenv("SCANNER_STREAM_KEEP_S", "0")
    before = scanner("stream", "tail").out
    assert scanner("queue", "keep", "--once", "--no-trim").out.endswith(" 0 trimmed\n")
    assert scanner("stream", "tail").out == before


def test_the_audit_reads_both_and_misses_the_archive(scanner, trimmed, archive, monkeypatch):
    done = scanner("audit")
    assert done.code == 0, done
    assert "it adds up" in done.out
    monkeypatch.setenv("SCANNER_ARCHIVE_DIR", str(archive.parent / "elsewhere"))
    assert scanner("audit").refused(
        "the stream begins at ", "entries before it were trimmed", "SCANNER_ARCHIVE_DIR"
    )


def test_an_export_names_the_archive_and_both_are_restored(scanner, trimmed, archive, mint, tmp_path):
    out = tmp_path / "rest.jsonl"
    last = position(archive).entry
    assert scanner("stream", "export", "--out", out).refused(
        f"what is missing in the stream is in the archive {archive}", f"--from {last}", "ledger restore"
    )
    assert scanner("stream", "export", "--out", out, "--from", "5-0").refused(f"--from {last}")
    mint(count=2)
    assert scanner("stream", "export", "--out", out, "--from", last).code == 0
    done = scanner("ledger", "restore", archive, out)
    assert done.code == 0, done
    assert scanner("audit").out.endswith("it adds up\n")
    assert scanner("queue", "verify").code == 0
    assert scanner("ledger", "restore", tmp_path).refused("is no archive: there is no manifest.jsonl in it")


def test_what_is_in_the_archive_may_stay_out_of_the_stream(scanner, trimmed, archive, mint, tmp_path):
    out, last = tmp_path / "rest.jsonl", position(archive).entry
    mint()
    mint()
    assert scanner("stream", "export", "--out", out, "--from", last).code == 0
    before = [*(id.decode() for id, _ in read_archive(archive)), *read_export(out)]
    restore = ("ledger", "restore", archive, out, "--stream-from")
    later = read_export(out)[-1]
    assert scanner(*restore, later).refused(
        "is not in the archive", f"say --stream-from {last}, or an earlier"
    )
    for when in (last, moment_of(last), "1970-01-01T08:00:00+08:00"):
        done = scanner(*restore, when)
        assert done.code == 0, done
        told = [one["entry"] for one in map(json.loads, scanner("stream", "tail").out.splitlines())]
        if when == last:
            assert told == [last, *read_export(out)]
        elif when.startswith("1970"):
            assert told == before
        left_out = len(before) - len(told)
        said = f"{left_out:,} of them are in {archive} alone: the stream begins after them"
        assert (said in done.out) == bool(left_out)
        assert scanner("audit").out.endswith("it adds up\n")
        assert scanner("queue", "verify").code == 0
    assert scanner("ledger", "restore", out, "--stream-from", last).misused("name one as the first part")
    for when in ("yesterday", "2027-03-01T09:00:00", "1", ""):
        assert scanner(*restore, when).misused("--stream-from", "a time with its zone", repr(when))


def read_export(file: Path) -> list[str]:
    """The entries in it."""
    lines = map(json.loads, file.read_text().splitlines())
    return [line["entry"] for line in lines if "entry" in line]


def test_a_trimmed_stream_without_an_archive_says_what_it_said_before(
    scanner, trimmed, tmp_path, monkeypatch
):
    monkeypatch.setenv("SCANNER_ARCHIVE_DIR", str(tmp_path / "none"))
    assert scanner("stream", "export", "--out", tmp_path / "x").refused("was trimmed at its beginning")


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]], ids=" ".join)
def test_whoever_reads_the_answer_may_stop_reading(trimmed, data_dir, form):
    command = [sys.executable, "-m", "scanner", "--data-dir", str(data_dir)]
    command += ["queue", "query", "--sql", "SELECT 1", *form]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_questions_are_answered_as_a_table_json_and_csv(scanner, trimmed):
    sql = "SELECT campaign, count(*) AS scans, min(time) AS first FROM scans GROUP BY ALL"
    done = scanner("queue", "query", "--sql", sql)
    assert done.code == 0, done
    head, row = (line.split("\t") for line in done.out.splitlines())
    assert head == ["campaign", "scans", "first"]
    assert row[0] == "spring"
    assert done.err.startswith("up to ")
    [found] = scanner("queue", "query", "--sql", sql, "--json").json
    assert (found["campaign"], str(found["scans"]), found["first"]) == tuple(row)
    rows = list(csv.reader(io.StringIO(scanner("queue", "query", "--sql", sql, "--csv").out)))
    assert rows == [head, row]
    [[total]] = [
        list(row.values())
        for row in scanner(
            "queue", "query", "--json", "--sql", "SELECT sum(serial) * 10000000000000000000 FROM scans"
        ).json
    ]
    assert isinstance(total, str)
    assert (
        scanner(
            "queue", "query", "--sql", f"SELECT count(*) AS n FROM scans WHERE product = '{PRODUCT}'"
        ).code
        == 0
    )


def test_wrong_questions_are_refused(scanner, trimmed, tmp_path, monkeypatch):
    assert scanner("queue", "query", "--sql", "SELECT nothing").refused("the question was not answered")
    assert scanner("queue", "query", "--sql", "DROP VIEW scans").refused("expected one SELECT")
    assert scanner("queue", "query", "--sql", "SELECT 1", "--json", "--csv").misused("not both")
    monkeypatch.setenv("SCANNER_ARCHIVE_DIR", str(tmp_path))
    assert scanner("queue", "query", "--sql", "SELECT 1").refused("is no archive")


def test_verify_says_the_first_difference(scanner, trimmed, archive, tmp_path, monkeypatch):
    done = scanner("queue", "verify")
    assert done.code == 0, done
    assert "it is what was written, and the stream goes on after it" in done.out
    assert scanner("queue", "verify", "--offline").out.endswith("it is what was written\n")
    copy = shutil.copytree(archive, tmp_path / "copy")
    monkeypatch.setenv("SCANNER_ARCHIVE_DIR", str(copy))
    whole = (copy / NAME).read_bytes()
    (copy / NAME).write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert scanner("queue", "verify").code == 1  # the last line: only the stream knows
    (copy / NAME).write_bytes(whole)
    next(copy.rglob("*.parquet")).unlink()
    assert scanner("queue", "verify").refused(".parquet is missing")
    assert scanner("--brand", "other", "queue", "verify").refused("is the archive of brand main")


def test_the_archive_of_another_brand_is_not_kept(scanner, trimmed):
    done = scanner("--brand", "other", "queue", "keep", "--once")
    assert done.refused("is the archive of brand main, partition 0, not of brand other")


def test_it_runs_until_it_is_told_to_stop(scanner, scanned, data_dir, archive):
    before = position(archive)
    command = [sys.executable, "-m", "scanner", "--data-dir", str(data_dir), "queue", "keep"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCANNER_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as keeper:
        for line in keeper.stderr:
            if "archived" in line or "still needs" in line or "may go" in line or "trimmed" in line:
                break
        again = scanner("queue", "keep", "--once")
        assert again.refused("another keeper writes the archive")
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(PATIENCE_S) == 0
        keeper.stderr.read()
    assert position(archive) is not None
    assert position(archive) != before


def test_a_directory_that_cannot_be_written_is_said(scanner, scanned, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCANNER_ARCHIVE_DIR", str(tmp_path / "file" / "archive"))
    for options in (["--once"], []):
        assert scanner("queue", "keep", *options).refused("/file/archive cannot be written: Not a directory")
