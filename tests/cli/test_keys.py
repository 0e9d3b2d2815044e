import json
import stat

import pytest


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
    assert [(row[0], row[1], row[3]) for row in rows[1:]] == [("1", "live", ""), ("2", "live", "yes")]
    listed = keys("list", "--json").json
    assert [(key["kid"], key["state"], key["mints"]) for key in listed] == [
        (1, "live", False),
        (2, "live", True),
    ]


def test_no_command_shows_a_key(keys, files):
    shown = "".join(
        done.out + done.err
        for done in (
            keys("init"),
            keys("rotate"),
            keys("list"),
            keys("list", "--json"),
            keys("revoke", 1),
            keys("revoke", 9),
            keys("init"),
        )
    )
    assert len(secrets(files)) == 3
    assert not any(secret in shown for secret in secrets(files))


def test_rotate_adds_a_key_and_keeps_the_others(keys, files):
    keys("init")
    before = json.loads(files[0].read_bytes())["keys"]
    assert keys("rotate").out == "key 2 signs new lots\n"
    after = json.loads(files[0].read_bytes())["keys"]
    assert (after[:1], len(after)) == (before, 2)
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_revoke_is_for_good(keys):
    keys("init")
    assert keys("revoke", 1).refused("last live key")
    keys("rotate")
    assert keys("revoke", 1).out == "key 1 is revoked\n"
    assert [key["state"] for key in keys("list", "--json").json] == ["revoked", "live"]
    assert keys("revoke", 2).refused("last live key")
    assert keys("revoke", 9).refused("no key with kid 9")


def test_without_the_files_it_says_how_to_make_them(keys):
    for verb in (["list"], ["rotate"], ["revoke", 1]):
        assert keys(*verb).refused("run `scanner keys init`")


def test_files_that_others_may_read_are_refused(keys, files):
    keys("init")
    files[0].chmod(0o644)
    assert keys("list").refused(f"chmod 600 {files[0]}")
