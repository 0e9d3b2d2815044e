import json
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from scanner.codes import Keyring
from scanner.errors import ConfigurationError
from scanner.identity import TokenKeys

IN_FORCE = "services on this host take it within a second, other hosts need the file"


@pytest.fixture
def keys(typed, tmp_path):
    """Runs ``scanner keys`` on a directory of its own: these commands need no store."""
    return lambda *arguments: typed("--data-dir", tmp_path / "data", "keys", *arguments)


@pytest.fixture
def files(tmp_path):
    return [tmp_path / "data" / name for name in ("keys.json", "token-keys.json")]


def secrets(files):
    """Every key in the files, as hexadecimal digits."""
    return {entry["key"] for file in files for entry in json.loads(file.read_bytes())["keys"]}


def test_init_creates_both_files_for_their_owner_alone(keys, files):
    done = keys("init")
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines()] == [["created", f"{file};"] for file in files]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert len(secrets(files)) == 2


def test_init_never_overwrites(keys, files):
    keys("init")
    before = [file.read_bytes() for file in files]
    assert keys("init").refused("exist already", "scanner keys rotate")
    assert [file.read_bytes() for file in files] == before


def test_init_creates_the_one_that_is_missing(keys, files):
    keys("init")
    kept = files[0].read_bytes()
    files[1].unlink()
    assert str(files[0]) not in keys("init").out
    assert (files[0].read_bytes(), files[1].exists()) == (kept, True)


def test_the_files_may_be_elsewhere(keys, files, tmp_path, monkeypatch):
    monkeypatch.setenv("SCANNER_KEYS_FILE", str(tmp_path / "secret" / "codes.json"))
    assert keys("init").code == 0
    assert [file.exists() for file in files] == [False, True]
    assert (tmp_path / "secret" / "codes.json").exists()


def test_list_shows_what_is_not_secret(keys, files):
    keys("init")
    keys("rotate")
    done = keys("list")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert rows[0] == ["kid", "state", "created", "mints"]
    assert [(row[0], row[1], row[3]) for row in rows[1:3]] == [("1", "live", ""), ("2", "live", "yes")]
    assert rows[3:] == [[""], ["token kid", "signs"], ["t1", "yes"]]
    listed = keys("list", "--json").json
    assert [(key["kid"], key["state"], key["mints"]) for key in listed] == [
        (1, "live", False),
        (2, "live", True),
    ]


def test_list_shows_the_keys_of_tokens_alone(keys, files):
    keys("init")
    keys("rotate", "--tokens")
    assert keys("list", "--tokens").out == "token kid\tsigns\nt1\t\nt2\tyes\n"
    assert keys("list", "--tokens", "--json").json == [
        {"kid": "t1", "signs": False},
        {"kid": "t2", "signs": True},
    ]


def test_list_on_a_host_that_has_one_of_the_files(keys, files):
    keys("init")
    files[1].unlink()
    assert keys("list").out.startswith("kid\tstate")
    assert keys("list", "--tokens").refused("token-keys.json is missing")
    keys("init")
    files[0].unlink()
    assert keys("list").refused("keys.json is missing")
    assert keys("list", "--tokens").out == "token kid\tsigns\nt1\tyes\n"


def test_no_command_shows_a_key(keys, files):
    shown = "".join(
        done.out + done.err
        for done in (
            keys("init"),
            keys("rotate"),
            keys("rotate", "--tokens"),
            keys("list"),
            keys("list", "--json"),
            keys("list", "--tokens", "--json"),
            keys("revoke", 1),
            keys("revoke", 9),
            keys("revoke", "--tokens", "t9"),
            keys("init"),
        )
    )
    assert len(secrets(files)) == 4
    assert not any(secret in shown for secret in secrets(files))


def test_rotate_adds_a_key_and_keeps_the_others(keys, files):
    keys("init")
    before = json.loads(files[0].read_bytes())["keys"]
    assert keys("rotate").out == f"key 2 signs new lots; {IN_FORCE}\n"
    after = json.loads(files[0].read_bytes())["keys"]
    assert (after[:1], len(after)) == (before, 2)
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_revoke_is_for_good(keys):
    keys("init")
    assert keys("revoke", 1).refused("last live key")
    keys("rotate")
    assert keys("revoke", 1).out == f"key 1 is revoked; {IN_FORCE}\n"
    assert [key["state"] for key in keys("list", "--json").json] == ["revoked", "live"]
    assert keys("revoke", 2).refused("last live key")
    assert keys("revoke", 9).refused("no key with kid 9")


