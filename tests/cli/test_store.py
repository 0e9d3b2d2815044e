import hashlib
import io
import re

import pytest

from scanner.ledger.acl import ROLES

RULES = r"(?:~scanner:\{main/0\}:[a-z:*]+ )+-@all(?: \+[a-z|]+)+"
LINE = re.compile(rf"user (\S+) reset on #([0-9a-f]{{64}}) resetchannels {RULES}(?: \({RULES}\))*")


@pytest.fixture
def typing(monkeypatch):
    """What a command reads from its standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_acl_has_a_user_a_role_and_nobody_without_a_name(typed):
    done = typed("store", "acl")
    *users, default = done.out.splitlines()
    assert default == "user default reset off"
    matches = [LINE.fullmatch(line) for line in users]
    assert [match[1] for match in matches] == [f"scanner-{role}" for role in ROLES]
    assert "~scanner:{main/0}:events -@all" in users[2]
    *shown, warning = done.err.splitlines()
    assert "administrator" in warning
    for match, line in zip(matches, shown, strict=True):
        user, password = line.split()
        assert user == match[1]
        assert hashlib.sha256(password.encode()).hexdigest() == match[2]
        assert password not in done.out


def test_passwords_are_new_each_time(typed):
    assert typed("store", "acl").out != typed("store", "acl").out


def test_a_user_of_another_brand_and_name(typed):
    done = typed("--brand", "paints", "store", "acl", "--role", "reader", "--user", "points-service")
    assert done.out.startswith("user points-service reset on #")
    assert " ~scanner:{paints/0}:events -@all +" in done.out
    assert "main" not in done.out
    assert typed("--brand", "paints", "store", "acl", "--role", "reader").out.startswith(
        "user paints-reader "
    )


def test_a_reader_of_named_groups_has_a_name_and_keys_of_its_own(typed):
    done = typed("store", "acl", "--role", "reader", "--group", "points", "--group", "cash")
    assert done.out.startswith("user scanner-reader-points-cash reset on #")
    for key in ("dead:points", "dead:points.[0-9]*of[0-9]*", "again:cash", "again:cash.[0-9]*of[0-9]*"):
        assert f" ~scanner:{{main/0}}:{key} " in done.out
    assert "dead:* " not in done.out


def test_a_group_of_no_reader_or_with_no_name_is_refused(typed):
    assert typed("store", "acl", "--role", "reader", "--group", "*").refused("a group")


def test_a_password_may_come_from_standard_input(typed, typing):
    typing("a password of our own\n")
    done = typed("store", "acl", "--role", "service", "--password-stdin")
    assert f"#{hashlib.sha256(b'a password of our own').hexdigest()} " in done.out
    assert done.err == ""


def test_a_password_that_is_short_is_refused_and_not_repeated(typed, typing):
    typing("hunter2\n")
    done = typed("store", "acl", "--role", "service", "--password-stdin")
    assert done.refused("16 or more")
    assert "hunter2" not in done.err


def test_a_name_that_would_add_a_line_is_refused(typed):
    assert typed("store", "acl", "--role", "service", "--user", "x\nuser evil on").refused("a user has")


@pytest.mark.parametrize(
    "flags",
    [
        ["--user", "x"],
        ["--password-stdin"],
        ["--role", "admin"],
        ["--group", "points"],
        ["--role", "service", "--group", "points"],
    ],
)
def test_what_makes_no_sense_is_misused(typed, flags):
    assert typed("store", "acl", *flags).misused()


def test_no_flag_takes_a_password(typed):
    assert typed("store", "acl", "--password", "x").misused("No such option")


def test_the_functions_are_loaded_as_often_as_one_likes(scanner):
    first, second = scanner("store", "load"), scanner("store", "load")
    assert first.out == second.out
    assert re.fullmatch(r"the store has the functions scanner_[0-9a-f]{12}\n", first.out)
