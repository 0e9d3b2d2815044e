"""`scanner queue status` as it is typed: once, again and again, on a terminal and elsewhere."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from scanner.ledger.keys import Keys
from scanner.queue.archive.manifest import Head, Segment, head_line, segment_line
from tests.guarded import guarded_store
from tests.queue.older_users import take_from

DAY_MS = 86_400_000
COLUMNS = ["group", "behind", "oldest_s", "pending", "consumers", "idle_s", "dead", "again"]


@pytest.fixture(autouse=True)
def stream(in_store):
    """Five entries of yesterday, three given to a group whose name is no friend of tables."""

    async def furnish(store):
        ask, keys = store.client.execute_command, store.keys
        await ask("DEL", keys.events)
        seconds, _ = await store.client.time()
        for n in range(5):
            await ask("XADD", keys.events, f"{seconds * 1000 - DAY_MS + n}-0", "type", "x", "at", "1")
        await ask("XGROUP", "CREATE", keys.events, "[red]points\t", "0")
        await ask("XREADGROUP", "GROUP", "[red]points\t", "a", "COUNT", 3, "STREAMS", keys.events, ">")
        await ask("DEL", keys.dead("[red]points\t"))
        await ask("XADD", keys.dead("[red]points\t"), "*", "type", "x")
        return seconds * 1000 - DAY_MS

    first_ms = in_store(furnish)
    yield first_ms
    in_store(lambda store: store.client.execute_command("DEL", store.keys.events))


def table(out):
    """What stands in front of the table, and its rows."""
    summary, _, rows = out.partition("\n\n")
    fields = dict(line.split("\t") for line in summary.splitlines())
    header, *rows = [row.split("\t") for row in rows.splitlines()]
    assert header == COLUMNS
    return fields, rows


def test_the_figures_of_each_group(scanner):
    done = scanner("queue", "status")
    assert (done.code, done.err) == (0, "")
    fields, [row] = table(done.out)
    group, behind, oldest_s, pending, consumers, idle_s, dead, again = row
    assert (group, behind, pending, consumers, dead, again) == ("[red]points\\x09", "2", "3", "1", "1", "0")
    assert DAY_MS / 1000 <= float(oldest_s) < DAY_MS / 1000 + 600
    assert 0 <= float(idle_s) < 600
    assert fields["entries"].startswith("5, the first 24.0 h old, the last 24.0 h")
    assert (fields["archive"], fields["furthest behind"]) == ("none", "[red]points\\x09")
    assert re.fullmatch(r"\d+\.\d MiB", fields["stream"])
    assert "limits" not in fields


def test_a_narrow_terminal_cuts_no_number(on_terminal):
    shown = on_terminal(20, "queue", "status")
    assert re.search(r"\[red\]points\\x09 +2 +24\.0 .*3 +1 .*1 +0 *$", shown, re.M), shown
    assert "…" not in shown


def test_as_json(scanner, stream):
    done = scanner("queue", "status", "--json")
    [group] = done.json["groups"]
    assert (group["lag"], group["lag_is_exact"], group["pending"], group["dead"]) == (2, True, 3, 1)
    assert group["oldest"] == f"{stream}-0"
    assert (done.json["entries"], done.json["groups_count"], done.json["refused"]) == (5, 1, [])
    assert (done.json["archive"], done.json["archive_files"]) == (None, None)
    assert (done.json["furthest_behind"], done.json["limits"]) == ("[red]points\\x09", {})


def test_a_limit_that_is_near(scanner, monkeypatch):
    size = scanner("queue", "status", "--json").json["stream_bytes"]
    monkeypatch.setenv("SCANNER_STREAM_MAX_BYTES", str(size * 100 // 90))
    found = scanner("queue", "status", "--json").json["limits"]["stream"]
    assert (found["level"], round(found["percent"])) == ("near", 90)
    fields, _ = table(scanner("queue", "status").out)
    assert fields["limits"] == "stream near"
    assert re.fullmatch(r"\d+\.\d MiB of \d+\.\d MiB, 90 %", fields["stream"])


def test_the_archive(scanner, in_store, stream):
    async def archive(store):
        ask, events = store.client.execute_command, store.keys.events
        await ask("XGROUP", "CREATE", events, "archive", f"{stream + 3}-0", "ENTRIESREAD", 4)

    in_store(archive)
    fields, rows = table(scanner("queue", "status").out)
    assert fields["archive"] == f"up to {stream + 3}-0, 1 entries behind"
    assert [row[:2] for row in rows] == [["archive", "1"], ["[red]points\\x09", "2"]]


def test_the_archive_of_another_brand_is_not_ours(scanner, tmp_path, monkeypatch):
    monkeypatch.setenv("SCANNER_ARCHIVE_DIR", str(tmp_path))
    head = head_line(Head("another", 0, "a1", "2027-03-01T00:00:00Z", ""))
    one = Segment(1, "5-0", "5-0", 1, 1, "", "", "", (), head[-67:-3].decode(), "")
    (tmp_path / "manifest.jsonl").write_bytes(head + segment_line(one))
    assert "of brand another" in table(scanner("queue", "status").out)[0]["archive files"]
    assert scanner("queue", "status", "--json").json["archive_files"] is None


def test_files_of_an_archive_that_cannot_be_read(scanner, tmp_path, monkeypatch):
    monkeypatch.setenv("SCANNER_ARCHIVE_DIR", str(tmp_path))
    (tmp_path / "manifest.jsonl").write_text("{}\n{}\n")
    done = scanner("queue", "status")
    assert done.code == 0
    assert "manifest.jsonl" in table(done.out)[0]["archive files"]
    assert scanner("queue", "status", "--json").json["archive_files"] is None


def test_a_ledger_that_is_restored(scanner, in_store):
    async def restoring(store):
        await store.client.execute_command("SET", store.keys.events, "restoring")

    in_store(restoring)
    assert scanner("queue", "status").refused("being restored")


@pytest.mark.parametrize("arguments", [("--every", "2"), ("--watch", "--every", "0"), ("points",)])
def test_wrong_usage(typed, arguments):
    assert typed("queue", "status", *arguments).misused()


def test_a_store_that_is_gone(typed, monkeypatch):
    monkeypatch.setenv("SCANNER_STORE_URL", "unix:///nonexistent.sock")
    assert typed("queue", "status").refused("the store did not answer")


@pytest.mark.parametrize("role", ["operator", "reader"])
def test_a_store_user_of_before_sees_a_part_and_is_told(tmp_path, role):
    commands, events = ("memory|usage", "time", "xpending"), Keys("main").events

    async def ask():
        async with guarded_store(tmp_path / "store") as guarded:
            await guarded.admin.execute_command("XADD", events, "*", "type", "x")
            await guarded.admin.execute_command("XGROUP", "CREATE", events, "g", "0")
            whole = await typed_as(guarded)
            await take_from(guarded, role, *commands)
            return whole, await typed_as(guarded)

    async def typed_as(guarded):
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "scanner", "queue", "status", "--json"],
            env={**os.environ, "SCANNER_STORE_URL": guarded.url(role)},
            capture_output=True,
            check=True,
        )

    whole, part = asyncio.run(ask())
    assert (whole.stderr, json.loads(whole.stdout)["refused"]) == (b"", [])
    assert [group["lag"] for group in json.loads(whole.stdout)["groups"]] == [1]
    found = json.loads(part.stdout)
    assert found["refused"] == ["MEMORY USAGE", "TIME", "XPENDING"]
    assert (found["groups"], found["entries"], found["stream_bytes"]) == (None, 1, None)
    assert part.stderr.decode() == (
        "scanner: not all is known: the store refuses MEMORY USAGE, TIME, XPENDING to this user\n"
    )


@contextlib.contextmanager
def watching(data_dir, *options, **streams) -> Iterator[subprocess.Popen]:
    """`scanner queue status --watch` as a process; ended by Ctrl-C, with its exit code."""
    program = [sys.executable, "-m", "scanner", "--data-dir", str(data_dir), "queue", "status", "--watch"]
    process = subprocess.Popen([*program, "--every", "0.1", *options], **streams)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()


def test_again_and_again_as_json_lines(data_dir, in_store, stream):
    with watching(data_dir, "--json", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["entries"] for _ in range(2)] == [5, 5]
        in_store(lambda store: store.client.execute_command("XADD", store.keys.events, "*", "type", "x"))
        for line in process.stdout:
            if json.loads(line)["entries"] == 6:
                break
        process.stdout.close()


def test_trouble_is_said_once_and_tried_again(data_dir, in_store):
    with watching(data_dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"at\t")

        async def for_a_while(store):
            events = store.keys.events
            await store.client.execute_command("RENAME", events, f"{events}:aside")
            await store.client.execute_command("SET", events, "restoring")
            line = await asyncio.to_thread(process.stderr.readline)
            await store.client.execute_command("DEL", events)
            await store.client.execute_command("RENAME", f"{events}:aside", events)
            await store.client.execute_command("XADD", events, "*", "type", "x")
            return line

        assert b"being restored" in in_store(for_a_while)
        for line in process.stdout:
            if line.startswith(b"entries\t6,"):
                break
        process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_live_table_on_a_terminal(data_dir, in_store):
    """Drawn over itself: what has changed is seen in its place."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}

    def until(*words: str) -> str:
        data = b""
        while not all(word.encode() in data for word in words):
            data += os.read(ours, 4096)  # may end within a character
        return data.decode(errors="replace")

    try:
        with watching(data_dir, stdin=theirs, stdout=theirs, stderr=theirs, env=env):
            until("[red]points\\x09", "24.0 h", "furthest behind")
            in_store(lambda store: store.client.execute_command("XADD", store.keys.events, "*", "type", "x"))
            assert "\x1b[2K" in until("6, the first")
    finally:
        os.close(ours)
        os.close(theirs)
