"""The command as a whole: help, exit codes, and errors in one line."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import typer

from scanner import __version__
from scanner.cli import app
from tests.brand import campaign_toml


def commands(command, path=()):
    """Every command with the words that name it."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def process(*arguments, stdout=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-m", "scanner", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_these_are_the_commands():
    assert set(COMMANDS) >= {
        *("run", "serve", "demo", "audit", "token issue", "code inspect", "stream tail"),
        *(f"keys {verb}" for verb in ("init", "rotate", "list")),
        *(f"campaign {verb}" for verb in ("check", "apply", "show", "list")),
        *(f"lot {verb}" for verb in ("mint", "activate", "block", "move", "list", "show")),
    }


@pytest.mark.parametrize("path", COMMANDS)
def test_help_says_what_it_does_and_has_an_example_that_can_be_typed(typed, path):
    for flag in ("--help", "-h"):
        done = typed(*path.split(), flag)
        assert (done.code, done.err) == (0, "")
        assert f" {path} [OPTIONS]" in done.out.splitlines()[0]
    example = " ".join(COMMANDS[path].help.partition("Example: ")[2].split())
    assert example in " ".join(done.out.split())
    words = shlex.split(example)
    assert words[: 1 + len(path.split())] == ["scanner", *path.split()]
    given = [word for word in words if word.startswith("--")]
    assert set(given) <= {option for parameter in COMMANDS[path].params for option in parameter.opts}


@pytest.mark.parametrize("path", COMMANDS)
def test_the_usage_brackets_each_argument_once(typed, path):
    usage = typed(*path.split(), "--help").out.partition("\n\n")[0]
    assert not set(re.findall(r"[\[{]{2}|[\]}]{2}|….*", usage)), usage


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is_for(path):
    for parameter in COMMANDS[path].params:
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name


def test_without_a_command_it_shows_them(typed):
    for noun in ([], ["lot"], ["keys"]):
        done = typed(*noun)
        assert done.code == 2
        assert "Commands:" in done.out + done.err


def test_the_version(typed):
    assert typed("--version") == (0, f"scanner {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["lot", "nothing"],
        ["lot", "show"],
        ["lot", "show", "one"],
        ["lot", "show", "0"],
        ["lot", "show", "1", "2"],
        ["lot", "list", "--nothing"],
        ["lot", "move", "--campaign", "spring"],
        ["campaign", "check"],
        ["token", "issue"],
        ["keys", "revoke", "one"],
        ["demo", "--scans", "99"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(typed, tmp_path, arguments):
    assert typed("--data-dir", tmp_path / "none", *arguments).misused()
    assert not (tmp_path / "none").exists()


def test_a_wrong_setting_is_refused_by_its_variable(typed, monkeypatch, tmp_path):
    monkeypatch.setenv("SCANNER_PORT", "http")
    assert typed("--data-dir", tmp_path, "keys", "list").refused("SCANNER_PORT: ")


def test_a_flag_has_the_last_word(typed, monkeypatch, tmp_path):
    monkeypatch.setenv("SCANNER_DATA_DIR", str(tmp_path / "environment"))
    assert typed("--data-dir", tmp_path / "flag", "keys", "init").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["flag"]


def test_a_store_that_is_not_there_is_said_in_one_line(typed, monkeypatch, tmp_path):
    monkeypatch.setenv("SCANNER_STORE_URL", f"unix://{tmp_path}/nobody.sock")
    assert typed("lot", "list").refused("the store did not answer")


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://user:hunter2@localhost:x"])
def test_a_store_that_cannot_be_is_refused_by_its_variable(typed, monkeypatch, url):
    monkeypatch.setenv("SCANNER_STORE_URL", url)
    done = typed("lot", "list")
    assert done.refused("SCANNER_STORE_URL")
    assert "hunter2" not in done.err


def test_a_password_with_a_slash_is_not_shown_either(typed, monkeypatch):
    monkeypatch.setenv("SCANNER_STORE_URL", "redis://user:hunter2/hunter3@localhost")
    done = typed("lot", "list")
    assert done.refused("SCANNER_STORE_URL")
    assert "hunter" not in done.err


@pytest.mark.parametrize("command", [["keys", "init"], ["lot", "list"]], ids=" ".join)
def test_a_data_directory_that_cannot_be_is_refused_in_one_line(typed, tmp_path, command):
    (tmp_path / "file").write_text("")
    assert typed("--data-dir", tmp_path / "file" / "data", *command).refused("file")


def test_as_a_module_it_is_the_same_command(tmp_path):
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"scanner {__version__}\n", "")


def test_its_exit_code_leaves_the_process(tmp_path):
    refused = process("--data-dir", tmp_path, "keys", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"scanner: {tmp_path}/keys.json is missing: run `scanner keys init`\n"
    assert process("lot", "nothing").returncode == 2


def test_whoever_reads_may_stop_reading():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = process("--help", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


# Ctrl-C arrives as a module is loaded, which on a slow disk takes seconds.
INTERRUPTED = """
import importlib.abc, os, runpy, signal, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "scanner.cli.serve":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
runpy.run_module("scanner", run_name="__main__")
"""


def test_an_interrupt_before_the_command_has_begun():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


READING = [
    ["queue", "status"],
    ["queue", "status", "--watch"],
    ["queue", "dead", "points"],
    ["queue", "retry", "points", "--all"],
    ["queue", "forget", "points", "--yes"],
    ["stream", "tail"],
    ["stream", "export", "--out", "ledger.jsonl"],
    ["audit"],
    ["lot", "list"],
    ["campaign", "list"],
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_who_only_looks_makes_no_store(typed, tmp_path, monkeypatch, command):
    """In the wrong directory an empty one would look as if all were gone."""
    monkeypatch.chdir(tmp_path)
    there = tmp_path / "data"
    assert typed("--data-dir", there, *command).refused(f"there is no store in {there}", "SCANNER_DATA_DIR")
    assert list(tmp_path.iterdir()) == []


def test_a_campaign_may_be_the_first_thing_in_a_store(typed, tmp_path):
    (tmp_path / "spring.toml").write_text(campaign_toml("spring"), "utf-8")
    there = tmp_path / "data"
    assert typed("--data-dir", there, "campaign", "apply", tmp_path / "spring.toml").code == 0
    [one] = typed("--data-dir", there, "campaign", "list", "--json").json
    assert one["campaign"] == "spring"
