"""The eye on the key files: what is a change, what is read, and what is said of a file that is of no use."""

import asyncio
import logging

import pytest

from scanner.cli.keys import create_missing_keys
from scanner.codes import Keyring
from scanner.errors import ConfigurationError
from scanner.identity import TokenKeys
from scanner.service import key_files
from scanner.service.key_files import KeyFiles, follow
from scanner.service.metrics import ROW_BYTES, Cells
from scanner.settings import read_key_file, write_key_file
from tests.brand import settings_for
from tests.running import eventually


@pytest.fixture
def settings(tmp_path):
    settings = settings_for(tmp_path / "data")
    create_missing_keys(settings)
    return settings


@pytest.fixture
def files(settings):
    """Looked at once, because what is fresh is read twice."""
    files = KeyFiles(settings)
    assert not files.look()
    return files


@pytest.fixture
def reads(monkeypatch):
    """The files that were read since."""
    paths = []

    def read(path):
        paths.append(path)
        return read_key_file(path)

    monkeypatch.setattr(key_files, "read_key_file", read)
    return paths


def rotated(settings):
    ring = Keyring.parse(read_key_file(settings.keys_path)).rotate()
    write_key_file(settings.keys_path, ring.dump())
    return ring


def test_what_is_as_it_was_is_not_read(files, reads):
    assert not any(files.look() for _ in range(10))
    assert reads == []


def test_a_change_of_either_file_is_taken(files, settings):
    ring, keys = rotated(settings), files.token_keys
    assert files.look()
    assert (files.keyring, files.token_keys) == (ring, keys)
    assert files.token_keys is keys
    write_key_file(settings.token_keys_path, keys.rotate().dump())
    assert files.look()
    assert list(files.token_keys.keys) == ["t1", "t2"]
    assert (files.look(), files.are_stale) == (False, False)


def test_what_changed_is_read_once_more(files, settings, reads):
    """A file that changes twice within the grain of the system's times looks the same both times."""
    rotated(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_files, "_state_of", lambda path: (1,))
        assert files.look()
        ring = files.keyring.revoke(1)
        write_key_file(settings.keys_path, ring.dump())
        assert files.look()
        assert files.keyring == ring
        del reads[:]
        assert not files.look()
        assert reads == []


def test_a_file_that_is_written_anew_as_it_was_changes_nothing(files, settings):
    keyring = files.keyring
    write_key_file(settings.keys_path, keyring.dump())
    assert not files.look()
    assert files.keyring is keyring


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda path: path.write_bytes(b"{"), "not JSON"),
        (lambda path: path.chmod(0o640), "chmod 600"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: (path.unlink(), path.mkdir(0o600)), "cannot be read"),
        (lambda path: path.write_bytes(bytes(70_000)), "larger than 64 KiB"),
    ],
)
def test_a_file_of_no_use_changes_nothing_and_is_named_once(files, settings, caplog, spoil, word):
    keyring, path = files.keyring, settings.keys_path
    with caplog.at_level(logging.INFO, "scanner"):
        spoil(path)
        assert not any(files.look() for _ in range(5))
        assert (files.keyring, files.are_stale) == (keyring, True)
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert str(path) in record.getMessage()
        assert word in record.getMessage()
        # The other file is followed all the same.
        write_key_file(settings.token_keys_path, files.token_keys.rotate().dump())
        assert files.look()
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        write_key_file(path, keyring.dump())
        assert not files.look()  # it is what it was
        assert (files.are_stale, caplog.records[-1].levelno) == (False, logging.INFO)


def test_a_mode_that_is_mended_is_seen(files, settings):
    """Neither the inode nor the time of the content tells of it."""
    ring = rotated(settings)
    settings.keys_path.chmod(0o644)
    assert not files.look()
    settings.keys_path.chmod(0o600)
    assert files.look()
    assert files.keyring == ring


def test_without_usable_files_there_is_no_start(settings):
    settings.token_keys_path.write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="token key file must read"):
        KeyFiles(settings)


async def test_the_keys_are_handed_over_until_they_are_taken(settings, monkeypatch, caplog):
    """A fault of ours is said once, shows as stale, and is tried again."""
    monkeypatch.setattr(key_files, "LOOK_EVERY_S", 0.001)
    files, cells, taken, faults = KeyFiles(settings), Cells(bytearray(ROW_BYTES), 0), [], []
    cells.set("keys_stale", 1)  # as a worker left it that was here before

    def use(keyring, token_keys):
        if len(faults) < 3:
            faults.append(cells.get("keys_stale"))
            raise RuntimeError("not now")
        taken.append((keyring, token_keys))

    task = asyncio.create_task(follow(files, use, cells))
    try:
        await asyncio.sleep(0)
        assert cells.get("keys_stale") == 0
        ring = rotated(settings)

        async def is_taken():
            return bool(taken) and not cells.get("keys_stale")

        await eventually(is_taken)
        assert taken == [(ring, TokenKeys.parse(read_key_file(settings.token_keys_path)))]
        assert faults == [0, 1, 1]
        assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
            "the key files cannot be followed"
        ]
    finally:
        task.cancel()
