"""The command line: what cannot be run is said; exit code 1 where it is refused, 2 for wrong usage."""

import signal
import sys
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from loadtests.__main__ import app, main
from loadtests.errors import LoadTestError
from scanner.errors import ConfigurationError

CODES = ("--codes", "codes")
FILES = (*CODES, "--tokens", "tokens")


@pytest.fixture
def files(tmp_path: Path) -> None:
    """Small files in the working directory."""
    for name in ("codes", "tokens", "readable"):
        (tmp_path / name).write_text("one\n")
    (tmp_path / "empty").touch()
    (tmp_path / "readable").chmod(0o644)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stampede",), "No such command"),
        (("spike", "--users", "3"), "--users"),
        (("soak", "--seconds", "soon"), "--seconds"),
        (("spike", "--tokens", "tokens"), "go with --host"),
        (("steady", "--i-own-this-host"), "go with --host"),
        (("open", "--host", "127.0.0.1:80"), "give --codes FILE"),
        (("open", "--host", "127.0.0.1:80", *FILES, "--token-keys", "tokens"), "give --codes FILE"),
        (("open", "--host", "127.0.0.1:80", "--codes", "nothing"), "does not exist"),
        (("open", "--seconds", "1", "--count", "2"), "--seconds or --count"),
        (("open", "--closed"), "--closed goes with --count"),
    ],
)
def test_wrong_usage_is_said(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert said in result.output
    assert result.exit_code == 2


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("open", "--replay", "tokens"), LoadTestError, "tokens cannot be replayed: line 1"),
        (("open", "--host", "203.0.113.5:80", *FILES), LoadTestError, "--i-own-this-host"),
        (("spike", "--host", "203.0.113.5:80", *FILES), LoadTestError, "--i-own-this-host"),
        (("spike", "--host", "somewhere", *FILES), LoadTestError, "expected host:port"),
        (("open", "--host", "127.0.0.1:1", *FILES), LoadTestError, "4,000 codes are needed; the file has 1"),
        (
            ("open", "--host", "127.0.0.1:1", *CODES, "--tokens", "empty"),
            LoadTestError,
            "empty is empty: one of the tokens",
        ),
        (
            ("open", "--host", "127.0.0.1:1", *CODES, "--token-keys", "readable"),
            ConfigurationError,
            "key files must be 0600",
        ),
        (("spike", "--gates", "tokens"), LoadTestError, "the gates cannot be read from tokens"),
        (("open", "--count", "100000000"), LoadTestError, "a lot has at most 67,108,864 codes"),
        (("curve", "tokens"), LoadTestError, "line 1: expected an entry"),
    ],
)
def test_what_is_refused_is_said(arguments: tuple[str, ...], error: type[Exception], said: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, error)
    assert said in str(result.exception)


@pytest.mark.usefixtures("files")
def test_a_refusal_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["loadtests", "spike", "--host", "203.0.113.5:80", *FILES])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("loadtests: 203.0.113.5 is not a loopback address")


def test_a_stream_becomes_a_curve(tmp_path: Path) -> None:
    entries = [{"type": "scan.accepted", "at": 1_000_000 + 700 * no} for no in range(10)]
    (tmp_path / "stream").write_bytes(b"\n".join(map(orjson.dumps, entries)))
    result = CliRunner().invoke(app, ["curve", "stream", "--out", "curve.csv"])
    assert result.output == "10 scans in 7 seconds, at most 2 in one: curve.csv\n"
    text = (tmp_path / "curve.csv").read_text()
    assert text.splitlines()[:3] == ["second,requests", "0,2", "1,1"]
    assert CliRunner().invoke(app, ["curve", "stream"]).output == text
    piped = CliRunner().invoke(app, ["curve"], input=(tmp_path / "stream").read_text())
    assert piped.output == text