def test_rotate_adds_a_token_key_that_signs(keys, files, typed):
    keys("init")
    before = json.loads(files[1].read_bytes())["keys"]
    assert keys("rotate", "--tokens").out == f"key t2 signs new tokens; {IN_FORCE}\n"
    after = json.loads(files[1].read_bytes())["keys"]
    assert (after[:1], [key["kid"] for key in after]) == (before, ["t1", "t2"])
    assert stat.S_IMODE(files[1].stat().st_mode) == 0o600
    token = typed("--data-dir", files[1].parent, "token", "issue", "--member", "alice").out.strip()
    TokenKeys({"t2": bytes.fromhex(after[1]["key"])}).verify(token, now_s=0)


def test_a_token_key_is_revoked_once_another_one_signs(keys, files):
    keys("init")
    assert keys("revoke", "--tokens", "t1").refused("t1 is the one that signs", "rotate first")
    keys("rotate", "--tokens")
    assert keys("revoke", "--tokens", "t2").refused("t2 is the one that signs")
    assert keys("revoke", "t1", "--tokens").out == f"key t1 is revoked; {IN_FORCE}\n"
    assert [key["kid"] for key in keys("list", "--tokens", "--json").json] == ["t2"]
    assert keys("revoke", "--tokens", "t1").refused("no token key with kid t1")
    assert keys("rotate", "--tokens").out.startswith("key t3 ")


@pytest.mark.parametrize("kid", ["t1", "one", "1.0", "", "9" * 5000])
def test_a_master_key_is_named_by_its_number(keys, kid):
    keys("init")
    assert keys("revoke", kid).misused("is a number", "--tokens")


def test_of_many_changes_at_once_none_is_lost(keys, files):
    keys("init")
    command = [sys.executable, "-m", "scanner", "--data-dir", str(files[0].parent), "keys", "rotate"]

    def change(more):
        return subprocess.run([*command, *more], capture_output=True, check=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, [[], ["--tokens"]] * 3))
    assert len(secrets(files)) == 8
    assert [len(json.loads(file.read_bytes())["keys"]) for file in files] == [4, 4]


# Each kills the process at one step of a write.
STEPS = {
    "before it is written": "os.fdopen = die",
    "before it is on the disk": "os.fsync = die",
    "before it takes the old one's place": "Path.replace = die",
    "after that": "replace = Path.replace; Path.replace = lambda *paths: (replace(*paths), die())",
}
IN_PLACE = """
def write(path, data):
    path.write_bytes(data[:-9])
    die()
import scanner.cli.keys
scanner.cli.keys.write_key_file = write
"""
KILLED = """
import os, signal
from pathlib import Path
from scanner.cli import main

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{step}
main()
"""
PARSE = {"keys.json": Keyring.parse, "token-keys.json": TokenKeys.parse}


def kill(file, step):
    """Rotates the keys of a file in a process that is killed on its way."""
    more = ["--tokens"] if file.name == "token-keys.json" else []
    program = [sys.executable, "-c", KILLED.format(step=step), "--data-dir", file.parent, "keys", "rotate"]
    done = subprocess.run([*program, *more], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("which", [0, 1], ids=PARSE)
def test_killed_as_it_writes_it_leaves_the_old_file_or_the_new_one(keys, files, which, step):
    keys("init")
    before = [file.read_bytes() for file in files]
    kill(files[which], STEPS[step])
    after = [file.read_bytes() for file in files]
    assert (after == before) is (step != "after that")
    assert [len(PARSE[file.name](file.read_bytes()).keys) for file in files] == [
        1 + (step == "after that" and file is files[which]) for file in files
    ]
    assert keys("rotate").code == keys("rotate", "--tokens").code == 0  # nothing is in the way


@pytest.mark.parametrize("which", [0, 1], ids=PARSE)
def test_control_a_file_that_is_written_in_place_is_caught(keys, files, which):
    keys("init")
    kill(files[which], IN_PLACE)
    with pytest.raises(ConfigurationError):
        PARSE[files[which].name](files[which].read_bytes())


def test_a_file_that_cannot_be_written_is_named(keys, files, monkeypatch):
    keys("init")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for file, more in zip(files, ([], ["--tokens"]), strict=True):
        before = file.read_bytes()
        assert keys("rotate", *more).refused(f"{file} cannot be written: No space left on device")
        assert file.read_bytes() == before


def test_without_the_files_it_says_how_to_make_them(keys):
    for verb in (["list"], ["rotate"], ["revoke", 1]):
        assert keys(*verb).refused("run `scanner keys init`")


def test_files_that_others_may_read_are_refused(keys, files):
    keys("init")
    files[0].chmod(0o644)
    assert keys("list").refused(f"chmod 600 {files[0]}")
