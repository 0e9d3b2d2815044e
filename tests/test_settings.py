"""Settings: where they come from, what is refused, that all are documented; and the rule for key files."""

import os
import re
import stat
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from scanner.errors import ConfigurationError
from scanner.settings import Settings, load_settings, read_key_file, write_key_file

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
FIELDS = Settings.model_fields
PASSWORD = "hunter2-hunter2"
# One value of each setting that is not its default.
OTHERS = {
    "brand": "paint-2",
    "data_dir": Path("/srv/a b"),
    "store_url": SecretStr(f"rediss://user:{PASSWORD}@store.example:6380/1"),
    "store_timeout_ms": 10,
    "accept_volatile_store": True,
    "stream_max_bytes": 1,
    "archive_dir": Path("/mnt/archive"),
    "archive_every_s": 1,
    "stream_keep_s": 0,
    "fast_lane": False,
    "keys_file": Path("/run/keys.json"),
    "token_keys_file": Path("tokens.json"),
    "host": "::1",
    "port": 0,
    "ops_host": "0.0.0.0",
    "ops_port": 65535,
    "workers": 256,
    "batch_max": 1,
    "batches_away_max": 64,
    "waiting_max": 1_000_000,
    "wait_max_ms": 10,
    "shedding": False,
    "connections_max": 1,
    "buffer_max_bytes": 1 << 20,
    "throttling": False,
    "trusted_proxies": "10.0.0.0/8,unix",
    "forgeries_alarm_per_s": 1,
    "head_timeout_ms": 100,
    "body_max_bytes": 256,
    "body_timeout_ms": 100,
    "keepalive_timeout_s": 1,
    "shutdown_timeout_s": 600,
    "drain_s": 0,
    "log_level": "debug",
}


