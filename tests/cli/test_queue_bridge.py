"""`scanner queue bridge` as it is typed: what it refuses, and that nothing secret is said."""

import stat

import pytest

from scanner.queue.bridges.signing import new_secret, parse_secrets

NATS = ("queue", "bridge", "nats", "--server", "nats://127.0.0.1:1")
KAFKA = ("queue", "bridge", "kafka", "--server", "127.0.0.1:1", "--topic", "t")
HOOK = ("queue", "bridge", "webhook", "https://a.example/")


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "hook.secret"
    path.write_text(f"{new_secret()}\n", "utf-8")
    path.chmod(0o600)
    return path


def test_a_secret_is_made_once_and_for_its_owner_alone(typed, tmp_path):
    path = tmp_path / "hook.secret"
    done = typed("queue", "bridge", "secret", path)
    assert (done.code, done.err) == (0, "")
    text = path.read_text("utf-8")
    assert len(parse_secrets(text)) == 1
    assert text.strip() not in done.out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert typed("queue", "bridge", "secret", path).refused("exists already")
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize("target", ["nats", "kafka", "webhook", "secret"])
def test_each_has_an_example(typed, target):
    done = typed("queue", "bridge", target, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Example: scanner queue bridge {target}" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--server", "http://a"), "expected nats://"),
        (("--server", "nats://u:hidden-word@a:4222"), "no user or password"),
        (("--prefix", "a.b"), "--prefix"),
        (("--share", "2/2"), "--share"),
        (("--from", "yesterday"), "--from"),
        (("--from", "99999999999999999999-0"), "--from"),
        (("--from", "2027-03-01T09:00:00"), "needs its zone"),
        (("--max-bytes", "lots"), "--max-bytes"),
        (("--duplicate-window", "2"), "such as 1h"),
        (("--tls-cert", "c.pem"), "belong together"),
    ],
)
def test_wrong_usage_of_the_bridge_to_nats(typed, arguments, words):
    done = typed(*NATS, *arguments)
    assert done.misused(words)
    assert "hidden-word" not in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--server", "kafka"), "host:port"),
        (("--topic", "a b"), "--topic"),
        (("--format", "avro"), "structured or binary"),
        (("--sasl", "GSSAPI", "--user", "u"), "SCRAM-SHA-512"),
        (("--user", "u"), "belong together"),
    ],
)
def test_wrong_usage_of_the_bridge_to_kafka(typed, arguments, words):
    assert typed(*KAFKA, *arguments).misused(words)


def test_a_webhook_needs_a_secret(typed, tmp_path, secret_file):
    assert typed(*HOOK).refused("SCANNER_WEBHOOK_SECRET")
    assert typed(*HOOK, "--secret-file", tmp_path / "none").refused("is missing")
    secret_file.chmod(0o644)
    assert typed(*HOOK, "--secret-file", secret_file).refused("must be 0600")
    secret_file.chmod(0o600)
    secret_file.write_text("hidden-word", "utf-8")
    done = typed(*HOOK, "--secret-file", secret_file)
    assert done.refused("webhook secret")
    assert "hidden-word" not in done.err


def test_a_webhook_in_the_clear_is_refused(typed, secret_file):
    url = "http://a.example/"
    assert typed("queue", "bridge", "webhook", url, "--secret-file", secret_file).refused("must be https")


@pytest.mark.parametrize("command", [NATS, (*KAFKA, "--sasl", "PLAIN")])
def test_a_user_needs_a_password_from_elsewhere(typed, command):
    assert typed(*command, "--user", "u").refused("PASSWORD")


def test_files_that_others_may_read_are_refused(typed, secret_file):
    secret_file.chmod(0o640)
    for option in ("--creds", "--nkey", "--token-file"):
        assert typed(*NATS, option, secret_file).refused("must be 0600")


def test_certificates_that_are_none_are_refused(typed, secret_file):
    assert typed(*NATS, "--tls-ca", secret_file).refused("certificates cannot be used")
