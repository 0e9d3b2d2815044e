"""``python -m bench.queue``: what is read is what was filled in, and nothing stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.command import INTERRUPTED
from bench.queue.__main__ import main
from bench.queue.reader import FORMS

ROOT = Path(__file__).parents[2]
EVENTS = 3_000
WAIT_S = 60


def test_every_form_reads_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "queue.json"
    assert main(["readers", "--events", str(EVENTS), "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["readers"]
    assert [row["form"] for row in rows] == list(FORMS)
    for row in rows:
        assert row["events"] >= EVENTS
        assert row["client_us"] > 0
        assert row["rate"] > 0
    assert rows[0]["ratio"] == 1
    assert capsys.readouterr().out.count("\n1 ") == len(FORMS)


def test_a_late_group_catches_up(tmp_path: Path) -> None:
    file = tmp_path / "queue.json"
    options = ["--backlog", str(EVENTS), "--rate", "50", "--json", str(file)]
    assert main(["catch-up", *options]) == 0
    [row] = json.loads(file.read_text())["catch-up"]
    assert row["behind"] > 0
    assert row["ratio"] == pytest.approx(row["read"] / row["arrived"])
    assert row["scans"] > 0


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.queue", "readers", "--events", "1e7"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + WAIT_S
        while not list(tmp_path.glob("*/store.pid")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == INTERRUPTED
    finally:
        process.kill()
        process.wait()
    assert not list(tmp_path.iterdir())