def documented():
    """Variable → (default, description), as the table has them."""
    rows = re.findall(r"^\| `(SCANNER_\w+)` \| (.*?) \| (.*) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {variable: (default, description) for variable, default, description in rows}


def as_documented(value):
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    text = str(plain).lower() if isinstance(plain, bool) else str(plain)
    return "–" if plain in (None, "") else f"`{text}`"


@pytest.mark.parametrize("name", FIELDS)
def test_the_table_has_each_setting_as_the_model_has_it(name):
    field = FIELDS[name]
    assert field.description
    assert documented().get(f"SCANNER_{name.upper()}") == (as_documented(field.default), field.description)


def test_the_table_has_no_setting_that_does_not_exist():
    assert list(documented()) == [f"SCANNER_{name.upper()}" for name in FIELDS]


def test_what_is_not_set_has_its_default():
    settings = load_settings()
    assert {name: getattr(settings, name) for name in FIELDS} == {
        name: field.default for name, field in FIELDS.items()
    }


def test_a_flag_comes_before_the_environment_and_that_before_the_file(monkeypatch):
    assert load_settings().port == 8080
    Path(".env").write_text("SCANNER_PORT=1\nSCANNER_BRAND=file\nUNRELATED=1\nSCANNER_UNKNOWN=1\n")
    assert load_settings().port == 1
    monkeypatch.setenv("SCANNER_PORT", "2")
    assert (load_settings().port, load_settings().brand) == (2, "file")
    assert load_settings(port=3).port == 3
    assert load_settings(port=None).port == 2  # a flag that was not given


def test_a_variable_needs_its_prefix(monkeypatch):
    monkeypatch.setenv("PORT", "1")
    assert load_settings().port == 8080


@pytest.mark.parametrize("name", FIELDS)
def test_a_worker_gets_the_same_settings(monkeypatch, name):
    settings = load_settings(**{name: OTHERS[name]})
    assert getattr(settings, name) == OTHERS[name] != FIELDS[name].default
    for variable, value in settings.to_environment().items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


def test_a_worker_gets_all_settings_at_once(monkeypatch):
    settings = load_settings(**OTHERS)
    environment = settings.to_environment()
    assert set(environment) == {f"SCANNER_{name.upper()}" for name in FIELDS}
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert load_settings() == settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCANNER_BRAND", "Main"),
        ("SCANNER_BRAND", "a/b"),
        ("SCANNER_BRAND", "a\n"),
        ("SCANNER_BRAND", "a" * 33),
        ("SCANNER_STORE_TIMEOUT_MS", "9"),
        ("SCANNER_STORE_TIMEOUT_MS", "1s"),
        ("SCANNER_ACCEPT_VOLATILE_STORE", "perhaps"),
        ("SCANNER_STREAM_MAX_BYTES", "-1"),
        ("SCANNER_PORT", "65536"),
        ("SCANNER_PORT", "-1"),
        ("SCANNER_PORT", "http"),
        ("SCANNER_OPS_PORT", "1.5"),
        ("SCANNER_WORKERS", "257"),
        ("SCANNER_BATCH_MAX", "0"),
        ("SCANNER_BATCHES_AWAY_MAX", "65"),
        ("SCANNER_WAITING_MAX", "0"),
        ("SCANNER_WAIT_MAX_MS", "9"),
        ("SCANNER_CONNECTIONS_MAX", "0"),
        ("SCANNER_BUFFER_MAX_BYTES", "1048575"),
        ("SCANNER_FORGERIES_ALARM_PER_S", "0"),
        ("SCANNER_HEAD_TIMEOUT_MS", "99"),
        ("SCANNER_BODY_MAX_BYTES", "255"),
        ("SCANNER_BODY_TIMEOUT_MS", "99"),
        ("SCANNER_KEEPALIVE_TIMEOUT_S", "0"),
        ("SCANNER_SHUTDOWN_TIMEOUT_S", "601"),
        ("SCANNER_DRAIN_S", "-1"),
        ("SCANNER_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable(monkeypatch, variable, value):
    monkeypatch.setenv("SCANNER_STORE_URL", f"redis://user:{PASSWORD}@localhost")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=rf"^{variable}: \w") as caught:
        load_settings()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("variable", ["SCANNER_BRAND", "SCANNER_PORT", "SCANNER_KEYS_FILE"])
def test_an_empty_variable_is_not_set(monkeypatch, variable):
    monkeypatch.setenv(variable, "")
    assert load_settings() == Settings()


def test_a_wrong_line_of_the_file_is_refused_by_its_variable():
    Path(".env").write_text("SCANNER_WORKERS=many\n")
    with pytest.raises(ConfigurationError, match=r"^SCANNER_WORKERS: "):
        load_settings()


def test_a_file_that_is_no_text_is_refused():
    Path(".env").write_bytes(b"SCANNER_BRAND=\xff\n")
    with pytest.raises(ConfigurationError, match=r"\.env"):
        load_settings()


def test_the_stores_password_is_not_shown():
    settings = load_settings(store_url=f"redis://user:{PASSWORD}@localhost")
    assert PASSWORD not in repr(settings) + str(settings) + settings.model_dump_json()


def test_key_files_are_in_the_data_directory_unless_named():
    settings = load_settings(data_dir=Path("/srv"))
    assert (settings.keys_path, settings.token_keys_path) == (
        Path("/srv/keys.json"),
        Path("/srv/token-keys.json"),
    )
    settings = load_settings(data_dir=Path("/srv"), keys_file=Path("/a"), token_keys_file=Path("/b"))
    assert (settings.keys_path, settings.token_keys_path) == (Path("/a"), Path("/b"))


def test_no_number_of_workers_is_one_for_each_usable_core(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    assert (load_settings().workers_count, load_settings(workers=2).workers_count) == (3, 2)


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys.json"
    write_key_file(path, b"secret")
    return path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o601, 0o700, 0o777])
def test_a_key_file_for_others_is_refused_with_the_line_that_mends_it(key_file, mode):
    key_file.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        read_key_file(key_file)
    message = f"{key_file} has mode {mode:04o}; key files must be 0600: chmod 600 {key_file}"
    assert str(caught.value) == message


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_for_its_owner_alone_is_read(key_file, mode):
    key_file.chmod(mode)
    assert read_key_file(key_file) == b"secret"


def test_a_missing_key_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigurationError, match="is missing: run `scanner keys init`"):
        read_key_file(tmp_path / "keys.json")


def test_what_is_no_file_is_refused(tmp_path):
    tmp_path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_key_file(tmp_path)


def test_a_key_file_has_at_most_64_kib(key_file):
    write_key_file(key_file, b"x" * 65536)
    assert len(read_key_file(key_file)) == 65536
    write_key_file(key_file, b"x" * 65537)
    with pytest.raises(ConfigurationError, match="larger than 64 KiB"):
        read_key_file(key_file)


def test_a_key_file_is_written_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "er" / "keys.json"
    before = os.umask(0)
    try:
        write_key_file(path, b"secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_key_file(path) == b"secret"


def test_a_key_file_is_replaced_whole(key_file):
    key_file.chmod(0o644)
    with key_file.open("rb") as old:
        write_key_file(key_file, b"new")
        assert old.read() == b"secret"  # another file: who reads the old one reads all of it
    assert read_key_file(key_file) == b"new"
    assert list(key_file.parent.iterdir()) == [key_file]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(monkeypatch, key_file, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space left"):
        write_key_file(key_file, b"new")
    assert read_key_file(key_file) == b"secret"
    assert list(key_file.parent.iterdir()) == [key_file]
